"""The examples of the help, the sections, the completion, and docs/commands.md."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gtseg.cli import SECTIONS, commands_of
from gtseg.cli.examples import EXAMPLES
from gtseg.cli.lazy import group

ROOT = Path(__file__).parents[2]


def leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", {})
    if not inner:
        yield path, command
    for name, child in inner.items():
        yield from leaves(child, f"{path} {name}".strip())


def all_commands() -> dict[str, Any]:
    root = group(SECTIONS, commands_of, "", EXAMPLES)
    return {
        path: leaf for name in root.list_commands(None) for path, leaf in leaves(root.get_command(None, name), name)
    }


def written(lines: tuple[str, ...]) -> list[list[str]]:
    """Return the examples as arguments, without comments, with continued lines joined."""
    joined = "\n".join(line.split(" # ")[0].rstrip() for line in lines).replace("\\\n", " ")
    return [shlex.split(line) for line in joined.splitlines()]


def test_every_command_has_an_example_in_its_help() -> None:
    commands = all_commands()
    assert set(commands) == set(EXAMPLES)
    for path, command in commands.items():
        context = type(command).context_class(command, info_name=path)
        assert "Examples:\n    gtseg " in command.get_help(context), path


@pytest.mark.parametrize("path", sorted(EXAMPLES))
def test_the_command_line_accepts_the_example(path: str) -> None:
    command = all_commands()[path]
    for words in written(EXAMPLES[path]):
        own = path.split()
        assert words[: len(own) + 1] == ["gtseg", *own]
        context = type(command).context_class(command, info_name=path)
        command.make_parser(context).parse_args(words[len(own) + 1 :])  # raises on an unknown option


def test_docs_commands_equals_the_help() -> None:
    found = importlib.util.spec_from_file_location("commands_script", ROOT / "scripts" / "commands.py")
    assert found is not None
    assert found.loader is not None
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    assert (ROOT / "docs" / "commands.md").read_text() == script.document(), "run scripts/commands.py"


@pytest.mark.parametrize(("typed", "offered"), [("gtseg l", "label local"), ("gtseg local worker p", "pause")])
def test_the_shell_completes_commands(typed: str, offered: str) -> None:
    words = typed.split()
    told = {"_GTSEG_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "gtseg"], env=os.environ | told, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == offered.split()
