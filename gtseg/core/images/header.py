"""Image headers: format, size, orientation and color mode, without decoding."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from gtseg.core.images.formats import IMPORTED, kind_of, stored_format

ORIENTATION = 0x0112
ENOUGH_BYTES = 65_536
"""Bytes that hold the header of nearly every photograph; one with a long EXIF or color profile needs more."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """An image header. `width`, `height` in stored pixels (before EXIF rotation)."""

    format: str
    width: int
    height: int
    mode: str
    orientation: int = 1

    @property
    def pixels(self) -> int:
        return self.width * self.height


def read_header(head: bytes, *, is_all: bool) -> ImageHeader | str | None:
    """Return the header, or a message why the file is not an image, or None if `head` ends before the header does.

    `is_all`: `head` is the whole file.
    """
    if not head:
        return "is empty" if is_all else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(head), formats=IMPORTED) as image:
                return ImageHeader(stored_format(image.format), *image.size, image.mode, _orientation(image))
    except UnidentifiedImageError:
        if not is_all and _may_continue(head):
            return None
        return "has a damaged or truncated header" if _may_continue(head) else _refuse(head)
    except Image.DecompressionBombError:
        return _claimed_size(head)
    except Exception:  # Pillow's parsers raise any error on damaged data: OSError, SyntaxError, struct.error, ...
        return "has a damaged or truncated header" if is_all else None


def read_whole(body: bytes) -> ImageHeader | str:
    """Return the header of a whole file, or a message why it is not a displayable image, e.g. because it is truncated.

    Searches for the end marker of a JPEG (EOI) or a PNG (IEND), before anything that phones append. Decodes nothing.
    """
    header = read_header(body, is_all=True) or "has a damaged or truncated header"
    return header if isinstance(header, str) or _has_end(body) else "is truncated: its end is missing"


def _has_end(body: bytes) -> bool:
    """Return whether the end marker of a JPEG or PNG is present; True for other formats.

    In a JPEG's scan a byte FF is followed by 00 or a restart marker (ITU-T T.81, B.1.1.5), so FF D9 there is its end.
    """
    if body.startswith(b"\x89PNG"):
        return b"IEND\xaeB\x60\x82" in body
    if not body.startswith(b"\xff\xd8"):
        return True
    at = 2
    while body[at : at + 1] == b"\xff" and body[at + 1 : at + 2] != b"\xda":
        at += 1 if body[at + 1 : at + 2] == b"\xff" else 2 + int.from_bytes(body[at + 2 : at + 4], "big")
    return body.find(b"\xff\xd9", at) >= 0


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1) or 1)
    except Exception:  # a damaged EXIF block does not make an image unusable
        return 1


def _may_continue(head: bytes) -> bool:
    return head.startswith((b"\xff\xd8", b"\x89PNG\r\n\x1a\n"))


def _claimed_size(head: bytes) -> ImageHeader | str:
    """Return a message for an image that Pillow refuses to open: it has more than 179 million pixels.

    The limit for labeling is lower and has its own message.
    """
    if head.startswith(b"\x89PNG"):
        return ImageHeader("PNG", int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"), "")
    return "has more pixels than can be opened"


def _refuse(head: bytes) -> str:
    kind = kind_of(head)
    if kind in {"", "JPEG", "PNG"}:
        return "is not an image (neither JPEG nor PNG)"
    return f"contains {kind}, not JPEG or PNG: convert it"
