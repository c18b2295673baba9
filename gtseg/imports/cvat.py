"""Reader of CVAT's XML ("CVAT for images 1.1").

Source: CVAT documentation, "CVAT for image format". `<mask>` has row-major run lengths of its box, starting with zeros;
`<polygon>` cannot have holes. Elements with a higher `z_order`, or later ones with the same, are on top. Files with a
DOCTYPE are rejected in any encoding (entity expansion, external entities); CVAT never writes one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtseg.core.account import Loss, merge_losses
from gtseg.core.labeling.class_names import arrange_names
from gtseg.errors import ManifestError, MaskError

from .annotations import AnnotatedImage, AnnotationSet, Ring, Shape, parse_ring
from .rle import Runs

UNSUPPORTED = {
    "polyline": "polyline, which has no area",
    "points": "points, which have no area",
    "cuboid": "cuboid, which is not a mask",
    "skeleton": "skeleton, which is not a mask",
    "box": "bounding box, which is not a mask",
}
SUPPORTED = {"polygon", "mask", "ellipse"}


def read_cvat(path: Path, *, merge: bool | None = None) -> AnnotationSet:
    """Read the images, labels and shapes of an export. Raises ManifestError if the file is not an export."""
    names: list[str] = []
    images: list[_Image] = []
    losses: list[Loss] = []
    for kind, element in _elements(path):
        if kind == "label":
            names.append(str(element.findtext("name") or "").strip())
        elif kind == "track":
            raise ManifestError(f'{path} has tracks (CVAT for video): export it as "CVAT for images 1.1"')
        elif kind == "image":
            images.append(_read_image(element, losses))
    used = [name for image in images for name, *_ in image.shapes]
    if not images:
        raise ManifestError(f'{path} has no <image>: must be an export as "CVAT for images 1.1"')
    arranged = arrange_names(list(dict.fromkeys([*filter(None, names), *used])), merge=merge)
    total = sum(image.total for image in images)
    annotated = tuple(
        AnnotatedImage(
            image.name,
            tuple(
                Shape(where, arranged.index[name], rings, runs)
                for name, where, _, rings, runs in sorted(image.shapes, key=lambda shape: shape[2])
            ),
            image.size,
            problem=image.problem,
        )
        for image in images
    )
    return AnnotationSet("cvat", str(path), arranged.classes, annotated, total, merge_losses(losses))


@dataclass(frozen=True)
class _Image:
    name: str
    size: tuple[int, int] | None
    shapes: list[tuple[str, str, int, tuple[Ring, ...], Runs | None]]
    """(label, name in messages, z order, rings, runs)"""
    total: int
    problem: str = ""


def _elements(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield labels, tracks and images one at a time, as an export may have gigabytes of run lengths."""
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    try:
        with path.open("rb") as file:
            root = None
            for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
                root = element if root is None else root
                if event == "end" and element.tag in {"image", "track"}:
                    yield element.tag, element
                    root.clear()
                elif event == "end" and element.tag == "label" and element.find("name") is not None:
                    yield "label", element
    except DefusedXmlException:
        raise ManifestError(f"{path} has a DOCTYPE, which is rejected: CVAT does not write one") from None
    except (ParseError, OSError, ValueError, LookupError) as error:
        raise ManifestError(f"{path}: not readable as CVAT XML: {error}") from None


def _read_image(element: Any, losses: list[Loss]) -> _Image:
    name = str(element.get("name") or "")
    shapes = []
    children = [child for child in element if child.tag in SUPPORTED or child.tag in UNSUPPORTED]
    for number, child in enumerate(children, 1):
        where = f"{child.tag} {number} of {name}"
        try:
            if child.tag in UNSUPPORTED:
                raise MaskError(UNSUPPORTED[child.tag])
            label = str(child.get("label") or "").strip()
            if not label:
                raise MaskError("no label")
            rings, runs = _outline(child)
            shapes.append((label, where, int(float(child.get("z_order") or 0)), rings, runs))
        except MaskError as error:
            losses.append(Loss("annotation", str(error), where))
        except (KeyError, TypeError, ValueError, OverflowError):
            losses.append(Loss("annotation", "missing or non-numeric attributes", where))
    problem = "none of its annotations can be read; not imported as background" if children and not shapes else ""
    return _Image(name, _size(element), shapes, len(children), problem)


def _size(element: Any) -> tuple[int, int] | None:
    try:
        return int(element.attrib["height"]), int(element.attrib["width"])
    except (KeyError, ValueError):
        return None


def _outline(element: Any) -> tuple[tuple[Ring, ...], Runs | None]:
    given = element.attrib
    if element.tag == "polygon":
        return (parse_ring([point.split(",") for point in given["points"].split(";") if point.strip()]),), None
    if element.tag == "ellipse":
        x, y, across, down = (float(given[key]) for key in ("cx", "cy", "rx", "ry"))
        return (_ellipse((x, y), (across, down), float(given.get("rotation") or 0)),), None
    left, top, width, height = (int(float(given[key])) for key in ("left", "top", "width", "height"))
    counts = tuple(int(float(part)) for part in given["rle"].split(",") if part.strip())
    return (), Runs(counts, height, width, left, top, "rows")


def _ellipse(center: tuple[float, float], radii: tuple[float, float], degrees: float, *, corners: int = 72) -> Ring:
    turn = math.radians(degrees)
    ring = []
    for step in range(corners):
        angle = 2 * math.pi * step / corners
        a, b = radii[0] * math.cos(angle), radii[1] * math.sin(angle)
        x = center[0] + a * math.cos(turn) - b * math.sin(turn)
        ring.append((x, center[1] + a * math.sin(turn) + b * math.cos(turn)))
    return parse_ring(ring)
