"""Names of SageMaker's jobs and endpoints, and their distinction from ARNs and addresses of the AWS console."""

from __future__ import annotations

import re

from gtseg.errors import SettingsError

NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
"""Source: LabelingJobName, TrainingJobName and EndpointName in botocore's service model."""


def find_name_problem(text: str) -> str:
    """Return why a text is not a resource's name, with the solution; '' if it is one."""
    if NAME.fullmatch(text):
        return ""
    last = re.split(r"[/#?&]", text.rstrip("/"))[-1]
    if text.startswith("arn:") or "://" in text:
        kind = "an ARN" if text.startswith("arn:") else "an address"
        return f"must be a name, not {kind}: write {last if NAME.fullmatch(last) else 'NAME'}"
    return "must be a name of 1 to 63 letters, digits and hyphens that starts and ends with a letter or digit"


def require_name(text: str, argument: str) -> str:
    """Return a name unchanged. Raises SettingsError naming the argument for anything else."""
    if problem := find_name_problem(text):
        raise SettingsError(f"{argument} {text}: {problem}")
    return text
