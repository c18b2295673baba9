"""gtseg local: the embedded AWS on the command line. Nothing heavy is imported before the command that needs it."""

from __future__ import annotations

import typer

from gtseg.local.cli import data_folder, outlines, people, server

app = typer.Typer(
    help="The embedded AWS: the same API calls, answered on your own machine, without an account.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for room in (server, people, outlines, data_folder):
    app.add_typer(room.app)
app.add_typer(people.worker_app, name="worker")
