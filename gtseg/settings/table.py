"""What every table of gtseg.toml is, and the words that people write in one."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gtseg.errors import SettingsError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
RUN_NAME = r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,39}$"


class Table(BaseModel):
    """A frozen table that refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_duration(text: Any) -> Any:
    """Seconds of '90s', '45m', '1h30m' or '10d'; a bare number is refused because its unit is a guess."""
    if not isinstance(text, str):
        raise ValueError('a duration is text with a unit, like "90s", "45m", "1h" or "10d"')
    parts = re.findall(r"(\d+)\s*([smhd])", text)
    if not parts or re.sub(r"(\d+)\s*([smhd])\s*", "", text.strip()):
        raise ValueError('a duration is a number with a unit, like "90s", "45m", "1h" or "10d"')
    return sum(int(number) * UNITS[unit] for number, unit in parts)


def duration_text(seconds: int) -> str:
    """The shortest writing of a duration: 3600 -> '1h'."""
    unit = next(u for u in "dhms" if seconds % UNITS[u] == 0)
    return f"{seconds // UNITS[unit]}{unit}"


Seconds = Annotated[int, BeforeValidator(parse_duration)]
Name = Annotated[str, Field(pattern=RUN_NAME)]


def check_run_name(name: str) -> None:
    """SettingsError unless `name` can start every resource's name."""
    if not re.match(RUN_NAME, name):
        raise SettingsError(
            f"--run {name}: 1 to 40 letters, digits and hyphens, starting and ending with none of the latter"
        )
