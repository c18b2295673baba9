"""Images and masks read from a path or an S3 URI, for display."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gtseg.aws.s3 import S3, is_s3_uri
from gtseg.core.hosting.endpoint_images import open_image, read_mask, to_rgb
from gtseg.errors import GtsegError, ImageError, MaskError

if TYPE_CHECKING:
    from PIL.Image import Image

    from gtseg.core.scores.metrics import Mask


def read_bytes(address: str, s3: S3) -> bytes:
    """Return the bytes of a file or an object. Raises GtsegError if it cannot be read."""
    if is_s3_uri(address):
        return s3.read(address)[0]
    try:
        return Path(address).read_bytes()
    except OSError as error:
        raise GtsegError(f"{address} cannot be read: {error.strerror}") from None


def read_image(address: str, s3: S3) -> Image:
    """Read an RGB image without applying its EXIF orientation. Raises GtsegError, ImageError naming it."""
    try:
        return to_rgb(open_image(read_bytes(address, s3)))
    except ImageError as error:
        raise ImageError(f"{address}: {error}") from None


def read_mask_at(address: str, s3: S3) -> Mask:
    """Read the (H, W) uint8 values of a mask. Raises GtsegError, MaskError naming it."""
    try:
        return read_mask(read_bytes(address, s3))
    except MaskError as error:
        raise MaskError(f"{address}: {error}") from None
