"""Line charts, bar charts and confusion matrices as inline SVG.

Colors are CSS variables of the page, so they follow light and dark mode; `standalone` turns a chart into a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT = 460, 230
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 30
Place = Callable[[float, float], tuple[float, float]]
"""Return the position of axis values in the drawing."""


@dataclass(frozen=True)
class Series:
    """One curve: (x, y) points, its CSS color variable and its name."""

    name: str
    color: str
    points: tuple[tuple[float, float], ...]


def line_chart(series: Sequence[Series], *, label: str, x_name: str = "epoch", mark: float | None = None) -> str:
    """Return curves over shared axes, with a dashed line at x = `mark`; '' if there are no points."""
    points = [point for one in series for point in one.points]
    if not points:
        return ""
    low_x, high_x = _span([x for x, _ in points])
    low_y, high_y, step = _round_axis(min(y for _, y in points), max(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)
        up = HEIGHT - BOTTOM - (y - low_y) / (high_y - low_y) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(up, 1)

    parts = [_grid(low_y, high_y, step, place=place, low_x=low_x)]
    parts += _x_ticks(low_x, high_x, place=place, low_y=low_y)
    if mark is not None:
        x, _ = place(mark, low_y)
        parts.append(f'<line class="mark" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    parts += [_curve(one, place) for one in series]
    parts.append(f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" text-anchor="end">{escape(x_name)}</text>')
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _grid(low: float, high: float, step: float, *, place: Place, low_x: float) -> str:
    lines = []
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        x, y = place(low_x, value)
        lines.append(f'<line class="grid" x1="{x}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        lines.append(f'<text class="axis" x="{x - 6}" y="{y + 4}" text-anchor="end">{value:.3g}</text>')
    return "".join(lines)


def _x_ticks(low: float, high: float, *, place: Place, low_y: float) -> list[str]:
    step = max(1, math.ceil((high - low) / 8))
    ticks = []
    for value in range(math.ceil(low), math.floor(high) + 1, step):
        x, y = place(value, low_y)
        ticks.append(f'<text class="axis" x="{x}" y="{y + 15}" text-anchor="middle">{value}</text>')
    return ticks


def _curve(one: Series, place: Place) -> str:
    spots = [place(x, y) for x, y in one.points]
    path = " ".join(f"{x},{y}" for x, y in spots)
    dots = (
        "".join(f'<circle cx="{x}" cy="{y}" r="2.6" fill="var({one.color})"/>' for x, y in spots)
        if len(spots) <= 30
        else ""
    )
    return f'<polyline fill="none" stroke="var({one.color})" stroke-width="2" points="{path}"/>{dots}'


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _round_axis(low: float, high: float) -> tuple[float, float, float]:
    """Return (lower limit, upper limit, step) of about five round ticks that cover all values."""
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough - 1e-12)
    first = math.floor(low / step + 1e-9) * step
    count = max(1, math.ceil((high - first) / step - 1e-9))
    return first, first + count * step, step


def training_curves(epochs: Sequence[Mapping[str, Any]], *, best: int | None) -> dict[str, str]:
    """Return charts of training `loss` and `validation` (mIoU, pixel accuracy) by epoch, with a mark at epoch
    `best`.
    """

    def series(name: str, key: str, color: str) -> Series:
        points = tuple((float(e["number"]), float(e[key])) for e in epochs if e.get(key) is not None)
        return Series(name, color, points)

    loss = [series("training loss", "train_loss", "--accent")]
    measured = [series("mIoU", "miou", "--accent"), series("pixel accuracy", "pixel_accuracy", "--second")]
    return {
        "loss": line_chart(loss, label="training loss by epoch"),
        "validation": line_chart(measured, label="validation mIoU and pixel accuracy by epoch", mark=best),
    }


def bar_chart(rows: Sequence[tuple[str, float | None]], *, label: str) -> str:
    """Return one bar per (name, value 0 to 1); None has no bar. Return '' if there are no rows."""
    if not rows:
        return ""
    step, left = 24, 130
    height = step * len(rows) + 8
    parts = []
    for number, (name, value) in enumerate(rows):
        y = 4 + number * step
        parts.append(
            f'<text class="axis" x="{left - 6}" y="{y + 15}" text-anchor="end">{escape(_shorten(name))}</text>'
        )
        wide = round((value or 0.0) * (WIDTH - left - 60), 1)
        parts.append(f'<rect x="{left}" y="{y + 3}" width="{wide}" height="{step - 8}" fill="var(--accent)"/>')
        text = "not known" if value is None else f"{value:.3f}"
        parts.append(f'<text class="axis" x="{left + wide + 6}" y="{y + 15}">{text}</text>')
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def confusion_chart(matrix: Sequence[Sequence[int]], names: Sequence[str], *, label: str = "confusion matrix") -> str:
    """Return the confusion matrix as a grid: rows are truth, columns prediction, shaded by the share of the row."""
    if not names:
        return ""
    cell = max(16, min(56, 360 // len(names)))
    left, top = 110.0, 30.0
    size = (left + cell * len(names) + 8, top + cell * len(names) + 8)
    parts = [f'<text class="axis" x="{left}" y="12">predicted</text>']
    for row, counts in enumerate(matrix):
        whole, y = sum(counts), top + row * cell
        parts.append(
            f'<text class="axis" x="{left - 6}" y="{y + cell / 2 + 4}" '
            f'text-anchor="end">{escape(_shorten(names[row]))}</text>'
        )
        for column, count in enumerate(counts):
            share, x = count / whole if whole else 0.0, left + column * cell
            title = f"{names[row]} predicted as {names[column]}: {count:,} pixels, {share:.1%}"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" class="cell" fill="var(--accent)" '
                f'fill-opacity="{share:.3f}"><title>{escape(title)}</title></rect>'
            )
            if cell >= 32:
                light = ' style="fill:#fff"' if share > 0.5 else ""
                parts.append(
                    f'<text class="axis"{light} x="{x + cell / 2}" y="{y + cell / 2 + 4}" text-anchor="middle">'
                    f"{100 * share:.0f}</text>"
                )
    for column, name in enumerate(names):
        x = left + column * cell + cell / 2
        parts.append(
            f'<text class="axis" x="{x}" y="{top - 5}" text-anchor="middle">{escape(_shorten(name, cell // 7))}</text>'
        )
    return f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


COLORS = {"--accent": "#1f6feb", "--second": "#d97706"}
STYLE = (
    "svg{background:#fff;font:11px sans-serif}.axis{fill:#444}.grid{stroke:#ddd}.mark{stroke:#888;stroke-dasharray:4 3}"
    ".cell{stroke:#ccc;stroke-width:.5}"
)


def standalone(svg: str) -> str:
    """Return a chart as a standalone SVG document: with namespace and styles, and colors instead of CSS variables."""
    for name, color in COLORS.items():
        svg = svg.replace(f"var({name})", color)
    head, bracket, rest = svg.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg"{bracket}<style>{STYLE}</style>{rest}' if svg else ""


def _shorten(name: str, limit: int = 18) -> str:
    return name if len(name) <= limit else name[: max(1, limit - 1)] + "…"
