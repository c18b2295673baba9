"""Safe decoding of untrusted JPEG and PNG images.

Unless restricted, Pillow tries every format that it supports, whatever the file name, and some of them start other
programs (PostScript: Ghostscript).
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG")
"""A JPEG with several images (MPO) is read as its first."""
MAX_PIXELS = 100_000_000
MAX_SCANS = 100
"""Scans of a progressive JPEG; encoders write about ten."""
SCAN = b"\xff\xda"
BLOCK_BYTES = 1 << 20
DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
    struct.error,
    zlib.error,
)
# Pillow warns from 89 million pixels on, but the limit here is MAX_PIXELS; its other warnings do not concern users.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")


class PictureError(Exception):
    """The image is rejected; the text gives the reason, e.g. `is not a JPEG or PNG image`."""


@contextmanager
def open_picture(
    source: Path | bytes | BinaryIO, *, formats: tuple[str, ...] = FORMATS, pixels: int = MAX_PIXELS
) -> Iterator[Image.Image]:
    """Yield an image, which the block may decode. Raises PictureError, also for damage found while decoding.

    The block must only decode: a ValueError or OSError raised in it is treated as damage.
    """
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=formats) as image:
            width, height = image.size
            if width * height > pixels:
                raise PictureError(f"has {width}x{height} pixels, more than the allowed {pixels}")
            if image.info.get("progressive"):
                _check_scans(image.fp)  # type: ignore[arg-type]
            yield image
    except Image.DecompressionBombError:
        raise PictureError(f"has far more pixels than the allowed {pixels}") from None
    except UnidentifiedImageError:
        raise PictureError(f"is not a {' or '.join(formats)} image") from None
    except DAMAGE as error:
        raise PictureError(f"is damaged: {error}") from None


def _check_scans(file: BinaryIO) -> None:
    """Raise PictureError for a JPEG with many scans: each may have a few bytes but costs a pass over all pixels.

    A marker cannot occur inside a scan, so that counting its two bytes is sufficient.
    """
    position, scans, last = file.tell(), 0, b""
    file.seek(0)
    while block := file.read(BLOCK_BYTES):
        scans += (last + block).count(SCAN)
        last = block[-1:]
    file.seek(position)
    if scans > MAX_SCANS:
        raise PictureError(f"has {scans} scans, more than the allowed {MAX_SCANS}")
