from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gtseg.core.charts import Series, line_chart
from gtseg.pipeline.stages.report.panels import CONFUSED, INVENTED, MISSED, choose, draw_errors
from gtseg.pipeline.stages.report.stage import percent_text, score_text, seconds_text

VALUES = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)


@given(st.lists(st.tuples(st.integers(0, 500), VALUES), min_size=1, max_size=40))
def test_every_curve_is_inside_the_drawing(points: list[tuple[int, float]]) -> None:
    curve = tuple((float(x), y) for x, y in sorted(points))
    drawing = ElementTree.fromstring(line_chart([Series("x", "--accent", curve)], label="a <b>"))
    _, _, width, height = map(float, drawing.attrib["viewBox"].split())
    line = drawing.find("polyline")
    assert line is not None
    for x, y in (map(float, pair.split(",")) for pair in line.attrib["points"].split()):
        assert 0 <= x <= width
        assert 0 <= y <= height


def test_a_chart_without_points_is_empty() -> None:
    assert line_chart([Series("x", "--accent", ())], label="x") == ""


def test_ticks_are_round_numbers() -> None:
    text = line_chart([Series("x", "--accent", ((0, 0.21), (9, 0.87)))], label="x")
    assert re.findall(r'text-anchor="end">([\d.]+)<', text) == ["0.2", "0.4", "0.6", "0.8", "1"]


def rows(*scores: float | None, objects: bool = True) -> list[dict[str, Any]]:
    return [{"name": str(n), "miou": s, "pixel_accuracy": s, "has_objects": objects} for n, s in enumerate(scores)]


def test_worst_median_and_best_images_are_distinct() -> None:
    chosen = choose(rows(*[n / 20 for n in range(20)]), each=2)
    assert [(rank, int(image["name"])) for rank, image in chosen] == [
        ("worst", 0),
        ("worst", 1),
        ("median", 9),
        ("median", 10),
        ("best", 19),
        ("best", 18),
    ]
    assert [rank for rank, _ in choose(rows(0.1, 0.5, 0.9))] == ["worst", "median", "best"]
    assert [rank for rank, _ in choose(rows(0.1))] == ["only"]
    assert choose(rows(None)) == []


def test_images_without_objects_are_shown_only_if_there_are_no_others() -> None:
    empty = rows(0.0, objects=False)
    assert all(image["has_objects"] for _, image in choose([*empty, *rows(0.4, 0.5, 0.6)]))
    assert len(choose(empty)) == 1


def test_each_kind_of_error_has_a_color_and_void_has_none() -> None:
    photo = Image.new("RGB", (5, 1), (128, 128, 128))
    truth, prediction = np.array([[0, 1, 1, 255, 1]], np.uint8), np.array([[1, 0, 2, 1, 1]], np.uint8)
    drawn = [tuple(pixel) for pixel in np.asarray(draw_errors(photo, truth, prediction))[0].tolist()]
    assert drawn[:3] == [INVENTED, MISSED, CONFUSED]
    assert not {drawn[3], drawn[4]} & {INVENTED, MISSED, CONFUSED}


def test_numbers_are_formatted_for_reading() -> None:
    assert [seconds_text(s) for s in (None, 0.02, 0.44, 12.4, 200, 4000, 200_000)] == [
        "",
        "under 0.1 s",
        "0.4 s",
        "12 s",
        "3 min 20 s",
        "1 h 06 min",
        "2 d 7 h",
    ]
    assert (score_text(None), score_text(0.12345), percent_text(0.987), percent_text(None)) == (
        "–",
        "0.123",
        "98.7 %",
        "–",
    )
