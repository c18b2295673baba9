"""Full decode of an image, and its problems for workers and for the algorithm."""

from __future__ import annotations

import io
import warnings

from PIL import Image, UnidentifiedImageError

from gtseg.core.images.formats import FORMATS, IMPORTED, kind_of, refuse_kind, stored_format
from gtseg.core.images.header import ORIENTATION

BROKEN = (OSError, SyntaxError, ValueError, EOFError, MemoryError, Image.DecompressionBombError)


def examine_image(name: str, body: bytes) -> list[str]:
    """Return the problems of an image file, each with its solution; [] if there are none. Decodes every pixel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(body), formats=IMPORTED) as image:
                return [*_of_kind(name, image), *_of_pixels(image)]
    except UnidentifiedImageError:
        kind = kind_of(body[:64])
        words = refuse_kind(kind) if kind else "cannot be decoded (not an image): export or upload it again"
        return [words or "cannot be decoded (its header is damaged): export or upload it again"]
    except BROKEN as error:
        return [f"cannot be decoded ({_short(error)}): export or upload it again"]


def _of_kind(name: str, image: Image.Image) -> list[str]:
    problems = []
    form = stored_format(image.format)
    if refusal := refuse_kind(form):
        problems.append(refusal)
    elif not name.lower().endswith(FORMATS[form]):
        problems.append(f"is a {form} file with another extension: rename it to {FORMATS[form][0]}")
    if getattr(image, "n_frames", 1) > 1 and form != "JPEG":
        frames = image.n_frames  # type: ignore[attr-defined]
        problems.append(f"has {frames} frames, workers see only the first: save that one alone")
    if int(image.getexif().get(ORIENTATION, 1) or 1) != 1:
        problems.append(
            "has an EXIF rotation: viewers show it upright, masks follow the stored pixels. Rotate the pixels "
            "themselves"
        )
    return problems


def _of_pixels(image: Image.Image) -> list[str]:
    problems = []
    if image.mode == "CMYK":
        problems.append("is CMYK, which browsers and the algorithm decode differently: save it as RGB")
    if image.mode.startswith("I") or _sample_bits(image) > 8:
        problems.append("has 16 bits per channel, which JPEG cannot store: stretch it to 8 (`gtseg import geo` does)")
    image.load()
    return problems


def _sample_bits(image: Image.Image) -> int:
    """Return whether a PNG has 16 bits per channel: Pillow opens 16-bit RGB as 8-bit, only the raw mode shows it."""
    return 16 if any("16" in str(tile[3]) for tile in getattr(image, "tile", ())) else 8


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__
