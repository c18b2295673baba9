"""A typer group whose commands are imported only when they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group


class LazyGroup(TyperGroup):
    """Commands by table, name -> help line; `load` gives the typer app that has one."""

    table: Mapping[str, str] = {}
    load: Callable[[str], typer.Typer]

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.table:
            return None
        loaded = get_group(self.load(cmd_name))
        return loaded.commands.get(cmd_name, loaded)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.table and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}.{_suggestion(args[0], list(self.table))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.table.items()))


def group(table: Mapping[str, str], load: Callable[[str], typer.Typer], text: str) -> Any:
    """The click group of these commands."""
    app = typer.Typer(
        cls=type("Commands", (LazyGroup,), {"table": table, "load": staticmethod(load)}),
        help=text.replace("\n\n", "\n\n\b\n"),
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_options)
    return get_group(app)


def _options(
    version: bool = typer.Option(
        False, "--version", help="Print the version and leave.", is_eager=True, callback=lambda v: _version(v)
    ),
) -> None:
    pass


def _version(wanted: bool) -> None:
    if wanted:
        from gtseg import __version__

        typer.echo(f"gtseg {__version__}")
        raise typer.Exit


def _suggestion(word: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
