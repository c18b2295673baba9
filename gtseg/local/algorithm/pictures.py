"""Pictures from anybody: JPEG and PNG, opened in one place.

Pillow tries every format that it knows unless it is told otherwise, and some of them start other programs (PostScript:
Ghostscript), whatever the file is called.
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

__all__ = ["PictureError", "open_picture"]

FORMATS = ("JPEG", "PNG")  # a JPEG of several pictures (MPO) is read as its first
MAX_PIXELS = 100_000_000
MAX_SCANS = 100  # of a progressive JPEG; programs write about ten
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
# Pillow warns from 89 million pixels on; the limit here is MAX_PIXELS. What else it warns of is not the reader's trouble.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")


class PictureError(Exception):
    """Says what is wrong with a picture, e.g. `is not a JPEG or PNG image`."""


@contextmanager
def open_picture(
    source: Path | bytes | BinaryIO, *, formats: tuple[str, ...] = FORMATS, pixels: int = MAX_PIXELS
) -> Iterator[Image.Image]:
    """A picture with its size and mode, which the block may decode. Raises PictureError, also for damage found then.

    The block does nothing but decode: its own ValueError or OSError would be taken for damage.
    """
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=formats) as image:
            width, height = image.size
            if width * height > pixels:
                raise PictureError(f"has {width}x{height} pixels; {pixels} are allowed")
            if image.info.get("progressive"):
                check_scans(image.fp)  # type: ignore[arg-type]
            yield image
    except Image.DecompressionBombError:
        raise PictureError(f"has far more pixels than the {pixels} that are allowed") from None
    except UnidentifiedImageError:
        raise PictureError(f"is not a {' or '.join(formats)} image") from None
    except DAMAGE as error:
        raise PictureError(f"is damaged: {error}") from None


def check_scans(file: BinaryIO) -> None:
    """Raises PictureError for a JPEG with very many scans: each may be a few bytes and costs a look at every pixel.

    A marker is nowhere inside a scan, so that counting its two bytes is enough.
    """
    position, scans, last = file.tell(), 0, b""
    file.seek(0)
    while block := file.read(BLOCK_BYTES):
        scans += (last + block).count(SCAN)
        last = block[-1:]
    file.seek(position)
    if scans > MAX_SCANS:
        raise PictureError(f"has {scans} scans; {MAX_SCANS} are allowed")
