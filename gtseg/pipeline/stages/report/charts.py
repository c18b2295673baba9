"""Curves and bars as inline SVG. Colours are the page's own variables, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460, 230
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 30
Place = Callable[[float, float], tuple[float, float]]
"""Where a value of the axes stands in the drawing."""


@dataclass(frozen=True)
class Series:
    """One curve: (x, y) points, its CSS variable and its name."""

    name: str
    color: str
    points: tuple[tuple[float, float], ...]


def line_chart(
    series: Sequence[Series], *, label: str, x_name: str = "epoch", mark: float | None = None
) -> str:
    """Curves over one pair of axes; `mark` is an x where a dashed line stands. Nothing where no point is."""
    points = [point for one in series for point in one.points]
    if not points:
        return ""
    low_x, high_x = _span([x for x, _ in points])
    low_y, high_y, step = _nice(min(y for _, y in points), max(y for _, y in points))

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
    parts.append(
        f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" text-anchor="end">{escape(x_name)}</text>'
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


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


def _nice(low: float, high: float) -> tuple[float, float, float]:
    """Limits and step of about five round numbers that hold all values."""
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough - 1e-12)
    first = math.floor(low / step + 1e-9) * step
    count = max(1, math.ceil((high - first) / step - 1e-9))
    return first, first + count * step, step
