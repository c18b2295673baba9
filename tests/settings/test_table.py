from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.errors import SettingsError
from gtseg.settings.table import (
    check_location,
    check_model,
    check_object,
    check_path,
    check_run_name,
    duration_text,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("45m", 2700), ("1h", 3600), ("10d", 864_000), ("1h 30m", 5400)]
)
def test_durations_are_parsed(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "1.5h", "h", "-1s", "1h?", 90, None])
def test_a_duration_without_a_unit_or_number_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(1, 10**7))
def test_a_formatted_duration_is_parsed_to_the_same_value(seconds: int) -> None:
    assert parse_duration(duration_text(seconds)) == seconds


@pytest.mark.parametrize("name", ["", "a b", "-a", "a-", "ü", "a" * 41, "a/b"])
def test_a_run_name_that_cannot_start_a_resources_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="--run"):
        check_run_name(name)


@pytest.mark.parametrize("text", ["photos", "s3://bucket", "s3://bucket/a b/", "s3://pics-abc123-s3alias/a", "/a/s3:"])
def test_a_path_and_an_s3_uri_are_locations(text: str) -> None:
    assert check_location(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("s3://arn:aws:s3:us-east-1:111122223333:accesspoint/pics/a", "alias"),
        ("s3://", "bucket name"),
        ("s3:///a", "bucket name"),
        ("s3://b/x", "'b' is not a bucket name"),
        ("S3://bucket/x", "write s3://bucket/x$"),
        ("s3:/bucket/x", "write s3://bucket/x$"),
        ("https://bucket.s3.amazonaws.com/x", "write s3://bucket/x$"),
        ("arn:aws:s3:::bucket/x", "write s3://bucket/x$"),
        ("s3://a b/c", "bucket name"),
        ("gs://bucket/a", "other schemes"),
        (" ", "a path"),
    ],
)
def test_an_impossible_bucket_or_another_scheme_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_location(text)


@pytest.mark.parametrize("text", ["s3://bucket/model.tar.gz", "my-job-1"])
def test_an_object_and_a_job_name_are_models(text: str) -> None:
    assert check_model(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("S3://bucket/model.tar.gz", "write s3://bucket/model.tar.gz$"),
        ("s3://bucket", "names no object"),
        ("models/model.tar.gz", "must be a name of 1 to 63"),
        ("arn:aws:sagemaker:us-east-1:111122223333:training-job/my-job", "must be a name, not an ARN: write my-job$"),
    ],
)
def test_another_text_is_no_model(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_model(text)


@pytest.mark.parametrize(
    "text", ["S3://bucket/a", "s3://bucket", "s3://bucket/", "model.tar.gz", "arn:aws:s3:::bucket/a"]
)
def test_only_the_uri_of_an_object_is_an_object(text: str) -> None:
    assert check_object("s3://bucket/a") == "s3://bucket/a"
    with pytest.raises(ValueError, match="must be the s3:// URI of an object"):
        check_object(text)


@pytest.mark.parametrize("text", ["s3://bucket/a", "S3:/bucket/a", "https://example.com/a"])
def test_a_uri_is_no_local_path(text: str) -> None:
    assert check_path("s3data/a") == "s3data/a"
    with pytest.raises(ValueError, match="must be a path on this machine"):
        check_path(text)
