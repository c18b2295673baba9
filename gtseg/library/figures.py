"""Pictures and charts that a notebook shows and that can be saved as files."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from gtseg.core.charts import standalone
from gtseg.core.files import write_atomically
from gtseg.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["Figure", "Picture", "strip"]

SHOWN = 240
"""Pixels of the longer side of a picture in a strip."""


@dataclass(frozen=True)
class Figure:
    """A chart. A notebook shows it; `svg` is the whole of it as text."""

    svg: str
    title: str = ""

    def save(self, path: str | Path) -> Path:
        """Write the chart as an SVG file, which stands alone. Raises SettingsError for another ending."""
        target = Path(path)
        if target.suffix.lower() != ".svg":
            raise SettingsError(f"{target}: a chart is written as .svg")
        write_atomically(target, standalone(self.svg).encode())
        return target

    def _repr_html_(self) -> str:
        return f"<figure style='margin:0;max-width:480px'>{standalone(self.svg)}<figcaption>{escape(self.title)}</figcaption></figure>"


@dataclass(frozen=True)
class Picture:
    """An RGB image that a notebook shows. `pillow` is the Pillow image, `array` (H, W, 3) uint8."""

    pillow: Image
    title: str = ""

    @property
    def array(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8."""
        import numpy as np

        return np.asarray(self.pillow.convert("RGB"))

    def save(self, path: str | Path) -> Path:
        """Write the picture; the ending (.png, .jpg) says how."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.pillow.save(target)
        return target

    def _repr_png_(self) -> bytes:
        body = io.BytesIO()
        self.pillow.save(body, "PNG")
        return body.getvalue()


def strip(pictures: Sequence[Picture]) -> str:
    """Small pictures beside each other, as HTML without files."""
    cells = []
    for picture in pictures:
        small = picture.pillow.convert("RGB")
        small.thumbnail((SHOWN, SHOWN))
        body = io.BytesIO()
        small.save(body, "JPEG", quality=82)
        address = "data:image/jpeg;base64," + base64.b64encode(body.getvalue()).decode()
        cells.append(
            f"<figure style='display:inline-block;margin:2px'><img src='{address}' alt='{escape(picture.title)}'>"
            f"<figcaption>{escape(picture.title)}</figcaption></figure>"
        )
    return f"<div>{''.join(cells)}</div>"
