"""What an image's first bytes say: format, size, orientation, colour; nothing is decoded."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from gtseg.core.images.formats import IMPORTED, kind_of, stored_format

ORIENTATION = 0x0112
ENOUGH_BYTES = 65_536
"""Holds the header of nearly every photograph; one with a long EXIF or colour profile needs more."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """`width`, `height` in stored pixels (before any EXIF rotation)."""

    format: str
    width: int
    height: int
    mode: str
    orientation: int = 1

    @property
    def pixels(self) -> int:
        return self.width * self.height


def read_header(head: bytes, *, is_all: bool) -> ImageHeader | str | None:
    """The header; or why the file is no image, in words; or None when `head` ends before the header does.

    `is_all` says that `head` is the whole file.
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
    except Exception:  # Pillow's parsers raise what the damage makes of them: OSError, SyntaxError, struct.error, ...
        return "has a damaged or truncated header" if is_all else None


def read_whole(body: bytes) -> ImageHeader | str:
    """The header of a whole file; or why it is no image that can be shown, in words: one that was cut off, too.

    Looks for the mark that ends a JPEG (EOI) or a PNG (IEND), before whatever phones append; decodes nothing.
    """
    header = read_header(body, is_all=True) or "has a damaged or truncated header"
    return header if isinstance(header, str) or _has_end(body) else "is cut off: its end is missing"


def _has_end(body: bytes) -> bool:
    """Whether what only a complete JPEG or PNG has is there; True for other formats.

    In a JPEG's scan a byte FF is followed by 00 or a restart marker (ITU-T T.81, B.1.1.5), so that FF D9 there is its end.
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
    except Exception:  # a damaged EXIF block is no reason to refuse an image that shows
        return 1


def _may_continue(head: bytes) -> bool:
    return head.startswith((b"\xff\xd8", b"\x89PNG\r\n\x1a\n"))


def _claimed_size(head: bytes) -> ImageHeader | str:
    """Pillow refuses to open an image of more than 179 million pixels; the limit here is lower and has its own words."""
    if head.startswith(b"\x89PNG"):
        return ImageHeader("PNG", int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"), "")
    return "claims more pixels than can be opened"


def _refuse(head: bytes) -> str:
    kind = kind_of(head)
    if kind in {"", "JPEG", "PNG"}:
        return "is no image (neither JPEG nor PNG)"
    return f"is {kind} inside, not JPEG or PNG: convert it"
