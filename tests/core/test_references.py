from __future__ import annotations

from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.labeling.references import decoded_forms, explain, find_rule_problem, rewrite


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


def test_a_replacement_without_the_final_slash_of_its_prefix_is_refused() -> None:
    assert find_rule_problem("s3://old/", "s3://new").endswith("write s3://new/")
    assert find_rule_problem("s3://old/", "copies").endswith("write copies/")
    assert find_rule_problem("s3://old/", "S3://new").endswith("write s3://new")
    assert find_rule_problem("s3://old/img_", "s3://new/") == find_rule_problem("s3://old/a", "s3://new/b") == ""


def test_a_bucket_without_a_final_slash_is_refused_because_it_begins_other_buckets_names() -> None:
    assert rewrite("s3://older/a.jpg", {"s3://old": "s3://new"}) == "s3://newer/a.jpg"
    for new in ("s3://new", "s3://new/"):
        assert find_rule_problem("s3://old", new).endswith("write s3://old/=s3://new/")
        assert find_rule_problem("S3://old", new).endswith("write S3://old/=s3://new/")


def test_the_explanation_of_a_url_outside_s3_names_rewrite() -> None:
    assert "--rewrite https://" in explain("https://example.com/a.jpg")
    assert explain("s3://bucket/a.jpg") == explain("images/a.jpg") == ""
