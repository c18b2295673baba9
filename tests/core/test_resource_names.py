from __future__ import annotations

import pytest

from gtseg.core.resource_names import find_name_problem, require_name
from gtseg.errors import SettingsError

CONSOLE = "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/endpoints/cats"


@pytest.mark.parametrize("text", ["a", "my-job-1", "A--b", "x" * 63])
def test_a_name_is_returned_unchanged(text: str) -> None:
    assert find_name_problem(text) == ""
    assert require_name(text, "--job") == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arn:aws:sagemaker:us-east-1:111122223333:endpoint/cats", "must be a name, not an ARN: write cats"),
        ("arn:aws:sagemaker", "must be a name, not an ARN: write NAME"),
        (CONSOLE, "must be a name, not an address: write cats"),
        ("s3://bucket/run/labeling/cats/", "must be a name, not an address: write cats"),
        ("", "must be a name of 1 to 63 letters, digits and hyphens"),
        ("x" * 64, "must be a name of 1 to 63 letters, digits and hyphens"),
        ("-a", "must be a name of 1 to 63 letters, digits and hyphens"),
        ("a b", "must be a name of 1 to 63 letters, digits and hyphens"),
    ],
)
def test_another_text_is_refused_with_the_name_to_write(text: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        require_name(text, "--endpoint")
    assert str(refused.value).startswith(f"--endpoint {text}: {words}")
