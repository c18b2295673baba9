"""Base class of the tables of gtseg.toml, durations and run names."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gtseg.core.resource_names import find_name_problem
from gtseg.core.s3_uris import find_file_problem, find_path_problem, find_problem, is_path
from gtseg.errors import SettingsError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
RUN_NAME = r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,39}$"


class Table(BaseModel):
    """Frozen table; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_duration(text: Any) -> Any:
    """Convert '90s', '45m', '1h30m' or '10d' to seconds. Raises ValueError for a number without a unit."""
    if not isinstance(text, str):
        raise ValueError('a duration must be a string with a unit, like "90s", "45m", "1h" or "10d"')
    parts = re.findall(r"(\d+)\s*([smhd])", text)
    if not parts or re.sub(r"(\d+)\s*([smhd])\s*", "", text.strip()):
        raise ValueError('a duration must be a number with a unit, like "90s", "45m", "1h" or "10d"')
    return sum(int(number) * UNITS[unit] for number, unit in parts)


def duration_text(seconds: int) -> str:
    """Format seconds as a duration in the largest unit that divides them: 3600 -> '1h'."""
    unit = next(u for u in "dhms" if seconds % UNITS[u] == 0)
    return f"{seconds // UNITS[unit]}{unit}"


Seconds = Annotated[int, BeforeValidator(parse_duration)]
Name = Annotated[str, Field(pattern=RUN_NAME)]


def check_location(text: str) -> str:
    """Return the path or s3:// URI. Raises ValueError for a mistyped URI, another scheme or an ARN."""
    if not text.strip():
        raise ValueError("must be an s3:// URI or a path")
    if problem := find_problem(text):
        raise ValueError(problem)
    return text


def check_path(text: str) -> str:
    """Return the path. Raises ValueError for an S3 URI or another URL."""
    if problem := find_path_problem(text):
        raise ValueError(problem)
    return text


def check_model(text: str) -> str:
    """Return the s3:// URI of a model or the name of a training job. Raises ValueError for another text."""
    problem = find_file_problem(text) if re.match("s3:", text, re.IGNORECASE) else find_name_problem(text)
    if problem:
        raise ValueError(f"must be the s3:// URI of a model.tar.gz, or the name of a training job: {problem}")
    return text


def check_object(text: str) -> str:
    """Return the s3:// URI of an object. Raises ValueError for another text."""
    problem = find_file_problem(text)
    if problem or is_path(text):
        raise ValueError("must be the s3:// URI of an object" + (f": {problem}" if problem else ""))
    return text


def matching(pattern: str, words: str) -> BeforeValidator:
    """Return a validator that describes in words what a text must be if it does not match the pattern."""

    def check(text: Any) -> Any:
        if isinstance(text, str) and not re.match(pattern, text):
            raise ValueError(f"must be {words}")
        return text

    return BeforeValidator(check)


ROLE = matching(r"arn:aws[a-z-]*:iam::\d{12}:role/", "the ARN of a role, like arn:aws:iam::111122223333:role/NAME")
WORKTEAM = matching(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:\d{12}:workteam/",
    "the ARN of a workteam, like arn:aws:sagemaker:REGION:111122223333:workteam/private-crowd/NAME (`aws sagemaker "
    "list-workteams` lists them)",
)
MODEL = matching(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:\d{12}:model/",
    "the ARN of a model, like arn:aws:sagemaker:REGION:111122223333:model/NAME: the FinalActiveLearningModelArn of a "
    "labeling job",
)
IMAGE = matching(
    r"(?!\s|arn:|[A-Za-z][A-Za-z0-9+.-]*://|s3:)",
    "the URI of a container image, like 111122223333.dkr.ecr.us-east-1.amazonaws.com/NAME:TAG",
)
LocalPath = Annotated[str, AfterValidator(check_path)]
Location = Annotated[str, AfterValidator(check_location)]
"""Path, or s3:// URI with a bucket name or an access point's alias."""


def is_run_name(name: str) -> bool:
    return re.match(RUN_NAME, name) is not None


def check_run_name(name: str) -> None:
    """Raise SettingsError unless `name` is valid as the prefix of resource names."""
    if not is_run_name(name):
        raise SettingsError(
            f"--run {name}: must be 1 to 40 letters, digits and hyphens, and start and end with a letter or digit"
        )
