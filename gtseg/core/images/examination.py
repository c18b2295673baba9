"""One image decoded whole, and what a worker or the algorithm would trip over in it."""

from __future__ import annotations

import io
import warnings

from PIL import Image, UnidentifiedImageError

from gtseg.core.images.formats import FORMATS, IMPORTED, kind_of, refuse_kind, stored_format
from gtseg.core.images.header import ORIENTATION

BROKEN = (OSError, SyntaxError, ValueError, EOFError, MemoryError, Image.DecompressionBombError)


def examine_image(name: str, body: bytes) -> list[str]:
    """What is wrong with an image file, each with its way out; [] for a good one. Decodes every pixel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(body), formats=IMPORTED) as image:
                return [*_of_kind(name, image), *_of_pixels(image)]
    except UnidentifiedImageError:
        kind = kind_of(body[:64])
        words = refuse_kind(kind) if kind else "cannot be decoded (no image): export or upload it again"
        return [words or "cannot be decoded (its header is damaged): export or upload it again"]
    except BROKEN as error:
        return [f"cannot be decoded ({_short(error)}): export or upload it again"]


def _of_kind(name: str, image: Image.Image) -> list[str]:
    problems = []
    form = stored_format(image.format)
    if refusal := refuse_kind(form):
        problems.append(refusal)
    elif not name.lower().endswith(FORMATS[form]):
        problems.append(f"is {form} inside, its name says otherwise: rename it to {FORMATS[form][0]}")
    if getattr(image, "n_frames", 1) > 1 and form != "JPEG":
        problems.append(f"has {image.n_frames} frames, workers see the first: save that one alone")  # type: ignore[attr-defined]
    if int(image.getexif().get(ORIENTATION, 1) or 1) != 1:
        problems.append(
            "is turned by its EXIF orientation: people see it upright, masks are in the stored pixels. Better turn the pixels themselves"
        )
    return problems


def _of_pixels(image: Image.Image) -> list[str]:
    problems = []
    if image.mode == "CMYK":
        problems.append("is CMYK, browsers and the algorithm read it differently: save it as RGB")
    if image.mode.startswith("I") or _sample_bits(image) > 8:
        problems.append("has 16 bits a channel, which JPEG cannot hold: stretch it to 8 (`gtseg import geo` does)")
    image.load()
    return problems


def _sample_bits(image: Image.Image) -> int:
    """16-bit RGB PNGs are opened as 8-bit RGB: only the raw mode says so."""
    return 16 if any("16" in str(tile[3]) for tile in getattr(image, "tile", ())) else 8


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__
