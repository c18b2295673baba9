"""Options of `gtseg dataset`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.cli.dataset import read_rewrites
from gtseg.errors import SettingsError

KEYS = st.text("ab=/ +.-", max_size=12)


@given(KEYS, KEYS)
def test_a_rule_between_two_buckets_is_split_between_them(old: str, new: str) -> None:
    assert read_rewrites([f"s3://old/{old}=s3://new/{new}"]) == {f"s3://old/{old}": f"s3://new/{new}"}


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("s3://old/date=2026/=s3://new/date=2026/", "s3://old/date=2026/", "s3://new/date=2026/"),
        ("s3://old/date=2026/=/data/", "s3://old/date=2026/", "/data/"),
        ("s3://old/=/data/x=1/", "s3://old/", "/data/x=1/"),
        ("https://example.com/?a=b=s3://new/", "https://example.com/?a=b", "s3://new/"),
        ("images=photos", "images", "photos"),
    ],
)
def test_keys_of_a_rule_may_contain_equals_signs(rule: str, old: str, new: str) -> None:
    assert read_rewrites([rule]) == {old: new}


def test_a_second_rule_for_the_same_prefix_is_refused_by_name() -> None:
    rules = ["s3://old/=s3://one/", "s3://old/=s3://two/"]
    with pytest.raises(
        SettingsError, match=r"--rewrite s3://old/=s3://two/: another rule replaces s3://old/ by s3://one/"
    ):
        read_rewrites(rules)
    assert read_rewrites(rules[:1] * 2) == {"s3://old/": "s3://one/"}


@pytest.mark.parametrize("rule", ["s3://old/", "=s3://new/", "s3://old/="])
def test_a_rule_without_one_of_its_sides_is_refused(rule: str) -> None:
    with pytest.raises(SettingsError, match="must be OLD=NEW"):
        read_rewrites([rule])
