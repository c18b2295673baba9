from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.errors import SettingsError
from gtseg.settings.table import check_location, check_run_name, duration_text, parse_duration


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
        ("s3://a b/c", "bucket name"),
        ("gs://bucket/a", "other schemes"),
        (" ", "a path"),
    ],
)
def test_an_impossible_bucket_or_another_scheme_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_location(text)
