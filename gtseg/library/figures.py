"""Pictures and charts that a notebook displays and that can be saved as files."""

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
from gtseg.core.s3_uris import require_path
from gtseg.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


SHOWN = 240
"""Longer side in pixels of a picture in a strip."""


@dataclass(frozen=True)
class Figure:
    """Chart that a notebook displays; `svg` is its complete SVG text."""

    svg: str
    title: str = ""

    def save(self, path: str | Path) -> Path:
        """Write the chart as a standalone SVG file. Raises SettingsError for another file extension."""
        target = Path(require_path(str(path), "path"))
        if target.suffix.lower() != ".svg":
            raise SettingsError(f"{target}: a chart must be saved as .svg")
        write_atomically(target, standalone(self.svg).encode())
        return target

    def _repr_html_(self) -> str:
        caption = f"<figcaption>{escape(self.title)}</figcaption>"
        return f"<figure style='margin:0;max-width:480px'>{standalone(self.svg)}{caption}</figure>"


@dataclass(frozen=True)
class Picture:
    """RGB image that a notebook displays. `pillow` is the Pillow image, `array` its (H, W, 3) uint8 pixels."""

    pillow: Image
    title: str = ""

    @property
    def array(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8."""
        import numpy as np

        return np.asarray(self.pillow.convert("RGB"))

    def save(self, path: str | Path) -> Path:
        """Write the picture; the file extension (.png, .jpg) sets the format."""
        target = Path(require_path(str(path), "path"))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.pillow.save(target)
        return target

    def _repr_png_(self) -> bytes:
        body = io.BytesIO()
        self.pillow.save(body, "PNG")
        return body.getvalue()


def strip(pictures: Sequence[Picture]) -> str:
    """Return small pictures side by side as HTML with embedded data."""
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
