"""Typer group that imports the module of a command when the command is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from gtseg.cli.checks import refuse_remote_paths


class LazyGroup(TyperGroup):
    """Commands by section of the help: section -> name -> help line; `load` returns the typer app of a command."""

    sections: Mapping[str, Mapping[str, str]] = {}
    examples: Mapping[str, Sequence[str]] = {}
    load: Callable[[str], typer.Typer]

    @property
    def table(self) -> dict[str, str]:
        """Help line of each command, by name."""
        return {name: line for section in self.sections.values() for name, line in section.items()}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.table:
            return None
        loaded = get_group(self.load(cmd_name))
        command = loaded.commands.get(cmd_name, loaded)
        add_examples(command, cmd_name, self.examples)
        add_short_help(command)
        refuse_remote_paths(command)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.table and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}.{_suggestion(args[0], list(self.table))}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the commands that start with `incomplete`, without importing any of them."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return list(super().shell_complete(ctx, incomplete))
        return [CompletionItem(name, help=line) for name, line in self.table.items() if name.startswith(incomplete)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(len(name) for name in self.table)
        for title, commands in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), line) for name, line in commands.items()])


def add_examples(command: Any, path: str, examples: Mapping[str, Sequence[str]]) -> None:
    """Append the examples of a command and of its subcommands to their help."""
    if lines := examples.get(path):
        command.epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
    for name, inner in getattr(command, "commands", {}).items():
        add_examples(inner, f"{path} {name}", examples)


def add_short_help(command: Any) -> None:
    """Show the whole first sentence of each subcommand's help in the list of subcommands, instead of its beginning."""
    for inner in getattr(command, "commands", {}).values():
        first = " ".join((inner.help or "").split("\n\n")[0].split())
        inner.short_help = inner.short_help or first.split(". ")[0].removesuffix(".") + "."
        add_short_help(inner)


def group(
    sections: Mapping[str, Mapping[str, str]],
    load: Callable[[str], typer.Typer],
    text: str,
    examples: Mapping[str, Sequence[str]],
) -> Any:
    """Return the click group of these commands."""
    members = {"sections": sections, "load": staticmethod(load), "examples": examples}
    app = typer.Typer(
        cls=type("Commands", (LazyGroup,), members),
        help=text.replace("\n\n", "\n\n\b\n"),
        no_args_is_help=True,
        add_completion=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_options)
    return get_command(app)


def _options(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True, callback=lambda v: _version(v)
    ),
) -> None:
    pass


def _version(wanted: bool) -> None:
    if wanted:
        from gtseg.version import __version__

        typer.echo(f"gtseg {__version__}")
        raise typer.Exit


def _suggestion(word: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
