"""Conversion of photographs to upright JPEG."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gtseg.core.images.formats import IMPORTED, kind_of, stored_format
from gtseg.core.images.header import ORIENTATION
from gtseg.errors import ImageError

MAX_PIXELS = 200_000_000
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    MemoryError,
    OverflowError,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class Photograph:
    """JPEG bytes and their (H, W), and the file's stored (H, W) and EXIF orientation (1 is upright)."""

    body: bytes
    size: tuple[int, int]
    stored: tuple[int, int]
    orientation: int = 1
    band_dropped: bool = False
    """The alpha channel contained a fourth band, which was dropped."""


def read_photograph(path: Path) -> Photograph:
    """Return an upright RGB or gray JPEG unchanged, and any other image converted to JPEG.

    Raises ImageError for an unreadable, too large or animated image, or more than 8 bits per pixel.
    """
    try:
        body = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(body), formats=IMPORTED) as image:
                return _convert(image, body)
    except UnidentifiedImageError:
        kind = kind_of(body[:64])
        raise ImageError(
            f"{path}: {f'contains {kind}' if kind else 'is not an image'}: convert it to JPEG or PNG"
        ) from None
    except BROKEN as error:
        raise ImageError(f"{path}: not a readable image: {error}") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def _convert(image: Image.Image, body: bytes) -> Photograph:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{image.width}x{image.height} pixels exceed the maximum of {MAX_PIXELS:,}")
    orientation = int(image.getexif().get(ORIENTATION, 1) or 1)
    stored = (image.height, image.width)
    if stored_format(image.format) == "JPEG" and image.mode in {"RGB", "L"} and orientation == 1:
        image.load()
        return Photograph(body, stored, stored)
    if getattr(image, "n_frames", 1) > 1 and image.format == "GIF":
        raise ImageError("is an animated GIF: save one frame as an image")
    turned = ImageOps.exif_transpose(image)
    flat, dropped = flatten(turned)
    pixels = np.asarray(flat)
    return Photograph(jpeg_bytes(pixels), pixels.shape[:2], stored, orientation, dropped)


def flatten(image: Image.Image) -> tuple[Image.Image, bool]:
    """Convert an image of any mode to RGB on white, and return whether an alpha channel with image data was dropped.

    Raises ImageError for more than 8 bits per pixel, which `gtseg import geo` stretches.
    """
    if image.mode.startswith(("I", "F")):
        raise ImageError(
            f"{image.mode}: more than 8 bits per pixel; use `gtseg import geo`, which stretches such images"
        )
    if image.mode not in {"RGBA", "LA", "PA", "RGBa", "La"} and "transparency" not in image.info:
        return image.convert("RGB"), False
    rgba = image.convert("RGBA")
    if is_band(np.asarray(rgba.getchannel("A"))):
        return rgba.convert("RGB"), True
    paper = Image.new("RGB", rgba.size, "white")
    paper.paste(rgba, mask=rgba.getchannel("A"))
    return paper, False


def is_band(alpha: np.ndarray) -> bool:
    """Return whether (H, W) alpha values are a fourth band, such as near infrared: most pixels partly transparent."""
    return bool(((alpha > 0) & (alpha < 255)).mean() > 0.5) and np.unique(alpha).size > 8


def jpeg_bytes(pixels: np.ndarray, *, quality: int = 95) -> bytes:
    """Encode (H, W), (H, W, 1) or (H, W, 3) uint8 pixels as an RGB JPEG."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
