"""gtseg run, status."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.cli.consent import ask
from gtseg.cli.console import print_json, say
from gtseg.cli.grouping import grouped
from gtseg.cli.listeners import listener
from gtseg.cli.options import LabelSpending, ProjectOptions, RunOptions, Session
from gtseg.errors import StageError

if TYPE_CHECKING:
    from gtseg.pipeline.run import Run
    from gtseg.settings import Settings

app = typer.Typer(rich_markup_mode=None)

SHOWN = 20
"""Names of runs that are shown."""


@app.command()
@grouped
def run(
    project: RunOptions,
    spending: LabelSpending,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event on stdout.")] = False,
) -> None:
    """Do every stage that is not done on what the run has now, up to --until.

    Exit code 5 (some images or objects were left out) does not stop it; it is returned at the end.
    """
    from gtseg.pipeline.stages.order import exit_code, until_stage, walk

    stages = until_stage(until)
    session = project.open()
    consent = ask(session, spending)
    with listener(as_lines=as_json) as notify:
        done = walk(session.run, session.context(notify, consent=consent, dry_run=spending.dry_run), stages)
    if not as_json and not spending.dry_run:
        say_what_costs(done)
    raise typer.Exit(0 if spending.dry_run else max(exit_code(done, stage.name) for stage in stages))


@app.command()
@grouped
def status(
    project: ProjectOptions,
    every: Annotated[
        bool, typer.Option("--all", help="One line for every run below the project's bucket and prefix.")
    ] = False,
) -> None:
    """Say what this run has and what comes next. Changes nothing."""
    session = project.open()
    if every:
        _show_all(session, as_json=project.as_json)
        return
    if project.run_name and session.run.etag is None:
        raise _no_such_run(session)
    facts = _facts(session.run, session.settings)
    if project.as_json:
        print_json(facts)
        return
    print(f"run {session.run.name} at {session.run.root}")
    for name, stage in facts["stages"].items():
        print(f"  {'done' if stage['done'] else '-':<5} {name:<9} {stage['summary']}".rstrip())
        if stage["reason"]:
            print(f"  {'':<5} {'':<9} to be done again: {stage['reason']}")
    print(f"next: gtseg {facts['next']}" if facts["next"] else "everything is done")
    say_what_costs(session.run)
    say_budget(session)


def say_budget(session: Session) -> None:
    """What the run has cost, where [budget] limits that; AWS is asked for what runs just now."""
    limit = session.settings.budget.max_usd
    if limit is None or session.clients.is_local:
        return
    from gtseg.core.cost import total
    from gtseg.pipeline.run.cost import spent_rows

    spent = total(spent_rows(session.run, session.context()))[0]
    say(f"Budget: about {spent:.2f} of {limit} USD ({spent / limit:.0%}) spent by this run's work so far.")


def _show_all(session: Session, *, as_json: bool) -> None:
    from gtseg.pipeline.run import RunFile, list_runs, locate

    settings, clients = session.settings, session.clients
    roots = {name: locate(settings, clients, name=name) for name in list_runs(settings, clients)}
    facts = {name: _facts(RunFile(clients, root).load(), settings) for name, root in roots.items()}
    if as_json:
        print_json(
            [{"name": name, "root": roots[name], "next": found["next"]} for name, found in facts.items()]
        )
        return
    for name, found in facts.items():
        print(f"{name:<40} {'next: ' + found['next'] if found['next'] else 'done'}")
    if not facts:
        say(
            f"There is no run below {locate(settings, clients, name='x').removesuffix('x/')} yet: `gtseg label` starts one."
        )


def _no_such_run(session: Session) -> StageError:
    from gtseg.pipeline.run import list_runs

    run, runs = session.run, list_runs(session.settings, session.clients)
    close = get_close_matches(run.name, runs, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    there = f"There are: {_some(runs)}." if runs else "There is none yet: `gtseg label` starts one."
    return StageError(f"There is no run {run.name!r}: nothing is at {run.root}run.json.{meant} {there}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def say_what_costs(run: Run) -> None:
    """An endpoint answers, and costs on AWS, until somebody deletes it."""
    if run.endpoint and run.endpoint.since and not run.endpoint.deleted:
        say(f"Endpoint {run.endpoint.name} answers, and costs on AWS, until `gtseg cleanup`.")


def _facts(run: Run, settings: Settings) -> dict[str, Any]:
    from gtseg.pipeline.stages.order import STAGES, next_step, standings

    found = standings(run, settings)
    stages = {
        s.name: {"done": found[s.name].is_done, "summary": s.summary(run), "reason": found[s.name].reason}
        for s in STAGES
    }
    return {
        "exists": run.etag is not None,
        "stages": stages,
        "next": next_step(run, settings),
        "run": run.model_dump(mode="json"),
    }
