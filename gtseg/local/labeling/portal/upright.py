"""EXIF orientation: transforms masks and points from stored pixels to the displayed orientation."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.pictures import decoding

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
    """Return the EXIF orientation, 1 to 8; 1 if it is missing or unreadable."""
    try:
        with open_picture(picture) as image:
            found = int(image.getexif().get(ORIENTATION, 1) or 1)
    except (PictureError, TypeError, ValueError):
        return 1
    return found if found in TURNS else 1


def orient_mask(png: bytes, orientation: int) -> bytes:
    """Return a PNG mask transformed from stored pixels to display orientation.

    Raises ServiceError if it cannot be decoded.
    """
    turn = TURNS.get(orientation)
    if turn is None:
        return png
    out = BytesIO()
    try:
        with open_picture(png, formats=("PNG",)) as mask, decoding(mask.size):
            mask.transpose(turn).save(out, "PNG")
    except PictureError as error:
        raise ServiceError("InvalidRequest", f"The mask cannot be decoded: it {error}.") from None
    return out.getvalue()


def orient_point(x: float, y: float, orientation: int) -> tuple[float, float]:
    """Transform a point, given as fractions of width and height, from stored pixels to display orientation."""
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
