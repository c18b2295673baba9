"""Writer of CVAT's XML ("CVAT for images 1.1"), with exact `<mask>` elements or `<polygon>` elements without holes.

Source: CVAT documentation, "CVAT for image format". `<mask>` has row-major run lengths of its box, starting with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from .regions import outlines, pieces
from .rle import encode_rows


@dataclass(frozen=True)
class CvatImage:
    """XML element of an image, its number of regions, and how many of these are parts of a region with holes."""

    text: str
    regions: int
    cut: int = 0


def xml_head(classes: Sequence[str], colors: Sequence[str]) -> str:
    """Return the beginning of a document, up to its images; `</annotations>` ends it."""
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
    """Return an `<image>` with a `<mask>` (or hole-free `<polygon>` elements) per region; `classes`: (value, name)."""
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
                    f'<polygon label={_quoted(label)} source="manual" occluded="0" points="{points}" '
                    'z_order="0"></polygon>\n'
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
    return escape(_valid_xml(text))


def _quoted(text: str) -> str:
    return quoteattr(_valid_xml(text))


def _valid_xml(text: str) -> str:
    """Replace the characters that are invalid in XML 1.0."""
    return "".join(
        c if c in "\t\n\r" or 0x20 <= ord(c) < 0xD800 or 0xE000 <= ord(c) < 0xFFFE or ord(c) > 0xFFFF else "\ufffd"
        for c in text
    )
