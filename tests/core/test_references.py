from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.labeling.references import decoded_forms, explain, read_reference, rewrite


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


@given(st.text(min_size=1, max_size=20).filter(lambda key: key[0] != "/"))
def test_a_key_that_was_url_encoded_is_among_the_decoded_forms(key: str) -> None:
    try:
        encoded = [f"s3://bucket/{quote(key)}", f"s3://bucket/{quote_plus(key)}"]
    except UnicodeEncodeError:
        return
    for uri in encoded:
        assert f"s3://bucket/{key}" in (uri, *decoded_forms(uri))


def test_the_longest_prefix_is_rewritten() -> None:
    rules = {"s3://old/": "s3://new/", "s3://old/deep/": "s3://other/x/"}
    assert rewrite("s3://old/a.jpg", rules) == "s3://new/a.jpg"
    assert rewrite("s3://old/deep/a.jpg", rules) == "s3://other/x/a.jpg"
    assert rewrite("s3://older/a.jpg", rules) == "s3://older/a.jpg"


def test_the_explanation_of_a_url_outside_s3_names_rewrite() -> None:
    assert "--rewrite https://" in explain("https://example.com/a.jpg")
    assert explain("s3://bucket/a.jpg") == explain("images/a.jpg") == ""
