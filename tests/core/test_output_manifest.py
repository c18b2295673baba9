"""output.manifest: labeled, failed, unlabeled and unusable objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtseg.core.labeling.output_manifest import (
    Failed,
    Labeled,
    Line,
    Unlabeled,
    Unusable,
    find_bare_attributes,
    find_label_attributes,
    read_manifest,
    split_lines,
)
from gtseg.core.masks import parse_color_map
from gtseg.errors import ManifestError

DATA = Path(__file__).parents[1] / "data"
MAP = {
    "0": {"class-name": "BACKGROUND", "hex-color": "#ffffff", "confidence": 0},
    "1": {"class-name": "cat", "hex-color": "#2ca02c", "confidence": 0},
}
METADATA = {"internal-color-map": MAP, "type": "groundtruth/semantic-segmentation"}


def read(*lines: Any, label: str = "pets-ref") -> list[Line]:
    body = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    return list(read_manifest([body], label))


def test_four_kinds_of_objects_are_distinguished() -> None:
    lines = read(
        {"source-ref": "s3://b/1.jpg", "pets-ref": "s3://b/m.png", "pets-ref-metadata": METADATA},
        {
            "source-ref": "s3://b/2.jpg",
            "pets-ref-metadata": {"failure-reason": "nobody came", "job-name": "j"},
        },
        {"source-ref": "s3://b/3.jpg", "other": 1},
        {"source-ref": "s3://b/4.jpg", "pets-ref": 3, "pets-ref-metadata": METADATA},
        {"source-ref": "s3://b/5.jpg", "pets-ref": "s3://b/m.png", "pets-ref-metadata": {"class-name": "x"}},
        {
            "source-ref": "s3://b/6.jpg",
            "pets-ref": "s3://b/m.png",
            "pets-ref-metadata": {"internal-color-map": {"x": {"class-name": "c"}}},
        },
    )
    assert [type(line) for line in lines] == [Labeled, Failed, Unlabeled, Unusable, Unusable, Unusable]
    assert [line.number for line in lines] == [1, 2, 3, 4, 5, 6]
    assert isinstance(lines[1], Failed)
    assert lines[1].reason == "nobody came"
    assert isinstance(lines[5], Unusable)
    assert "key 'x' is not a pixel value" in lines[5].reason


def test_the_real_manifest_is_read() -> None:
    body = (DATA / "pcb-3-classes" / "output.manifest").read_bytes()
    assert find_label_attributes([body]) == {"S10-label3-ref": 1}
    (line,) = read_manifest([body], "S10-label3-ref")
    assert isinstance(line, Labeled)
    assert [entry.name for entry in line.colors.entries] == ["BACKGROUND", "IC", "resistor1", "resistor2"]
    assert line.confidence is None


def test_old_color_maps_without_colors_are_read() -> None:
    plain = {"0": {"class-name": "BACKGROUND"}, "1": {"class-name": "cat", "confidence": None}}
    (line,) = read({"source-ref": "s3://b/1.jpg", "pets-ref": "m", "pets-ref-metadata": {"internal-color-map": plain}})
    assert isinstance(line, Labeled)
    assert not line.colors.has_colors


@pytest.mark.parametrize(
    ("values", "lowest"), [((0, 0), None), ((0.8, 0.8), 0.8), ((0, 0.25), 0.25), ((0.9, 0.4), 0.4)]
)
def test_a_confidence_of_0_is_read_as_absent(values: tuple[float, float], lowest: float | None) -> None:
    colors = {key: {**entry, "confidence": value} for (key, entry), value in zip(MAP.items(), values, strict=True)}
    (line,) = read({"source-ref": "s3://b/1.jpg", "pets-ref": "m", "pets-ref-metadata": {"internal-color-map": colors}})
    assert isinstance(line, Labeled)
    assert line.confidence == lowest


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "line 2 is not JSON"),
        (b"[1]", "line 2 is not a JSON object"),
        (b'"text"', "line 2 is not a JSON object"),
        (b'{"source": "text"}', "line 2 names no image"),
        (b'{"source-ref": 5}', "line 2 names no image"),
        (b'{"source-ref": ""}', "line 2 names no image"),
        (b'{"source-ref": "\xff"}', "line 2 is not JSON"),
        (b"[" * 100_000, "line 2 is not JSON"),
    ],
)
def test_an_invalid_line_is_named_by_its_number(line: bytes, why: str) -> None:
    with pytest.raises(ManifestError, match=why):
        read({"source-ref": "s3://b/1.jpg"}, line)


def test_all_label_attributes_are_found() -> None:
    line = {
        "source-ref": "s3://b/1.jpg",
        "a-ref": "m",
        "a-ref-metadata": METADATA,
        "b-ref": "m",
        "b-ref-metadata": METADATA,
        "c": 1,
        "c-metadata": {"type": "groundtruth/image-classification"},
    }
    failed = {
        "source-ref": "s3://b/2.jpg",
        "b-ref-metadata": {"failure-reason": "x", "type": "groundtruth/semantic-segmentation"},
    }
    body = json.dumps(line).encode() + b"\n" + json.dumps(failed).encode()
    assert find_label_attributes([body]) == {"b-ref": 2, "a-ref": 1}
    assert find_label_attributes([(DATA / "mturk-worker-responses" / "output.manifest").read_bytes()]) == {}


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(st.lists(names, max_size=20), st.integers(1, 64), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans())
@settings(deadline=None)
def test_lines_are_complete_for_any_division_into_pieces(keys: list[str], piece: int, newline: str, ends: bool) -> None:
    body = newline.join(json.dumps({"source-ref": f"s3://b/{key}"}, ensure_ascii=False) for key in keys).encode()
    body = b"\xef\xbb\xbf" + body + (newline.encode() if ends else b"")
    pieces = [body[i : i + piece] for i in range(0, len(body), piece)]
    assert [line.image for line in read_manifest(pieces, "x-ref")] == [f"s3://b/{key}" for key in keys]


@given(
    st.dictionaries(
        names,
        st.recursive(
            st.none() | st.integers() | names,
            lambda v: st.lists(v, max_size=3) | st.dictionaries(names, v, max_size=3),
            max_leaves=10,
        ),
    )
)
@settings(deadline=None)
def test_other_members_of_a_line_are_ignored(others: dict[str, Any]) -> None:
    others = {k: v for k, v in others.items() if not k.startswith("pets-ref")}
    lines = read(
        {
            **others,
            "source-ref": "s3://b/1.jpg",
            "pets-ref": "s3://b/m.png",
            "pets-ref-metadata": {**METADATA, "more": others},
        }
    )
    assert isinstance(lines[0], Labeled)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_a_manifest_or_raise_a_manifest_error(body: bytes) -> None:
    try:
        assert all(line.image for line in read_manifest([body], "pets-ref"))
    except ManifestError as error:
        assert "line " in str(error)  # noqa: PT017


def test_a_line_without_an_end_is_refused_at_a_limit() -> None:
    def endless() -> Any:
        while True:
            yield b"x" * 1_000_000

    with pytest.raises(ManifestError, match="longer than"):
        list(split_lines(endless()))


def labeled(attribute: str, image: str = "s3://b/1.jpg") -> dict[str, Any]:
    return {"source-ref": image, attribute: "s3://b/m.png", f"{attribute}-metadata": METADATA}


def test_lines_of_two_jobs_are_read_with_two_attributes() -> None:
    failed = {"source-ref": "s3://b/3.jpg", "tuesday-ref-metadata": {"failure-reason": "nobody came"}}
    lines = read(
        labeled("monday-ref"),
        labeled("tuesday-ref"),
        failed,
        {"source-ref": "s3://b/4.jpg"},
        labeled("monday-ref") | failed,
        label="monday-ref, tuesday-ref-metadata",
    )
    assert [type(line) for line in lines] == [Labeled, Labeled, Failed, Unlabeled, Labeled]


def test_a_line_with_both_labels_is_refused_by_its_number() -> None:
    with pytest.raises(ManifestError, match="line 2 has several labels, monday-ref and tuesday-ref"):
        read(
            labeled("monday-ref"),
            labeled("monday-ref") | labeled("tuesday-ref"),
            label="monday-ref,tuesday-ref",
        )


def test_a_label_without_metadata_needs_a_color_table() -> None:
    bare = {"source-ref": "s3://b/1.jpg", "annotation-ref": "s3://b/m.png"}
    (line,) = read(bare, label="annotation-ref")
    assert isinstance(line, Unusable)
    assert "--colors FILE" in line.reason
    assert "gtseg import masks" in line.reason
    table = parse_color_map({"0": ("BACKGROUND", None), "1": ("road", None)})
    body = json.dumps(bare).encode()
    assert list(read_manifest([body], "annotation-ref", table=table)) == [
        Labeled(1, "s3://b/1.jpg", "s3://b/m.png", table, None)
    ]
    assert find_bare_attributes([body]) == {"annotation-ref": 1}
    assert find_bare_attributes([json.dumps(labeled("a-ref")).encode()]) == {}
