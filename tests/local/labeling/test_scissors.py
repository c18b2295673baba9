"""Intelligent scissors: paths along edges at any image size, caching, invalid points."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.autosegment import edges
from gtseg.local.labeling.autosegment.edges import follow_edge


def disc(scale: float = 1.0) -> np.ndarray:
    """A disc of radius 100 * scale around (250, 200) * scale."""
    image = np.full((round(400 * scale), round(500 * scale), 3), 60, np.uint8)
    cv2.circle(image, (round(250 * scale), round(200 * scale)), round(100 * scale), (200, 150, 40), -1)
    return image


@pytest.mark.parametrize("scale", [0.5, 1, 4])
def test_the_path_follows_the_edge_between_its_points(scale: float) -> None:
    start, end = [150 * scale, 200 * scale], [250 * scale, 100 * scale]
    path = follow_edge(disc(scale), start, end)
    assert path[0].tolist() == start
    assert path[-1].tolist() == end
    radii = np.hypot(path[:, 0] - 250 * scale, path[:, 1] - 200 * scale)
    assert np.abs(radii - 100 * scale).max() < max(2, 2.5 * scale)


def test_points_at_corners_and_adjacent_points_have_a_path() -> None:
    image = disc()
    assert follow_edge(image, [0, 0], [500, 400])[-1].tolist() == [500, 400]
    assert len(follow_edge(image, [10, 10], [10.5, 10.5])) == 2


def test_paths_from_one_start_are_searched_once_and_the_cache_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searches: list[int] = []
    cutting = edges.cut
    monkeypatch.setattr(edges, "cut", lambda *given: searches.append(1) or cutting(*given))  # type: ignore[func-returns-value]
    monkeypatch.setattr(edges, "KEPT", 2)
    image = disc()
    for x in (200, 205, 210):
        follow_edge(image, [150, 200], [x, 120], key="a")
    assert len(searches) == 1
    for y in (10, 20, 30, 40):
        follow_edge(image, [150, y], [200, y], key="a")
    assert len(edges._kept) == 2


@pytest.mark.parametrize("start", [["a", 1], [1], [float("nan"), 1], None])
def test_an_invalid_point_is_refused(start: Any) -> None:
    with pytest.raises(ServiceError, match="in pixels"):
        follow_edge(disc(), start, [10, 10])
