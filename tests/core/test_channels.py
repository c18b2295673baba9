"""Object names in the channels: all different, none lost."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from gtseg.core.training.channels import (
    CHANNELS,
    annotation_key,
    channel_uri,
    image_key,
    label_maps,
    name_stems,
)


def test_a_plain_name_is_unchanged() -> None:
    assert name_stems(["s3://b/a/IMG_7.JPG", "s3://b/cat-2.jpeg", "s3://b/x.png"]) == ["IMG_7", "cat-2", "x"]


def test_each_of_several_equal_names_gets_a_digest() -> None:
    names = name_stems(["s3://b/1/x.jpg", "s3://b/2/x.jpg", "s3://b/1/x.png", "s3://b/X.jpg", "s3://b/y.jpg"])
    assert len({n.casefold() for n in names}) == 5
    assert names[4] == "y"
    assert all(len(n) == 10 and n.casefold().startswith("x-") for n in names[:4])


def test_other_characters_of_a_name_are_replaced() -> None:
    names = name_stems(
        [
            "s3://b/a b.jpg",
            "s3://b/a.b.jpg",
            "s3://b/a_b.jpg",
            "s3://b/übung.jpg",
            "s3://b/日本.jpg",
            "s3://b/" + "x" * 300 + ".jpg",
            "s3://b/.jpg",
        ]
    )
    assert names[2] == "a_b"
    assert names[0].startswith("a_b-")
    assert names[4].startswith("image-")
    assert all(n.isascii() and len(n) <= 100 for n in names)


def test_a_generated_name_never_equals_an_existing_one() -> None:
    made = name_stems(["s3://b/1/x.jpg", "s3://b/2/x.jpg"])[0]
    names = name_stems(["s3://b/1/x.jpg", "s3://b/2/x.jpg", f"s3://b/{made}.jpg"])
    assert names[2] == made
    assert len(set(names)) == 3


def test_a_repeated_uri_is_two_objects() -> None:
    assert len(set(name_stems(["s3://b/x.jpg"] * 3))) == 3


@given(st.lists(st.text(st.sampled_from("aAb._- /é\u0130ß"), min_size=1, max_size=8), max_size=30), st.randoms())
@settings(deadline=None)
def test_all_names_differ_also_ignoring_case(keys: list[str], random: object) -> None:
    images = [f"s3://bucket/{key}.jpg" for key in keys]
    names = name_stems(images)
    assert len({name.casefold() for name in names}) == len(keys)
    assert name_stems(images) == names
    unique = sorted(set(images))
    before = dict(zip(unique, name_stems(unique), strict=True))
    random.shuffle(unique)  # type: ignore[attr-defined]
    assert [before[image] for image in unique] == name_stems(unique)


def test_channels_end_with_a_slash_and_files_pair_by_stem() -> None:
    assert channel_uri("s3://b/r/channels/", "train") == "s3://b/r/channels/train/"
    assert (image_key("test", "x"), annotation_key("test", "x")) == ("test/x.jpg", "test_annotation/x.png")
    assert len(CHANNELS) == 7


def test_both_label_maps_map_indices_to_classes() -> None:
    maps = label_maps()
    assert set(maps) == {"label_map/train_label_map.json", "label_map/validation_label_map.json"}
    assert all(json.loads(body) == {"scale": 1} for body in maps.values())
