"""train, validation, test: every image once, reproducible, stable when the dataset grows."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtseg.core.training.splits import PARTS, Item, assign, group_of

SHARES = {"train": 0.7, "validation": 0.2, "test": 0.1}


def images(count: int, start: int = 0) -> list[Item]:
    return [Item(f"s3://b/{n}.jpg", f"etag{n}", f"image {n}") for n in range(start, start + count)]


def grouped(sizes: list[int]) -> list[Item]:
    return [Item(f"{g}/{n}", f"{g}-{n}", f"group {g}") for g, size in enumerate(sizes) for n in range(size)]


def test_the_split_has_the_configured_shares() -> None:
    assert Counter(assign(images(1000), SHARES, seed=1).parts) == {
        "train": 700,
        "validation": 200,
        "test": 100,
    }


@pytest.mark.parametrize(
    ("count", "expected"), [(1, {"train"}), (2, {"train", "validation"}), (3, set(PARTS)), (4, set(PARTS))]
)
def test_every_split_gets_a_group_if_there_are_enough(count: int, expected: set[str]) -> None:
    assert set(assign(images(count), SHARES, seed=0).parts) == expected


def test_a_split_without_a_share_is_empty() -> None:
    assert set(assign(images(50), {"train": 0.8, "validation": 0.2, "test": 0}, seed=0).parts) == {
        "train",
        "validation",
    }


@given(st.integers(0, 60), st.integers(0, 2**63 - 1), st.randoms())
@settings(deadline=None)
def test_the_order_of_the_images_does_not_matter(count: int, seed: int, random: object) -> None:
    items = images(count)
    parts = dict(zip([i.key for i in items], assign(items, SHARES, seed=seed).parts, strict=True))
    random.shuffle(items)  # type: ignore[attr-defined]
    assert [parts[i.key] for i in items] == list(assign(items, SHARES, seed=seed).parts)
    assert len(parts) == count


def test_another_seed_gives_another_split() -> None:
    assert assign(images(100), SHARES, seed=1).parts != assign(images(100), SHARES, seed=2).parts


@given(st.lists(st.integers(1, 9), min_size=1, max_size=25), st.integers(0, 100))
@settings(deadline=None)
def test_a_group_is_never_divided(sizes: list[int], seed: int) -> None:
    items = grouped(sizes)
    result = assign(items, SHARES, seed=seed)
    parts = {(item.group, part) for item, part in zip(items, result.parts, strict=True)}
    assert len(parts) == len(sizes)
    if len(sizes) >= 3:
        assert {part for _, part in parts} == set(PARTS)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 100))
@settings(deadline=None)
def test_assigned_images_keep_their_split(before: int, more: int, seed: int) -> None:
    old = images(before)
    first = assign(old, SHARES, seed=seed)
    earlier = {item.key: part for item, part in zip(old, first.parts, strict=True)}
    grown = assign(old + images(more, start=before), SHARES, seed=seed, earlier=earlier)
    assert grown.parts[:before] == first.parts
    assert before + more < 3 or set(grown.parts) == set(PARTS)


def test_new_images_go_to_the_split_with_the_largest_deficit() -> None:
    earlier = {item.key: "train" for item in images(70)}
    assert Counter(assign(images(100), SHARES, seed=3, earlier=earlier).parts) == {
        "train": 70,
        "validation": 20,
        "test": 10,
    }


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.integers(0, 50))
@settings(deadline=None)
def test_images_with_equal_bytes_are_in_one_split(contents: list[int], seed: int) -> None:
    items = [Item(f"{n}.jpg", f"etag{c}", f"image {n}") for n, c in enumerate(contents)]
    parts = assign(items, SHARES, seed=seed).parts
    assert len(set(zip(contents, parts, strict=True))) == len(set(contents))


def test_an_image_with_the_bytes_of_an_assigned_one_gets_its_split() -> None:
    items = [Item("new.jpg", "same", "image new"), *images(20)]
    assert assign(items, SHARES, seed=0, earlier={"same": "test"}).parts[0] == "test"


def test_a_group_divided_earlier_stays_divided_and_is_named() -> None:
    items = [Item("a", "1", "g"), Item("b", "2", "g"), Item("c", "3", "g")]
    result = assign(items, SHARES, seed=0, earlier={"a": "test", "b": "train"})
    assert result.parts == ("test", "train", "train")
    assert result.spread == ("g",)


@pytest.mark.parametrize(
    ("key", "pattern", "group"),
    [
        ("a/scene_7_x.jpg", r"scene_(\d+)", "group 7"),
        ("a/scene_7_x.jpg", r"scene_\d+", "group scene_7"),
        ("a/7_8.jpg", r"(\d)_(\d)", "group 7\x1f8"),
        ("a/x.jpg", r"scene_(\d+)", "image a/x.jpg"),
        ("a/x.jpg", None, "image a/x.jpg"),
    ],
)
def test_group_of_returns_what_the_pattern_matches(key: str, pattern: str | None, group: str) -> None:
    assert group_of(key, pattern) == group


@given(st.lists(st.integers(1, 4), min_size=1, max_size=30), st.data())
def test_train_only_images_are_in_train_and_no_group_is_divided(sizes: list[int], data: st.DataObject) -> None:
    items = grouped(sizes)
    apart = data.draw(st.sets(st.integers(0, len(items) - 1)))
    earlier = data.draw(st.dictionaries(st.sampled_from([item.key for item in items]), st.sampled_from(PARTS)))
    parts = assign(items, SHARES, seed=3, earlier=earlier, train_only=apart).parts
    assert all(parts[n] in ("train", "") for n in apart)
    assert all(part in PARTS for n, part in enumerate(parts) if n not in apart)
    for position in apart:
        others = {parts[n] for n, item in enumerate(items) if item.group == items[position].group and n not in apart}
        assert (parts[position] == "") == bool(others - {"train"})
