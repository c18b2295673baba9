from __future__ import annotations

import json

from gtseg.core.labeling.cors import LABELING_RULE, has_labeling_rule, with_labeling_rule
from gtseg.settings.templates import read_template

PUT_RULE = {"AllowedMethods": ["PUT"], "AllowedOrigins": ["https://app.example"]}
OLD_RULE = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}


def test_the_cors_rule_passes_the_cors_check() -> None:
    assert has_labeling_rule([PUT_RULE, LABELING_RULE])


def test_a_cors_rule_without_the_exposed_header_is_insufficient() -> None:
    assert not has_labeling_rule([OLD_RULE])
    assert not has_labeling_rule([])


def test_existing_cors_rules_stay_and_the_new_one_is_last() -> None:
    assert with_labeling_rule([PUT_RULE]) == [PUT_RULE, LABELING_RULE]


def test_the_new_cors_rule_is_first_if_a_wildcard_rule_would_match_before_it() -> None:
    assert with_labeling_rule([OLD_RULE, PUT_RULE]) == [LABELING_RULE, OLD_RULE, PUT_RULE]


def test_the_cors_rule_of_the_template_is_the_same() -> None:
    assert json.loads(read_template("cors.json")) == {"CORSRules": [LABELING_RULE]}
