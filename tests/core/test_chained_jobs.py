from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.labeling.chained_jobs import (
    adjust_lines,
    continue_lines,
    label_names,
    read_chain,
    read_verdicts,
    verify_lines,
)
from gtseg.errors import ManifestError

MAP = {
    "0": {"class-name": "BACKGROUND", "hex-color": "#ffffff"},
    "2": {"class-name": "dog", "hex-color": "#1f77b4"},
    "1": {"class-name": "cat", "hex-color": "#2ca02c"},
}


def labeled(image: str, **more: Any) -> dict[str, Any]:
    return {
        "source-ref": image,
        "x-ref": f"{image}.png",
        "x-ref-metadata": {"internal-color-map": MAP},
        **more,
    }


FAILED = {"source-ref": "s3://b/f.jpg", "x-ref-metadata": {"failure-reason": "declined"}}
UNLABELED = {"source-ref": "s3://b/u.jpg", "gtseg-group": "scene"}
DONE = labeled("s3://b/a.jpg")


def body_of(*entries: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def entries_of(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines()]


def test_continuing_keeps_every_object_and_removes_labels_to_be_redone() -> None:
    redo = labeled("s3://b/r.jpg")
    chained = continue_lines(read_chain(body_of(DONE, FAILED, UNLABELED, redo), "x-ref"), "x-ref", {"s3://b/r.jpg"})
    assert chained.todo == ("s3://b/f.jpg", "s3://b/u.jpg", "s3://b/r.jpg")
    assert entries_of(chained.body) == [
        DONE,
        {"source-ref": "s3://b/f.jpg"},
        UNLABELED,
        {"source-ref": "s3://b/r.jpg"},
    ]


@given(st.lists(st.sampled_from(["done", "failed", "unlabeled"]), max_size=20), st.sets(st.integers(0, 19)))
def test_no_object_is_lost_duplicated_or_labeled_twice(states: list[str], redo: set[int]) -> None:
    kinds = {"done": DONE, "failed": FAILED, "unlabeled": UNLABELED}
    entries = [kinds[state] | {"source-ref": f"s3://b/{n}.jpg"} for n, state in enumerate(states)]
    names = {f"s3://b/{n}.jpg" for n in redo}
    chained = continue_lines(read_chain(body_of(*entries), "x-ref"), "x-ref", names)
    written = entries_of(chained.body)
    assert [e["source-ref"] for e in written] == [e["source-ref"] for e in entries]
    assert [e["source-ref"] for e in written if "x-ref" not in e] == list(chained.todo)
    assert not any("x-ref-metadata" in e for e in written if "x-ref" not in e)


def test_adjusting_some_objects_keeps_the_others_and_drops_those_without_a_mask() -> None:
    other = labeled("s3://b/c.jpg", **{"old-ref": "s3://b/o.png", "old-ref-metadata": {"internal-color-map": {}}})
    lines = read_chain(body_of(DONE, FAILED, UNLABELED, other), "x-ref")
    chained = adjust_lines(lines, "x-ref", attribute="y-ref", only={"s3://b/a.jpg": ["no tail"]})
    first, second = entries_of(chained.body)
    assert chained.todo == ("s3://b/a.jpg",)
    assert first.pop("review-metadata")["worker-feedback"] == [{"comment": "no tail"}]
    assert first == DONE | {"review": "1"}
    assert "review" not in second
    assert second["y-ref"] == second["x-ref"]
    assert second["y-ref-metadata"] == second["x-ref-metadata"]
    assert "old-ref" not in second
    assert "old-ref-metadata" not in second


def test_classes_are_in_the_order_of_their_numbers() -> None:
    lines = read_chain(body_of(DONE, FAILED), "x-ref")
    assert label_names(lines, "x-ref") == ("cat", "dog")
    assert verify_lines(lines, "x-ref").todo == ("s3://b/a.jpg",)


@pytest.mark.parametrize("table", [None, [], {"1": {"class-name": "cat"}}, {"one": MAP["1"]}, {"1": "cat"}])
def test_a_color_map_that_cannot_be_shown_is_named_with_its_image(table: Any) -> None:
    entry = DONE | {"x-ref-metadata": {"internal-color-map": table}}
    with pytest.raises(ManifestError, match=r"s3://b/a\.jpg"):
        label_names(read_chain(body_of(entry), "x-ref"), "x-ref")


@pytest.mark.parametrize("text", [b"{\n", b"[]\n", b'{"source-ref": 3}\n'])
def test_an_invalid_line_is_named_by_its_number(text: bytes) -> None:
    with pytest.raises(ManifestError, match="line 1"):
        read_chain(text, "x-ref")


def test_verdicts_are_read_with_comments_and_failures() -> None:
    said = {
        "source-ref": "s3://b/a.jpg",
        "v": "1",
        "v-metadata": {"class-name": "bad", "confidence": 0.7, "worker-feedback": [{"comment": "ears"}, {}]},
    }
    failed = {"source-ref": "s3://b/f.jpg", "v-metadata": {"failure-reason": "declined"}}
    bad, none = read_verdicts(body_of(said, failed, UNLABELED), "v")
    assert (bad.name, bad.confidence, bad.comments) == ("bad", 0.7, ("ears",))
    assert (none.name, none.reason) == ("", "declined")
