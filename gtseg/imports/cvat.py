"""CVAT's XML ("CVAT for images 1.1") in and out.

Source: CVAT documentation, "CVAT for image format". `<mask>` holds run lengths along the rows of its box, from zeros;
`<polygon>` knows no holes. A higher `z_order` lies on top, and a later element of the same. Masks go out as `<mask>`, which
is exact. A DOCTYPE is refused in any encoding (entities that grow, files that are read): no export of CVAT has one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from gtseg.core.account import Loss, merge_losses
from gtseg.core.labeling.class_names import arrange_names
from gtseg.errors import ManifestError, MaskError

from .annotations import AnnotatedImage, AnnotationSet, Ring, Shape, ring_of
from .regions import outlines, pieces
from .rle import Runs, encode_rows

NO_AREA = {
    "polyline": "a polyline, which has no area",
    "points": "points, which have no area",
    "cuboid": "a cuboid, which is no mask",
    "skeleton": "a skeleton, which is no mask",
    "box": "a box and no outline: boxes are no masks",
}
DRAWN = {"polygon", "mask", "ellipse"}


def read_cvat(path: Path, *, merge: bool | None = None) -> AnnotationSet:
    """The images, labels and shapes of an export. Raises ManifestError where it is none."""
    names: list[str] = []
    images: list[_Image] = []
    losses: list[Loss] = []
    for kind, element in _elements(path):
        if kind == "label":
            names.append(str(element.findtext("name") or "").strip())
        elif kind == "track":
            raise ManifestError(f'{path}: an export of tracks (CVAT for video): export it as "CVAT for images 1.1"')
        elif kind == "image":
            images.append(_read_image(element, losses))
    used = [name for image in images for name, *_ in image.shapes]
    if not images:
        raise ManifestError(f'{path}: no <image> in it: want an export as "CVAT for images 1.1"')
    arranged = arrange_names(list(dict.fromkeys([*filter(None, names), *used])), merge=merge)
    came = sum(image.came for image in images)
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
    return AnnotationSet("cvat", str(path), arranged.classes, annotated, came, merge_losses(losses))


@dataclass(frozen=True)
class _Image:
    """(label, what it is called, z order, rings, runs) of each shape."""

    name: str
    size: tuple[int, int] | None
    shapes: list[tuple[str, str, int, tuple[Ring, ...], Runs | None]]
    came: int
    problem: str = ""


def _elements(path: Path) -> Iterator[tuple[str, Any]]:
    """Labels, tracks and images, one at a time: an export may hold gigabytes of run lengths."""
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
        raise ManifestError(f"{path}: it has a DOCTYPE, which no export of CVAT has: refused") from None
    except (ParseError, OSError, ValueError, LookupError) as error:
        raise ManifestError(f"{path}: not readable as CVAT's XML: {error}") from None


def _read_image(element: Any, losses: list[Loss]) -> _Image:
    name = str(element.get("name") or "")
    shapes = []
    children = [child for child in element if child.tag in DRAWN or child.tag in NO_AREA]
    for number, child in enumerate(children, 1):
        where = f"{child.tag} {number} of {name}"
        try:
            if child.tag in NO_AREA:
                raise MaskError(NO_AREA[child.tag])
            label = str(child.get("label") or "").strip()
            if not label:
                raise MaskError("no label")
            rings, runs = _outline(child)
            shapes.append((label, where, int(float(child.get("z_order") or 0)), rings, runs))
        except MaskError as error:
            losses.append(Loss("annotation", str(error), where))
        except (KeyError, TypeError, ValueError, OverflowError):
            losses.append(Loss("annotation", "attributes that are missing or no numbers", where))
    problem = "none of its annotations can be read: it is no background" if children and not shapes else ""
    return _Image(name, _size(element), shapes, len(children), problem)


def _size(element: Any) -> tuple[int, int] | None:
    try:
        return int(element.attrib["height"]), int(element.attrib["width"])
    except (KeyError, ValueError):
        return None


def _outline(element: Any) -> tuple[tuple[Ring, ...], Runs | None]:
    given = element.attrib
    if element.tag == "polygon":
        return (ring_of([point.split(",") for point in given["points"].split(";") if point.strip()]),), None
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
    return ring_of(ring)


# out


@dataclass(frozen=True)
class CvatImage:
    """An image's element, how many regions it has, and how many of them are parts of a region with holes."""

    text: str
    regions: int
    cut: int = 0


def xml_head(classes: Sequence[str], colors: Sequence[str]) -> str:
    """The beginning of a document; `</annotations>` ends it."""
    labels = "".join(
        f"<label><name>{_text(name)}</name><color>{color}</color><attributes></attributes></label>\n"
        for name, color in zip(classes, colors, strict=True)
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        f"<meta><task><labels>\n{labels}</labels></task></meta>\n"
    )


def image_element(
    number: int,
    name: str,
    mask: NDArray[np.uint8],
    *,
    classes: Sequence[tuple[int, str]],
    subset: str = "",
    polygons: bool = False,
) -> CvatImage:
    """An `<image>` with one `<mask>` (or, for `polygons`, outlines without holes) per region; `classes`: (value, name)."""
    height, width = mask.shape
    part = f" subset={quoteattr(subset)}" if subset else ""
    lines = [f'<image id="{number}" name={_quoted(name)}{part} width="{width}" height="{height}">\n']
    cut = 0
    for value, label in classes:
        region = mask == value
        if not region.any():
            continue
        if polygons:
            for piece in pieces(region):
                cut += piece.cut
                points = ";".join(f"{x:.2f},{y:.2f}" for x, y in piece.ring[:-1])
                lines.append(
                    f'<polygon label={_quoted(label)} source="manual" occluded="0" points="{points}" z_order="0"></polygon>\n'
                )
            continue
        for rings in outlines(region):
            lines.append(_mask_element(label, rings, mask.shape))
    return CvatImage("".join([*lines, "</image>\n"]), len(lines) - 1, cut)


def _mask_element(label: str, rings: Any, shape: tuple[int, ...]) -> str:
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    xs, ys = [x for x, _ in rings[0]], [y for _, y in rings[0]]
    left, top, right, bottom = int(min(xs)), int(min(ys)), int(max(xs)), int(max(ys))
    window = rasterize(
        [{"type": "Polygon", "coordinates": rings}],
        out_shape=(bottom - top, right - left),
        transform=Affine.translation(left, top),
    )
    counts = ", ".join(map(str, encode_rows(window.astype(bool))))
    return (
        f'<mask label={_quoted(label)} source="manual" occluded="0" rle="{counts}" left="{left}" top="{top}" '
        f'width="{right - left}" height="{bottom - top}" z_order="0"></mask>\n'
    )


def _text(text: str) -> str:
    from xml.sax.saxutils import escape

    return escape(_xml(text))


def _quoted(text: str) -> str:
    return quoteattr(_xml(text))


def _xml(text: str) -> str:
    """Without the characters that no XML may hold."""
    return "".join(
        c if c in "\t\n\r" or 0x20 <= ord(c) < 0xD800 or 0xE000 <= ord(c) < 0xFFFE or ord(c) > 0xFFFF else "\ufffd"
        for c in text
    )
