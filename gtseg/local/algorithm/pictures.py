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
DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, KeyError, OverflowError, struct.error, zlib.error,
)  # fmt: skip
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
            yield image
    except Image.DecompressionBombError:
        raise PictureError(f"has far more pixels than the {pixels} that are allowed") from None
    except UnidentifiedImageError:
        raise PictureError(f"is not a {' or '.join(formats)} image") from None
    except DAMAGE as error:
        raise PictureError(f"is damaged: {error}") from None
