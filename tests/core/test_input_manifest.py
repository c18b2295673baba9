from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.images.header import ImageHeader
from gtseg.core.labeling.input_manifest import (
    DataObject,
    build_input_manifest,
    examine,
    is_image_name,
    listed_object,
    parse_input_manifest,
    read_side_file,
)
from gtseg.errors import ManifestError

GOOD = ImageHeader("JPEG", 40, 30, "RGB")


def item(uri: str, *, etag: str = "", size: int = 10, header: ImageHeader | str = GOOD) -> DataObject:
    return examine(listed_object(uri, size, etag), header)


@pytest.mark.parametrize("name", ["a.jpg", "b/A.JPEG", "c.d.Png", "ü ü.jpg"])
def test_the_three_extensions_are_images_in_any_case_of_letters(name: str) -> None:
    assert is_image_name(name)


@pytest.mark.parametrize("name", ["a.webp", "a.tif", "jpg", "a.jpg.txt", "a."])
def test_files_with_other_extensions_are_not_images(name: str) -> None:
    assert not is_image_name(name)


@given(st.lists(st.text(min_size=1, max_size=30).filter(lambda s: s.isprintable()), min_size=1, unique=True))
def test_a_line_has_only_its_source_ref_and_is_parsed_to_the_same_value(names: list[str]) -> None:
    uris = [f"s3://pets/{name}.jpg" for name in names]
    body = build_input_manifest([item(uri, etag=uri) for uri in uris]).body
    assert [json.loads(line) for line in body.decode().split("\n")[:-1]] == [{"source-ref": uri} for uri in uris]
    assert [uri for uri, _ in parse_input_manifest(body)] == uris


def test_unicode_keys_are_written_raw() -> None:
    manifest = build_input_manifest([item("s3://pets/고양이 1.jpg")])
    assert manifest.body == '{"source-ref":"s3://pets/고양이 1.jpg"}\n'.encode()


def test_a_repeated_uri_is_dropped_and_equal_bytes_are_reported() -> None:
    items = [item("s3://pets/1.jpg", etag="x"), item("s3://pets/1.jpg", etag="x"), item("s3://pets/2.jpg", etag="x")]
    manifest = build_input_manifest(items)
    assert [o.uri for o in manifest.objects] == ["s3://pets/1.jpg", "s3://pets/2.jpg"]
    assert manifest.duplicates == (("s3://pets/1.jpg", "s3://pets/1.jpg"), ("s3://pets/2.jpg", "s3://pets/1.jpg"))


@pytest.mark.parametrize(
    ("size", "header", "words"),
    [
        (40_000_001, GOOD, "40,000,001 bytes"),
        (9, ImageHeader("JPEG", 10_001, 10_000, "RGB"), "100,010,000 pixels"),
        (9, ImageHeader("WEBP", 40, 30, "RGB"), "contains WEBP"),
        (9, "is empty", "is empty"),
    ],
)
def test_images_over_the_limits_are_rejected_with_the_value(size: int, header: ImageHeader | str, words: str) -> None:
    manifest = build_input_manifest([item("s3://pets/ok.jpg"), item("s3://pets/bad.jpg", size=size, header=header)])
    assert [o.uri for o in manifest.objects] == ["s3://pets/ok.jpg"]
    assert words in manifest.rejected[0].problem


def test_images_at_the_limits_are_accepted() -> None:
    assert not item("s3://pets/a.jpg", size=40_000_000, header=ImageHeader("PNG", 10_000, 10_000, "L")).problem


def test_automated_labeling_accepts_full_hd_at_most() -> None:
    header = ImageHeader("JPEG", 1921, 1080, "RGB")
    assert "1920 x 1080" in examine(listed_object("s3://pets/a.jpg", 1, ""), header, automated=True).problem
    assert not examine(listed_object("s3://pets/a.jpg", 1, ""), header).problem


