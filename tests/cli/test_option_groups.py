from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from gtseg.cli.option_groups import grouped


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option(help="How wide.")] = 3
    deep: Annotated[bool, typer.Option("--deep/--flat")] = True


def test_a_group_of_options_becomes_one_value() -> None:
    app, seen = typer.Typer(), []

    @app.command()
    @grouped
    def draw(name: Annotated[str, typer.Argument()], size: Size, twice: bool = False) -> None:
        seen.append((name, size, twice))

    assert CliRunner().invoke(app, ["a"]).exit_code == 0
    assert CliRunner().invoke(app, ["b", "--width", "5", "--flat", "--twice"]).exit_code == 0
    assert seen == [("a", Size(), False), ("b", Size(5, False), True)]
    assert "How wide." in CliRunner().invoke(app, ["--help"]).output


def test_one_option_in_two_groups_is_refused() -> None:
    def draw(size: Size, width: int) -> None: ...

    with pytest.raises(TypeError, match="two groups"):
        grouped(draw)
