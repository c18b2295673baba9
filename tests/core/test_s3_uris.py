from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.s3_uris import (
    find_path_problem,
    find_problem,
    is_path,
    is_s3_uri,
    read_reference,
    require_file,
    require_location,
    require_path,
    split_uri,
)
from gtseg.errors import SettingsError

ACCESS_POINT = "arn:aws:s3:us-east-1:111122223333:accesspoint/pics"
CONSOLE = "https://eu-west-1.console.aws.amazon.com/s3"
S3_URIS = ("s3://pets", "s3://pets/", "s3://pets/a b/c.jpg", "s3://pets//a", "s3://Old_Bucket.x/a", "s3://pets/a\nb")
PATHS = ("s3data/x", "s3", "S3/x", "./s3:/bucket/x", "/a/s3:", "C:\\images", "C:/images", "a:b", "day:1/x", "-", "")

# mistyped or of another kind -> what to write instead
MISTYPED = {
    "S3://pets/a.jpg": "write s3://pets/a.jpg",
    "s3:/pets/a.jpg": "write s3://pets/a.jpg",
    "s3:pets/a.jpg": "write s3://pets/a.jpg",
    "s3:///pets/a.jpg": "write s3://pets/a.jpg",
    " s3://pets/a.jpg": "write s3://pets/a.jpg",
    "s3a://pets/a.jpg": "write s3://pets/a.jpg",
    "arn:aws:s3:::pets/a.jpg": "write s3://pets/a.jpg",
    "https://pets.s3.amazonaws.com/a.jpg": "write s3://pets/a.jpg",
    "https:/pets.s3.eu-west-1.amazonaws.com/a%20b.jpg": "write s3://pets/a b.jpg",
    f"{CONSOLE}/buckets/pets?region=eu-west-1&prefix=a/b/&showversions=false": "write s3://pets/a/b/",
    f"{CONSOLE}/object/pets?prefix=a%20b.jpg": "write s3://pets/a b.jpg",
    "https://s3.console.aws.amazon.com/s3/buckets/pets/a/?region=us-east-1": "write s3://pets/a/",
    "s3://": "no bucket name: write s3://BUCKET/KEY",
    "s3:": "no bucket name: write s3://BUCKET/KEY",
    "s3:///": "no bucket name: write s3://BUCKET/KEY",
    "s3://b/x": "'b' is not a bucket name",
    "S3:/b/x": "'b' is not a bucket name",
    "s3://a b/x": "'a b' is not a bucket name",
    "s3://pets:80/x": "'pets:80' is not a bucket name",
    f"s3://{ACCESS_POINT}/a": "alias, not its ARN: write s3://NAME-s3alias/KEY",
    ACCESS_POINT: "alias, not its ARN: write s3://NAME-s3alias/KEY",
    "arn:aws:sagemaker:us-east-1:111122223333:model/m": "must be an s3:// URI or a path; it is an ARN",
    "https://example.com/a.jpg": "other schemes are not supported",
    "https://[x/a": "other schemes are not supported",
    "gs://bucket/a": "other schemes are not supported",
}


@pytest.mark.parametrize("text", S3_URIS)
def test_an_s3_uri_is_neither_a_path_nor_a_problem(text: str) -> None:
    assert is_s3_uri(text)
    assert not is_path(text)
    assert find_problem(text) == ""
    assert "aws s3 cp" in find_path_problem(text)


@pytest.mark.parametrize("text", PATHS)
def test_a_file_name_is_a_path(text: str) -> None:
    assert not is_s3_uri(text)
    assert is_path(text)
    assert find_problem(text) == find_path_problem(text) == ""


@pytest.mark.parametrize(("text", "words"), MISTYPED.items())
def test_a_mistyped_address_is_no_path_and_the_solution_is_named(text: str, words: str) -> None:
    assert find_problem(text).endswith(words) or words in find_problem(text)
    assert not is_path(text)
    with pytest.raises(SettingsError) as refused:
        require_location(text, "--manifest")
    assert str(refused.value) == f"--manifest {text}: {find_problem(text)}"
    with pytest.raises(SettingsError, match=r"^--out .* path on this machine"):
        require_path(text, "--out")


@pytest.mark.parametrize("text", [text for text in MISTYPED if text.strip().lower().startswith("s3:")])
def test_a_mistyped_s3_uri_is_never_taken_for_a_file_name(text: str) -> None:
    for check in (is_s3_uri, split_uri):
        with pytest.raises(SettingsError):
            check(text)


def test_a_uri_that_pathlib_shortened_is_recognized() -> None:
    assert find_problem(str(Path("s3://pets/a.jpg"))).endswith("write s3://pets/a.jpg")


@given(
    st.from_regex(r"[a-z0-9]{3,10}", fullmatch=True), st.text(max_size=20), st.sampled_from(["S3://", "s3:/", "s3:"])
)
def test_the_suggested_uri_has_the_bucket_and_the_key(bucket: str, key: str, start: str) -> None:
    suggested = find_problem(f"{start}{bucket}/{key}").partition("write ")[2]
    assert split_uri(suggested) == (bucket, key)


@given(st.text(max_size=30))
def test_every_text_is_an_s3_uri_or_a_path_or_has_a_problem(text: str) -> None:
    is_uri = text.startswith("s3://") and not find_problem(text)
    assert [is_uri, is_path(text), bool(find_problem(text))].count(True) == 1


@pytest.mark.parametrize(
    "text",
    [
        "https://pets.s3.amazonaws.com/field%20day/a%2Bb.jpg",
        "https://pets.s3.eu-central-1.amazonaws.com/field%20day/a+b.jpg?X-Amz-Signature=1&x=/",
        "https://pets.s3-eu-west-1.amazonaws.com/field%20day/a+b.jpg",
        "https://s3.us-gov-west-1.amazonaws.com/pets/field%20day/a+b.jpg",
        "http://s3.amazonaws.com/pets/field day/a+b.jpg",
        "https://pets.s3.dualstack.us-east-1.amazonaws.com/field%20day/a+b.jpg",
        "https://pets.s3-accelerate.amazonaws.com/field%20day/a+b.jpg",
        "https://pets.s3.cn-north-1.amazonaws.com.cn/field%20day/a+b.jpg",
        "arn:aws:s3:::pets/field day/a+b.jpg",
        "s3a://pets/field day/a+b.jpg",
        "s3://pets/field day/a+b.jpg",
    ],
)
def test_every_url_of_an_s3_object_becomes_its_s3_uri(text: str) -> None:
    assert read_reference(text) == "s3://pets/field day/a+b.jpg"


@pytest.mark.parametrize(
    "text",
    ["https://example.com/a.jpg", "https://pets.s3.example.com/a.jpg", "images/a.jpg", "https://[x/a", ""],
)
def test_other_urls_are_unchanged(text: str) -> None:
    assert read_reference(text) == text


def test_a_bucket_name_with_dots_is_read() -> None:
    assert read_reference("https://my.photo.bucket.s3.us-east-1.amazonaws.com/k") == "s3://my.photo.bucket/k"


@pytest.mark.parametrize("text", ["s3://pets", "s3://pets/"])
def test_a_bucket_alone_is_no_file(text: str) -> None:
    with pytest.raises(SettingsError, match=f"^--manifest {text}: it names no object: write s3://pets/KEY$"):
        require_file(text, "--manifest")


@pytest.mark.parametrize("text", ["s3://pets/a", "output.manifest"])
def test_an_object_and_a_path_are_files(text: str) -> None:
    assert require_file(text, "--manifest") == text
