"""Channels on disk: pairs of image and annotation, label maps, and errors that name the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gtseg.local.algorithm.container import ClientError, Folders
from gtseg.local.algorithm.pairs import (
    Pair,
    check_pair,
    find_pairs,
    label_table,
    read_image,
    read_label_map,
    read_mask,
)

TABLE = label_table({"scale": 1}, num_classes=3)


def draw(folder: Path, stem: str, *, mask: np.ndarray | None = None, size: tuple[int, int] = (6, 8)) -> None:
    """One pair in the `train` channel; `size` is (H, W)."""
    for channel in ("train", "train_annotation"):
        (folder / "input/data" / channel).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1]).save(folder / f"input/data/train/{stem}.jpg")
    values = np.zeros(size, np.uint8) if mask is None else mask
    Image.fromarray(values).save(folder / f"input/data/train_annotation/{stem}.png")


def test_pairs_are_sorted_by_stem(tmp_path: Path) -> None:
    for stem in ("b", "a.1", "c"):
        draw(tmp_path, stem)
    pairs = find_pairs(Folders(tmp_path), "train")
    assert [(p.image.name, p.annotation.name) for p in pairs] == [
        ("a.1.jpg", "a.1.png"),
        ("b.jpg", "b.png"),
        ("c.jpg", "c.png"),
    ]


def test_files_of_a_neighboring_prefix_are_ignored_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path, "a")
    stray = tmp_path / "input/data/train/train_annotation"
    stray.mkdir()
    (stray / "a.png").write_bytes(b"")
    assert len(find_pairs(Folders(tmp_path), "train")) == 1
    assert f"{stray} is not a readable image file" in capsys.readouterr().out


def test_an_image_without_annotation_is_named(tmp_path: Path) -> None:
    draw(tmp_path, "a")
    Image.new("RGB", (8, 6)).save(tmp_path / "input/data/train/lonely.jpg")
    with pytest.raises(ClientError, match=r"lonely\.jpg requires lonely\.png in channel 'train_annotation'"):
        find_pairs(Folders(tmp_path), "train")


def test_a_missing_channel_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="channel 'train' is required"):
        find_pairs(Folders(tmp_path), "train")


def test_an_annotation_of_another_size_is_named_with_both_sizes(tmp_path: Path) -> None:
    draw(tmp_path, "a", mask=np.zeros((5, 8), np.uint8))
    (pair,) = find_pairs(Folders(tmp_path), "train")
    with pytest.raises(ClientError, match=r"a\.png is 8x5 pixels and a\.jpg is 8x6"):
        check_pair(pair, TABLE)


def test_a_value_that_is_not_a_class_is_named_with_its_file(tmp_path: Path) -> None:
    draw(tmp_path, "a", mask=np.full((6, 8), 7, np.uint8))
    (pair,) = find_pairs(Folders(tmp_path), "train")
    with pytest.raises(ClientError, match=r"a\.png has the value 7"):
        check_pair(pair, TABLE)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_mask_with_more_than_one_channel_is_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / "m.png")
    with pytest.raises(ClientError, match=f"mode {mode}.*single-channel"):
        read_mask(tmp_path / "m.png", TABLE)


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16"])
def test_every_single_channel_mode_is_read_as_its_values(tmp_path: Path, mode: str) -> None:
    values = np.array([[0, 1], [1, 0]])
    dtype = {"1": bool, "I;16": np.uint16}.get(mode, np.uint8)
    picture = Image.fromarray(values.astype(dtype))
    if mode == "P":
        picture.putpalette([200, 10, 10, 0, 255, 0])  # the palette is for people, not for us
    picture.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", TABLE), values)


def test_broken_files_are_named(tmp_path: Path) -> None:
    draw(tmp_path, "a")
    (tmp_path / "input/data/train/a.jpg").write_bytes(b"not a jpeg")
    pair = Pair(tmp_path / "input/data/train/a.jpg", tmp_path / "input/data/train_annotation/a.png")
    with pytest.raises(ClientError, match=r"a\.jpg cannot be decoded"):
        check_pair(pair, TABLE)
    with pytest.raises(ClientError, match=r"a\.jpg cannot be decoded"):
        read_image(pair.image)


# ----------------------------------------------------------------------------------------------- label maps


def test_the_documented_map_reads_key_as_class_and_value_as_pixel() -> None:
    table = label_table({"map": {"0": 5, "1": 0, "2": 2}}, num_classes=3)
    encoded = np.array([0, 5, 2, 255])
    assert table[encoded].tolist() == [1, 0, 2, 255]


@given(st.integers(1, 60), st.integers(0, 254))
def test_scale_divides_and_rounds_down(scale: int, value: int) -> None:
    for written in (scale, str(scale)):
        expected = value // scale if value // scale < 4 else -1
        assert label_table({"scale": written}, num_classes=4)[value] == expected


@pytest.mark.parametrize(
    "content",
    [{"map": {"3": 1}}, {"map": {"0": 256}}, {"map": {"0": 4, "1": 4}}, {"scale": 0}, {"map": {"a": 1}}],
)
def test_an_invalid_label_map_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(ClientError):
        label_table(content, num_classes=3)


def test_each_channel_has_its_own_label_map_and_the_log_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input/data/label_map").mkdir(parents=True)
    (tmp_path / "input/data/label_map/train_label_map.json").write_text(json.dumps({"map": {"0": 9, "1": 8}}))
    train, validation = (read_label_map(Folders(tmp_path), c, num_classes=2) for c in ("train", "validation"))
    assert (train[9], train[8], train[0], validation[0], validation[9]) == (0, 1, -1, 0, -1)
    lines = capsys.readouterr().out
    assert "WARNING" in lines
    assert "label maps not provided, using defaults." in lines
    assert "#label_map train :{'map': {'0': 9, '1': 8}}" in lines
    assert "#label_map validation :{'scale': 1}" in lines
