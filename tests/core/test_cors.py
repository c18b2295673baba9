from __future__ import annotations

import json

from gtseg.core.labeling.cors import LABELING_RULE, has_labeling_rule, with_labeling_rule
from gtseg.settings.templates import read_template

PUT_RULE = {"AllowedMethods": ["PUT"], "AllowedOrigins": ["https://app.example"]}
OLD_RULE = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}


def test_the_rule_satisfies_its_own_question() -> None:
    assert has_labeling_rule([PUT_RULE, LABELING_RULE])


def test_a_rule_without_the_exposed_header_does_not_do() -> None:
    assert not has_labeling_rule([OLD_RULE])
    assert not has_labeling_rule([])


def test_a_buckets_own_rules_stay_and_ours_comes_last() -> None:
    assert with_labeling_rule([PUT_RULE]) == [PUT_RULE, LABELING_RULE]


def test_ours_comes_first_where_a_rule_for_everyone_would_answer_instead() -> None:
    assert with_labeling_rule([OLD_RULE, PUT_RULE]) == [LABELING_RULE, OLD_RULE, PUT_RULE]


def test_the_shipped_file_for_bucket_owners_is_the_same_rule() -> None:
    assert json.loads(read_template("cors.json")) == {"CORSRules": [LABELING_RULE]}
