"""Conversion of PNG to JPEG: the built-in algorithm accepts JPEG only (developer guide, semantic-segmentation)."""

from __future__ import annotations

import io

from PIL import Image

from gtseg.core.masks.png import read_png
from gtseg.errors import ImageError, MaskError

JPEG_QUALITY = 95
MAX_PIXELS = 100_000_000


def convert_to_jpeg(body: bytes) -> bytes:
    """Convert any PNG to an RGB JPEG of the same stored pixels: transparent parts on white, 16 bits to 8, no rotation.

    Raises ImageError if it cannot be decoded or exceeds Ground Truth's 100 million pixels.
    """
    try:
        read_png(body)  # Pillow does not notice a truncated end
        image = Image.open(io.BytesIO(body), formats=("PNG",))
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(f"{image.width}x{image.height} pixels are more than {MAX_PIXELS:,}")
        profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
        target = io.BytesIO()
        _flatten(image).save(target, "JPEG", quality=JPEG_QUALITY, icc_profile=profile)
    except (MaskError, OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError) as error:
        raise ImageError(f"the PNG cannot be decoded: {error}") from None
    return target.getvalue()


def _flatten(image: Image.Image) -> Image.Image:
    """Convert any PNG mode to RGB."""
    import numpy as np

    if image.mode.startswith("I"):
        gray = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return Image.fromarray(gray).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(rgba, mask=rgba.getchannel("A"))
        return paper
    return image.convert("RGB")
