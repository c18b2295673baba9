"""Colors of labels on the page: color blindness, the owner's choice, tags."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gtseg.local.labeling.portal
from gtseg.core.labeling.color_tags import color_tags
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.colors import IN_TAG, check_colors
from gtseg.local.labeling.masks import color_of

PAGE = Path(gtseg.local.labeling.portal.__file__).parent / "static/annotate/shown_colors.js"
SIGHTS = {  # Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
STRIPES = "#ff20e0"  # of what is unlabeled (view.js)


def read_page() -> list[str]:
    table = re.search(r"SAFE = `(.*?)`", PAGE.read_text("utf-8"), re.DOTALL)
    assert table is not None
    return [f"#{word}" for word in table[1].split()]


def to_lab(colors: list[str], sight: Any) -> np.ndarray:
    """ "#rrggbb", seen with the given color vision -> (N, 3) CIE L*a*b* under D65."""
    srgb = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ np.array(sight).T, 0, 1) @ XYZ.T / (0.95047, 1, 1.08883)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)


def ciede2000(one: Any, other: Any) -> np.ndarray:
    """The distance of L*a*b* colors (..., 3); Sharma, Wu and Dalal (2005)."""
    l1, a1, b1 = np.moveaxis(np.asarray(one, float), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(other, float), -1, 0)
    c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(c7 / (c7 + 25.0**7))
    c1, c2 = np.hypot(a1 * stretch, b1), np.hypot(a2 * stretch, b2)
    h1 = np.degrees(np.arctan2(b1, a1 * stretch)) % 360
    h2 = np.degrees(np.arctan2(b2, a2 * stretch)) % 360
    gray = c1 * c2 == 0
    turn = np.where(gray, 0, (h2 - h1 + 180) % 360 - 180)
    turn = np.where((h2 - h1 == 180) & ~gray, 180, turn)
    hue = np.where(
        gray, h1 + h2, np.where(abs(h1 - h2) <= 180, (h1 + h2) / 2, (h1 + h2 + np.where(h1 + h2 < 360, 360, -360)) / 2)
    )
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 + sum(
        k * np.cos(np.radians(n * hue + at))
        for k, n, at in ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.2, 4, -63))
    )
    dl = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    dc = (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2) / (1 + 0.015 * chroma * t)
    rotation = (
        2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    )
    return np.asarray(np.sqrt(dl**2 + dc**2 + dh**2 - rotation * dc * dh))


def nearest(colors: list[str], sight: str) -> float:
    """The smallest distance between two colors."""
    lab = to_lab(colors, SIGHTS[sight])
    pairs = np.array(list(itertools.combinations(range(len(colors)), 2)))
    return float(ciede2000(lab[pairs[:, 0]], lab[pairs[:, 1]]).min())


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_equals_the_published_distances(one: Any, other: Any, distance: float) -> None:
    assert ciede2000(one, other) == pytest.approx(distance, abs=1e-4)


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize(("labels", "bound"), [(8, 10.8), (16, 10.8), (32, 8.4), (64, 5.6), (255, 2.5)])
def test_any_two_label_colors_differ_with_every_color_vision(sight: str, labels: int, bound: float) -> None:
    assert nearest(read_page()[:labels], sight) > bound


def test_ground_truths_colors_are_not_safe_for_color_blindness() -> None:
    theirs = [color_of(n) for n in range(1, 9)]
    assert min(nearest(theirs, sight) for sight in SIGHTS) < 1.3


@pytest.mark.parametrize("sight", SIGHTS)
def test_colors_of_neighboring_labels_differ_more(sight: str) -> None:
    lab = to_lab(read_page()[:40], SIGHTS[sight])
    assert ciede2000(lab[:-1], lab[1:]).min() > 10.8


@pytest.mark.parametrize("sight", SIGHTS)
def test_colors_beyond_the_first_eight_differ_from_the_stripes_of_unlabeled_areas(sight: str) -> None:
    lab, stripes = to_lab(read_page()[8:40], SIGHTS[sight]), to_lab([STRIPES], SIGHTS[sight])
    assert ciede2000(lab, np.broadcast_to(stripes, lab.shape)).min() > 7


def test_255_label_colors_are_distinct() -> None:
    assert len(set(read_page())) == len(read_page()) == 255


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ([], "must be an object"),
        ({"cow": "#000000"}, "no label 'cow'"),
        ({"cat": "red"}, "'red' is not a color"),
        ({"cat": "#00000"}, "is not a color"),
        ({"cat": "#d55e00\n"}, "is not a color"),
        ({"cat": None}, "None is not a color"),
        ({"cat": "#D55E00", "dog": "#d55e00"}, "'cat' and 'dog' have the same color #d55e00"),
    ],
)
def test_invalid_colors_are_refused(wanted: Any, words: str) -> None:
    with pytest.raises(ServiceError, match=words):
        check_colors(wanted, ("cat", "dog"))


def test_colors_of_255_labels_fit_into_tags_that_aws_accepts() -> None:
    labels = [f"class {n}" for n in range(255)]
    colors = {label: f"#0000{n:02X}" for n, label in enumerate(labels)}
    tags = color_tags(labels, colors)
    assert all(re.fullmatch(r"[\w .:/=+@-]{1,256}", value) for value in tags.values())
    words = " ".join(tags.values()).split()
    found = {labels[int(match[1]) - 1]: f"#{match[2]}" for word in words if (match := IN_TAG.fullmatch(word))}
    assert found == {label: color.lower() for label, color in colors.items()}


def test_a_label_without_a_color_is_not_in_the_tags() -> None:
    assert color_tags(("cat", "dog", "cow"), {"cow": "#D55E00"}) == {"gtseg:colors": "3=d55e00"}
    assert color_tags(("cat",), {}) == {}
