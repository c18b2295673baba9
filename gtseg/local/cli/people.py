"""Commands `crowd`, `worker` and `owner`: simulated and real workers, and sign-in links."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gtseg.local.cli.client import Data, ask_owner, check_url, explain, fail, find_folder, make_link, require_own_server
from gtseg.local.errors import ServiceError
from gtseg.local.option_groups import grouped
from gtseg.local.options import CrowdOptions, read_values
from gtseg.local.terminal import show

app = typer.Typer(rich_markup_mode=None)
worker_app = typer.Typer(help="Workers: add, list, pause, remove.", no_args_is_help=True)


@app.command()
@grouped
def crowd(
    crowd: CrowdOptions,
    data: Data = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Server URL, with $GTSEG_OWNER_TOKEN. Default: the data folder's server.",
            callback=check_url,
        ),
    ] = None,
) -> None:
    """Label all jobs with simulated workers until Ctrl-C.

    The workers make errors as people do; --error 0 submits exact masks.
    """
    from gtseg.local.execute import run_crowd_here
    from gtseg.local.labeling.mask_values import ValueOptions

    try:
        values = read_values(crowd.label_values, "--label-values")
    except ValueError as problem:
        raise fail(problem, 2) from None
    if not crowd.masks.is_dir():
        raise fail(f"--masks {crowd.masks} is not a folder.", 2)
    try:
        run_crowd_here(
            find_folder(data),
            url,
            masks=crowd.masks,
            workers=crowd.workers,
            error=crowd.error,
            seed=crowd.seed,
            decline=crowd.decline,
            slow=crowd.slow,
            options=ValueOptions(values, crowd.void, crowd.drop_void),
        )
    except (OSError, RuntimeError, ServiceError) as problem:
        raise fail(explain(problem), 1) from None


@worker_app.command("add")
def add_worker(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The worker's name.")],
    team: Annotated[str, typer.Option(metavar="TEAM", help="Workteam, see `aws sagemaker list-workteams`.")] = "gtseg",
    renew: Annotated[
        bool, typer.Option(help="Issue a new token for an existing worker; the old one becomes invalid.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Public address of this server, e.g. https://label.local.", callback=check_url
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Add a worker and print their personal link, which is not shown again."""
    answer = ask_owner(data, "POST", "/workers", {"name": name, "team": team, "renew": renew})
    show(make_link(data, at, answer["token"]))


@worker_app.command("list")
def list_workers(data: Data = None) -> None:
    """List the workers: id, team, state, name."""
    for worker in ask_owner(data, "GET", "/workers")["workers"]:
        show("\t".join((worker["worker_id"], worker["team"], worker["state"], worker["name"])))


@worker_app.command("remove")
def remove_worker(name: str, data: Data = None) -> None:
    """Remove a worker (name or ID): the token becomes invalid at once; submitted answers are kept."""
    ask_owner(data, "DELETE", f"/workers/{_find_worker_id(data, name)}")


@worker_app.command("pause")
def pause_worker(
    name: str,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a paused worker.")] = False,
    data: Data = None,
) -> None:
    """Stop assigning tasks to a worker (name or ID) until `--resume`."""
    state = "active" if resume else "paused"
    ask_owner(data, "PATCH", f"/workers/{_find_worker_id(data, name)}", {"state": state})


@app.command("owner")
def show_owner_link(
    at: Annotated[
        str | None, typer.Option(metavar="URL", help="Public address of this server.", callback=check_url)
    ] = None,
    data: Data = None,
) -> None:
    """Print the link to the owner's pages: progress, workers, agreement, all answers."""
    serving = require_own_server(data)
    show(make_link(data, at, serving.owner_token))


def _find_worker_id(data: Path | None, name: str) -> str:
    """Return the ID of a worker given by name or ID. Raises typer.Exit 3 if none or several match."""
    found = [
        w["worker_id"] for w in ask_owner(data, "GET", "/workers")["workers"] if name in (w["worker_id"], w["name"])
    ]
    if len(found) != 1:
        raise fail(f"{'No worker is' if not found else f'{len(found)} workers are'} named {name!r}. Use the ID.", 3)
    return str(found[0])
