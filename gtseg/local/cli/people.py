"""crowd, worker and owner: who labels, simulated or real, and their links."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from gtseg.local.cli.client import Data, ask_owner, explain, fail, find_folder, make_link, require_own_server
from gtseg.local.errors import ServiceError
from gtseg.local.option_groups import grouped
from gtseg.local.options import read_values
from gtseg.local.terminal import show

app = typer.Typer(rich_markup_mode=None)
worker_app = typer.Typer(help="The people who label: add, list, pause, remove.", no_args_is_help=True)


@dataclass(frozen=True)
class CrowdOptions:
    """How a crowd of simulated workers labels."""

    masks: Annotated[
        Path,
        typer.Option(
            help="Folder of index masks: value i is the i-th label, 0 the background, 255 void (a job's label named void takes "
            "it); masks of 0 and 255 alone hold one class."
        ),
    ]
    workers: Annotated[int, typer.Option(min=1, max=100, help="How many simulated workers.")] = 3
    error: Annotated[
        float,
        typer.Option(min=0, max=1, help="Fraction of the marked area that each one gets wrong; 0: exact masks."),
    ] = 0.05
    seed: Annotated[int, typer.Option(help="Other seeds make other mistakes.")] = 0
    decline: Annotated[float, typer.Option(min=0, max=1, help="Fraction of tasks that each worker declines.")] = 0.0
    slow: Annotated[float, typer.Option(min=0, help="Mean seconds over one task; workers differ.")] = 0.0
    label_values: Annotated[
        str,
        typer.Option(
            metavar="VALUES",
            help="The mask values of the job's labels in their order, like 0-10 or 1,3. [default: 1, 2, ...]",
        ),
    ] = ""
    void: Annotated[int | None, typer.Option(min=0, max=255, metavar="VALUE", help="The mask value that is void.")] = (
        None
    )
    drop_void: Annotated[
        bool,
        typer.Option("--drop-void", help="Void becomes background in jobs without a label named void."),
    ] = False


@app.command()
@grouped
def crowd(
    crowd: CrowdOptions,
    data: Data = None,
    url: Annotated[
        str | None,
        typer.Option(help="Server to work for, with $GTSEG_OWNER_TOKEN. Default: the data folder's."),
    ] = None,
) -> None:
    """Label every job with simulated workers until Ctrl-C. They err as people do; --error 0 submits the masks exactly."""
    from gtseg.local.execute import run_crowd_here
    from gtseg.local.labeling.numbers import Choice

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
            choice=Choice(values, crowd.void, crowd.drop_void),
        )
    except (OSError, RuntimeError, ServiceError) as problem:
        raise fail(explain(problem), 1) from None


@worker_app.command("add")
def add_worker(
    name: Annotated[str, typer.Argument(help="The person's name.")],
    team: Annotated[str, typer.Option(help="Workteam, see `aws sagemaker list-workteams`.")] = "gtseg",
    renew: Annotated[bool, typer.Option(help="A new token for a worker who is there; the old one is void.")] = False,
    at: Annotated[
        str | None,
        typer.Option(help="Address under which people reach this server, e.g. https://label.local."),
    ] = None,
    data: Data = None,
) -> None:
    """Add a worker and print their personal link, which is shown this once."""
    answer = ask_owner(data, "POST", "/workers", {"name": name, "team": team, "renew": renew})
    show(make_link(data, at, answer["token"]))


@worker_app.command("list")
def list_workers(data: Data = None) -> None:
    """List the workers: id, team, state, name."""
    for worker in ask_owner(data, "GET", "/workers")["workers"]:
        show("\t".join((worker["worker_id"], worker["team"], worker["state"], worker["name"])))


@worker_app.command("remove")
def remove_worker(name: str, data: Data = None) -> None:
    """Remove a worker (name or id): the token is void at once, what they submitted stays."""
    ask_owner(data, "DELETE", f"/workers/{find_worker_id(data, name)}")


@worker_app.command("pause")
def pause_worker(
    name: str,
    resume: Annotated[bool, typer.Option("--resume", help="Bring the worker back.")] = False,
    data: Data = None,
) -> None:
    """Give a worker (name or id) no more tasks until `--resume`."""
    state = "active" if resume else "paused"
    ask_owner(data, "PATCH", f"/workers/{find_worker_id(data, name)}", {"state": state})


@app.command("owner")
def show_owner_link(
    at: Annotated[str | None, typer.Option(help="Address under which the server is reached.")] = None,
    data: Data = None,
) -> None:
    """Print the link to the owner's pages: progress, people, agreement, every answer."""
    serving = require_own_server(data)
    show(make_link(data, at, serving.owner_token))


def find_worker_id(data: Path | None, name: str) -> str:
    found = [
        w["worker_id"] for w in ask_owner(data, "GET", "/workers")["workers"] if name in (w["worker_id"], w["name"])
    ]
    if len(found) != 1:
        raise fail(f"{'No worker is' if not found else f'{len(found)} workers are'} called {name!r}: give the id.", 3)
    return str(found[0])
