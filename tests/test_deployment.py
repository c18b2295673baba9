"""docs/deployment.md: systemd accepts its unit, gtseg accepts its commands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gtseg.cli import SECTIONS, commands_of
from gtseg.cli.examples import EXAMPLES
from gtseg.cli.lazy import group

PAGE = (Path(__file__).parents[1] / "docs" / "deployment.md").read_text()
UNIT = re.search(r"```ini\n(.*?)```", PAGE, re.DOTALL)[1]  # type: ignore[index]
ANALYZE = shutil.which("systemd-analyze")
MOST_EXPOSED = 25
"""Tenths of systemd-analyze's exposure level, of 100."""


def commands() -> list[str]:
    """Return every `gtseg ...` command of the page, from blocks, sentences and the unit."""
    text = re.sub(r"\$\([^)]*\)", "x", PAGE)
    found = re.findall(r"(?:^    |`|bin/)(?:\S+=\S+ )*(gtseg(?: [^`\n#]*)?)(?=[`\n#])", text, re.MULTILINE)
    return sorted({" ".join(words.split()) for words in found})


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed here")
def test_systemd_accepts_the_unit_and_rates_its_exposure_low(tmp_path: Path) -> None:
    assert ANALYZE
    unit = tmp_path / "gtseg.service"
    unit.write_text(UNIT.replace("/opt/gtseg/bin/gtseg", sys.executable))
    for words in (["verify", "--man=no"], ["security", "--offline=true", f"--threshold={MOST_EXPOSED}"]):
        done = subprocess.run([ANALYZE, *words, str(unit)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-400:] + done.stderr
        assert "Unknown" not in done.stderr


@pytest.mark.parametrize("words", [pytest.param(words, id=words) for words in commands()])
def test_the_command_line_accepts_every_command_of_the_page(words: str) -> None:
    command = group(SECTIONS, commands_of, "", EXAMPLES)
    parts, path = [part for part in shlex.split(words)[1:] if part != "&&"], []
    if "gtseg" in parts:  # two commands on a line
        parts = parts[: parts.index("gtseg")]
    while parts and hasattr(command, "get_command") and (inner := command.get_command(None, parts[0])):
        command, path = inner, [*path, parts.pop(0)]
    assert path, words
    if path == ["local"] or (hasattr(command, "commands") and not parts):
        return  # a group by its name
    context = type(command).context_class(command, info_name=" ".join(path))
    command.make_parser(context).parse_args(parts)  # raises on an unknown option


def test_the_page_has_many_commands() -> None:
    assert len(commands()) > 10
