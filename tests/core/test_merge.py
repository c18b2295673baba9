"""Merging of labels from elsewhere into a run's manifest."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.labeling.chained_jobs import ChainLine, read_chain, write_lines
from gtseg.core.labeling.merge import (
    ABSENT,
    OTHER,
    SEVERAL,
    Arrival,
    Images,
    KnownImage,
    merge_lines,
    read_images_jsonl,
)

A, B, C = "a" * 32, "b" * 32, "c" * 32
HOME = [
    KnownImage("s3://home/x/1.jpg", 10, A),
    KnownImage("s3://home/y/1.jpg", 20, B),
    KnownImage("s3://home/y/2.jpg", 30, C),
    KnownImage("s3://home/x/same.jpg", 40, C),
    KnownImage("s3://home/y/same.jpg", 40, C),
    KnownImage("s3://home/kms.jpg", 50, A),
]


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (KnownImage("s3://field/other-name.jpg", 10, A), ("s3://home/x/1.jpg", "")),  # by its bytes
        (KnownImage("s3://field/y/1.jpg", 10, A), ("s3://home/x/1.jpg", "")),  # bytes before names
        (KnownImage("s3://field/1.jpg", 11, C), ("", OTHER)),
        (KnownImage("s3://field/9.jpg", 10, C), ("", ABSENT)),
        (KnownImage("s3://field/2.jpg"), ("s3://home/y/2.jpg", "")),  # nobody knows its bytes: by its name
        (KnownImage("s3://field/y/1.jpg"), ("s3://home/y/1.jpg", "")),
        (KnownImage("s3://field/1.jpg"), ("", SEVERAL)),
        (KnownImage("s3://field/x/same.jpg", 40, C), ("s3://home/x/same.jpg", "")),
        (KnownImage("s3://field/same.jpg", 40, C), ("", SEVERAL)),
        (
            KnownImage("s3://field/kms.jpg", 50, B),
            ("s3://home/kms.jpg", ""),
        ),  # the run's ETag is no MD5: its bytes say so
    ],
)
def test_an_image_is_matched_by_its_bytes_else_by_its_name(image: KnownImage, found: tuple[str, str]) -> None:
    assert Images(HOME, digest=lambda uri: B if "kms" in uri else A).find(image) == found


def line(number: int, mask: str | None = None, **more: object) -> ChainLine:
    entry = {"source-ref": f"s3://home/{number}.jpg", **more}
    if mask:
        entry |= {"l": f"s3://home/masks/{mask}.png", "l-metadata": {"job-name": "own"}}
    return read_chain(write_lines([entry]), "l")[0]


def arrival(number: int, mask: str) -> Arrival:
    return Arrival(f"s3://home/{number}.jpg", f"s3://home/new/{mask}.png", {"job-name": "labeling-job/f"})


LINES = [line(0, "own"), line(1), line(2, **{"l-metadata": {"failure-reason": "no"}}), line(3, "m"), line(4)]
ARRIVALS = {a.image: a for a in (arrival(0, "x"), arrival(1, "y"), arrival(2, "z"), arrival(3, "m"))}


def test_existing_labels_stay_and_a_failed_object_loses_its_failure_reason() -> None:
    merged = merge_lines(LINES, "l", ARRIVALS)
    assert [entry.get("l") for entry in merged.entries] == [
        "s3://home/masks/own.png",
        "s3://home/new/y.png",
        "s3://home/new/z.png",
        "s3://home/masks/m.png",
        None,
    ]
    assert (list(merged.taken), merged.there, merged.stays) == (
        [1, 2],
        ("s3://home/3.jpg",),
        ("s3://home/0.jpg",),
    )
    assert merged.count("l") == {
        "TotalLabeled": 4,
        "HumanLabeled": 4,
        "FailedNonRetryableError": 0,
        "Unlabeled": 1,
    }


def test_replacing_changes_different_labels_only() -> None:
    assert list(merge_lines(LINES, "l", ARRIVALS, replace=True).taken) == [0, 1, 2]


@given(
    st.lists(st.sampled_from([None, "own", "m"]), max_size=6),
    st.dictionaries(st.integers(0, 7), st.sampled_from(["x", "m"]), max_size=6),
    st.booleans(),
)
def test_merging_twice_equals_merging_once(masks: list[str | None], new: dict[int, str], replace: bool) -> None:
    lines = [line(number, mask) for number, mask in enumerate(masks)]
    arrivals = {a.image: a for a in (arrival(number, mask) for number, mask in new.items())}
    once = merge_lines(lines, "l", arrivals, replace=replace)
    again = merge_lines(read_chain(write_lines(list(once.entries)), "l"), "l", arrivals, replace=replace)
    assert again.entries == once.entries
    assert not again.taken
    known = {entry["source-ref"] for entry in once.entries} & arrivals.keys()
    assert len(once.taken) + len(once.there) + len(once.stays) == len(known)


def test_damaged_lines_of_images_jsonl_are_skipped() -> None:
    good = {"source-ref": "s3://b/1.jpg", "size": 3, "etag": A, "format": "JPEG"}
    body = b"\n".join([json.dumps(good).encode(), b"{", b"\xff", b'{"size": 1}'])
    assert read_images_jsonl(body) == {"s3://b/1.jpg": KnownImage("s3://b/1.jpg", 3, A)}
