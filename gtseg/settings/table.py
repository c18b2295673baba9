"""Base class of the tables of gtseg.toml, durations and run names."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gtseg.errors import SettingsError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
S3_URI = r"s3://[A-Za-z0-9._-]{3,255}(/|$)"
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
    """Return the path or s3:// URI. Raises ValueError for another scheme or a bucket that no name can be."""
    if not text.strip():
        raise ValueError("must be an s3:// URI or a path")
    if "://" in text and not text.startswith("s3://"):
        raise ValueError("must be an s3:// URI or a path; other schemes are not supported")
    if text.startswith("s3://") and not re.match(S3_URI, text):
        raise ValueError(
            "has no valid bucket name; an access point is named by its alias, like s3://NAME-s3alias/images/"
        )
    return text


Location = Annotated[str, AfterValidator(check_location)]
"""Path, or s3:// URI with a bucket name or an access point's alias."""


def check_run_name(name: str) -> None:
    """Raise SettingsError unless `name` is valid as the prefix of resource names."""
    if not re.match(RUN_NAME, name):
        raise SettingsError(
            f"--run {name}: must be 1 to 40 letters, digits and hyphens, and start and end with a letter or digit"
        )