@pytest.mark.parametrize(
    ("uri", "header", "words"),
    [
        ("s3://pets/a.jpg", ImageHeader("JPEG", 40, 30, "RGB", orientation=6), "EXIF orientation 6"),
        ("s3://pets/a.jpg", ImageHeader("JPEG", 40, 30, "CMYK"), "CMYK"),
        ("s3://pets/a.jpg", ImageHeader("PNG", 40, 30, "RGB"), "is named .jpg but is a PNG file"),
    ],
)
def test_doubtful_images_are_kept_with_a_warning(uri: str, header: ImageHeader, words: str) -> None:
    kept = item(uri, header=header)
    assert not kept.problem
    assert words in kept.remark


def test_more_than_20000_objects_are_refused() -> None:
    items = [item(f"s3://pets/{n}.jpg", etag=str(n)) for n in range(20_001)]
    assert len(build_input_manifest(items[:-1]).objects) == 20_000
    with pytest.raises(ManifestError, match=r"20,001 images.*20,000"):
        build_input_manifest(items)


def test_the_error_for_no_images_lists_the_accepted_formats() -> None:
    with pytest.raises(ManifestError, match=r"\.jpg, \.jpeg or \.png"):
        build_input_manifest([])


def test_the_lines_of_an_existing_manifest_are_unchanged() -> None:
    line = '{"old-ref": "s3://pets/m.png",  "source-ref":"s3://pets/a.jpg"}'
    assert list(parse_input_manifest(f"\ufeff{line}\r\n\n".encode())) == [("s3://pets/a.jpg", line)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "line 2 is not a JSON object"),
        ('{"source":"s3://pets/a.jpg"}', "source-ref must be"),
        ('{"source-ref":"/home/a.jpg"}', "'/home/a.jpg'"),
        ('{"source-ref":"s3://bucket"}', "line 2: .*'s3://bucket': it names no object"),
        ('{"source-ref":"s3://bucket/"}', "line 2: .*'s3://bucket/': it names no object"),
        ('{"source-ref":"S3://pets/a.jpg"}', "line 2: .*'S3://pets/a.jpg': .*write s3://pets/a.jpg"),
        ('{"source-ref":"s3:/pets/a.jpg"}', "line 2: .*'s3:/pets/a.jpg': .*write s3://pets/a.jpg"),
        ('{"source-ref":"s3://b/a.jpg"}', "line 2: .*'b' is not a bucket name"),
        ('{"source-ref":"https://pets.s3.amazonaws.com/a.jpg"}', "line 2: .*write s3://pets/a.jpg"),
        ('{"source-ref":"arn:aws:s3:::pets/a.jpg"}', "line 2: .*write s3://pets/a.jpg"),
        ('{"source-ref":7}', r"line 2: .*not 7\."),
        ('{"source-ref":"s3://pets/a.jpg","$x":1}', r"must not start with '\$'"),
        ('{"source-ref":"s3://pets/a.jpg","x":"' + "y" * 20_001 + '"}', "attribute of 20,001"),
        (
            '{"source-ref":"s3://pets/a.jpg"' + "".join(f',"k{n}":"{"y" * 15_000}"' for n in range(7)) + "}",
            "100,000",
        ),
    ],
)
def test_a_malformed_line_is_named_by_its_number(line: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        list(parse_input_manifest(f'{{"source-ref":"s3://pets/ok.jpg"}}\n{line}\n'.encode()))


def test_images_jsonl_gives_headers_only_for_the_same_bytes() -> None:
    manifest = build_input_manifest([item("s3://pets/a.jpg", etag="e1"), item("s3://pets/b.jpg", header="is empty")])
    assert read_side_file(manifest.side_body()) == {("s3://pets/a.jpg", "e1"): GOOD}
    assert [json.loads(line).get("rejected") for line in manifest.side_body().splitlines()] == [
        None,
        "is empty",
    ]


def test_20000_images_take_a_few_megabytes_of_memory() -> None:
    tracemalloc.start()
    try:
        header = ImageHeader("JPEG", 10, 10, "RGB", 1)
        items = [listed_object(f"s3://pets/images/{n:06}.jpg", 5, f"{n:032x}") for n in range(2_000)]
        manifest = build_input_manifest(examine(item, header) for item in items)
        assert len(manifest.objects) == 2_000
        assert tracemalloc.get_traced_memory()[0] < 2_000 * 600
    finally:
        tracemalloc.stop()
