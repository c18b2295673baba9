"""Photographs upright, as people see them: browsers turn a picture by its EXIF orientation, a mask in stored pixels must follow."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from gtseg.local.algorithm.pictures import PictureError, open_picture
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.pictures import decoding

__all__ = ["read_orientation", "turn_mask", "turn_place"]

ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_orientation(picture: bytes) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none, or none that can be read."""
    try:
        with open_picture(picture) as image:
            found = int(image.getexif().get(ORIENTATION, 1) or 1)
    except (PictureError, TypeError, ValueError):
        return 1
    return found if found in TURNS else 1


def turn_mask(png: bytes, orientation: int) -> bytes:
    """A mask in stored pixels as PNG, turned as its photograph is shown. Raises ServiceError for one that cannot be decoded."""
    turn = TURNS.get(orientation)
    if turn is None:
        return png
    out = BytesIO()
    try:
        with open_picture(png, formats=("PNG",)) as mask, decoding(mask.size):
            mask.transpose(turn).save(out, "PNG")
    except PictureError as error:
        raise ServiceError("InvalidRequest", f"The mask cannot be shown: it {error}.") from None
    return out.getvalue()


def turn_place(x: float, y: float, orientation: int) -> tuple[float, float]:
    """A place in a stored picture as shares of its width and height -> the same place as it is shown."""
    places = {
        2: (1 - x, y),
        3: (1 - x, 1 - y),
        4: (x, 1 - y),
        5: (y, x),
        6: (1 - y, x),
        7: (1 - y, 1 - x),
        8: (y, 1 - x),
    }
    return places.get(orientation, (x, y))
