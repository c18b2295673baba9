"""Conversion of images to request bodies of an endpoint, and of its responses to masks of the original size."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gtseg.core.hosting.recordio import decode_probabilities
from gtseg.core.hosting.requests import MAX_BODY
from gtseg.core.scores.metrics import Mask
from gtseg.errors import ImageError, MaskError

MAX_PIXELS = 100_000_000
FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG"}
PROTOBUF = frozenset({"application/x-protobuf", "application/x-recordio-protobuf"})


@dataclass(frozen=True)
class Request:
    """A request body. `size`: (width, height) of the image in it; `original`: of the image before scaling."""

    body: bytes
    size: tuple[int, int]
    original: tuple[int, int]


def open_image(body: bytes) -> Image.Image:
    """Decode an image as stored, without EXIF rotation. Raises ImageError if it cannot be decoded."""
    try:
        image = Image.open(io.BytesIO(body), formats=("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"))
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
        image.load()
    except UnidentifiedImageError:
        raise ImageError("the image cannot be decoded: it is not an image or its format is unknown") from None
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        raise ImageError(f"the image cannot be decoded: {error}") from None
    return image


def fit_request(body: bytes, *, max_side: int, content_type: str = "image/jpeg", quality: int = 95) -> Request:
    """Return the image's own bytes if they can be sent as they are, else a re-encoding scaled down until it fits."""
    image = open_image(body)
    if image.format == FORMATS.get(content_type) and len(body) <= MAX_BODY and max(image.size) <= max_side:
        return Request(body, image.size, image.size)
    scale = min(1.0, max_side / max(image.size))
    return _shrink(to_rgb(image), scale, content_type=content_type, quality=quality)


def _shrink(image: Image.Image, scale: float, *, content_type: str, quality: int) -> Request:
    while True:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
        body = encode(small, content_type, quality=quality)
        if len(body) <= MAX_BODY:
            return Request(body, size, image.size)
        scale *= 0.8


def sent_as_is(head: bytes, size: int, *, max_side: int, content_type: str) -> tuple[int, int] | None:
    """Return (width, height) if `fit_request` would send the image's own bytes; None if not, or if `head` is too short.

    `head`: the first bytes; `size`: the size of the file in bytes. Nothing is decoded.
    """
    try:
        with Image.open(io.BytesIO(head), formats=("JPEG", "PNG")) as image:
            fits = image.format == FORMATS.get(content_type) and size <= MAX_BODY and max(image.size) <= max_side
            return image.size if fits else None
    except Exception:  # Pillow's parsers raise any error on damaged data
        return None


def needs_fitting(image: Image.Image, body: bytes, *, max_side: int) -> bool:
    return max(image.size) > max_side or len(body) > MAX_BODY


def crop_request(
    image: Image.Image, box: tuple[int, int, int, int], *, content_type: str, quality: int = 95
) -> Request:
    """Encode one tile of an RGB image."""
    tile = image.crop(box)
    return _shrink(tile, 1.0, content_type=content_type, quality=quality)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: 16 bits to 8, transparent parts on white."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(rgba, mask=rgba.getchannel("A"))
        return paper
    return image.convert("RGB")


def encode(image: Image.Image, content_type: str, *, quality: int = 95) -> bytes:
    if content_type not in FORMATS:
        raise ImageError(f"images can be sent as {', '.join(FORMATS)}, not as {content_type!r}")
    target = io.BytesIO()
    image.save(target, FORMATS[content_type], quality=quality)
    return target.getvalue()


def read_answer(answer: bytes, request: Request, *, accept: str) -> tuple[Mask, NDArray[np.float32] | None]:
    """Return (H, W) class indices at the original size, and (C, H, W) probabilities if the response has them.

    Raises MaskError if the response is not a mask, or not of the size that was sent.
    """
    if accept in PROTOBUF:
        values = decode_probabilities(answer)
        _check_size((values.shape[2], values.shape[1]), request)
        values = _grow(values, request.original)
        return values.argmax(0).astype(np.uint8), values
    mask = read_mask(answer)
    _check_size((mask.shape[1], mask.shape[0]), request)
    return scale_mask(mask, request.original), None


def read_mask(body: bytes) -> Mask:
    """Return the (H, W) uint8 values of a single-channel PNG; palette indices as they are.

    Raises MaskError otherwise.
    """
    try:
        image = Image.open(io.BytesIO(body), formats=("PNG",))
        if image.width * image.height > MAX_PIXELS:
            raise MaskError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
        image.load()
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        raise MaskError(f"not a decodable PNG: {error}") from None
    if image.mode in ("L", "P"):
        return np.asarray(image).copy()
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode.startswith("I") and (values := np.asarray(image)).max(initial=0) <= 255:
        return values.astype(np.uint8)
    raise MaskError(f"a mask is one channel of class indices 0 to 255, this PNG is {image.mode}")


def scale_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Scale to (width, height) by nearest neighbor."""
    if (mask.shape[1], mask.shape[0]) == size:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def _grow(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    if (values.shape[2], values.shape[1]) == size:
        return values
    return np.stack([np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR)) for plane in values])


def _check_size(size: tuple[int, int], request: Request) -> None:
    if size != request.size:
        sent = " x ".join(map(str, request.size))
        raise MaskError(f"the endpoint returned {size[0]} x {size[1]} pixels for an image of {sent}")
