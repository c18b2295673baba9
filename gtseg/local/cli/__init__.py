"""`gtseg local`: command line of the embedded AWS. Heavy imports happen inside the commands that need them."""

from __future__ import annotations

import typer

from gtseg.local.cli import data_folder, outlines, people, server

app = typer.Typer(
    help="The embedded AWS: AWS's API calls served on this machine, without an account.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for room in (server, people, outlines, data_folder):
    app.add_typer(room.app)
app.add_typer(people.worker_app, name="worker")
