"""EXIF orientation of photographs and of the labels that belong to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gtseg.core.account import Loss
from gtseg.errors import ImageError

from .annotations import AnnotatedImage
from .photographs import Photograph


def conversion_notes(photo: Photograph, path: Path) -> list[Loss]:
    """Return notes on a photograph that was rotated or lost a band when it was read."""
    notes = []
    if photo.orientation != 1:
        example = f"{path} (orientation {photo.orientation})"
        notes.append(Loss("image", "rotated or mirrored by its EXIF orientation", example, kind="note"))
    if photo.band_dropped:
        notes.append(Loss("image", "fourth band dropped, which is not transparency", str(path), kind="note"))
    return notes


def ambiguous_orientation(photo: Photograph, labels: str) -> str:
    """Return why `labels` ("outlines", "mask") of a photograph with equal stored and upright size cannot be used."""
    return (
        f"EXIF orientation {photo.orientation}, and {photo.size[1]}x{photo.size[0]} pixels both stored and upright: "
        f"the {labels} may belong to either. If to the upright image, rotate the pixels (mogrify -auto-orient, "
        "exiftran -ai); if to the stored pixels, remove the tag (exiftool -Orientation=)"
    )


def match_orientation(image: AnnotatedImage, photo: Photograph) -> AnnotatedImage:
    """Return the image with the size of the upright pixels.

    Annotations with the stored size of a rotated photograph are accepted only if the outlines exceed that size and fit
    the upright one. Raises ImageError if the annotations belong to another size or orientation.
    """
    if photo.orientation != 1 and image.shapes and photo.stored == photo.size:
        raise ImageError(ambiguous_orientation(photo, "outlines"))
    if image.size is None and not image.relative and any(shape.rings for shape in image.shapes):
        image = replace(image, size=photo.stored)  # a missing size is as ambiguous as the stored one
    if image.size is None or image.size == photo.size:
        return image
    height, width = image.size
    if image.size == photo.stored and photo.size == (width, height):
        points = [point for shape in image.shapes for ring in shape.rings for point in ring]
        if points and max(y for _, y in points) > height + 1 and max(x for x, _ in points) <= height + 1:
            return replace(image, size=photo.size)
        raise ImageError(
            f"EXIF orientation {photo.orientation}, {width}x{height} pixels stored and in the annotations, "
            f"{height}x{width} upright: the outlines may belong to either. Rotate the pixels (mogrify -auto-orient, "
            "exiftran -ai), and export the annotations again or swap their width and height"
        )
    orientation = f" (EXIF orientation {photo.orientation})" if photo.orientation != 1 else ""
    raise ImageError(
        f"{width}x{height} pixels in the annotations, {photo.size[1]}x{photo.size[0]} in the image{orientation}"
    )
