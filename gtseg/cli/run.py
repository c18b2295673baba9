"""gtseg run, status."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.cli.consent import ask
from gtseg.cli.console import print_json, say, show
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import LabelSpendingOptions, ProjectOptions, RunOptions, Session, no_such_run
from gtseg.errors import StageError

if TYPE_CHECKING:
    from gtseg.pipeline.run import LearningPoint, Run
    from gtseg.settings import Settings

app = typer.Typer(rich_markup_mode=None)


@app.command()
@grouped
def run(
    project: RunOptions,
    spending: LabelSpendingOptions,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per event on stdout.")] = False,
) -> None:
    """Run every stage that is not done or whose inputs changed, up to --until.

    Exit code 5 (some images or objects were left out) does not stop the run; it is returned at the end.
    """
    from gtseg.pipeline.stages.order import exit_code, run_stages, until_stage

    stages = until_stage(until)
    session = project.open()
    consent = ask(session, spending)
    with listener(as_lines=as_json) as notify:
        done = run_stages(session.run, session.context(notify, consent=consent, dry_run=spending.dry_run), stages)
    if not as_json and not spending.dry_run:
        print_endpoint_costs(session, done)
    raise typer.Exit(0 if spending.dry_run else max(exit_code(done, stage.name) for stage in stages))


@app.command()
@grouped
def status(
    project: ProjectOptions,
    every: Annotated[
        bool, typer.Option("--all", help="One line for every run below the project's bucket and prefix.")
    ] = False,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="Check on AWS whether all resources still exist, and record what is missing."),
    ] = False,
) -> None:
    """Show what this run has and which stage comes next, from the stored state. Only --refresh changes it."""
    session = project.open()
    if every:
        _show_all(session, refresh=refresh, as_json=project.as_json)
        return
    if project.run_name and session.run.etag is None:
        raise no_such_run(session)
    if refresh:
        session = replace(session, run=_refresh(session, session.run))
    facts = _facts(session.run, session.settings)
    if project.as_json:
        print_json(facts)
        return
    show(f"run {session.run.name} at {session.run.root}")
    for name, stage in facts["stages"].items():
        show(f"  {'done' if stage['done'] else '-':<5} {name:<9} {stage['summary']}".rstrip())
        if stage["reason"]:
            show(f"  {'':<5} {'':<9} must be repeated: {stage['reason']}")
    for point in session.run.learning if len(session.run.learning) > 1 else ():
        show(f"  {_learning_line(point)}")
    show(f"next: gtseg {facts['next']}" if facts["next"] else "everything is done")
    print_endpoint_costs(session, session.run)
    print_budget(session)


def _learning_line(point: LearningPoint) -> str:
    """Format the score of a model and the number of labeled images."""
    by_machine = f" ({point.by_machine:,} by a model)" if point.by_machine else ""
    score = "no score" if point.miou is None else f"mIoU {point.miou:.4f}"
    span = f" ({point.interval[0]:.3f} to {point.interval[1]:.3f})" if point.interval else ""
    return f"{point.labeled:,} images labeled{by_machine}: {score}{span} on {point.test:,} test images"


def print_budget(session: Session) -> None:
    """Print the run's cost if [budget] limits it; polls running jobs."""
    limit = session.settings.budget.max_usd
    context = session.context()
    if limit is None:
        return
    from gtseg.core.cost import BILLED_BY, total
    from gtseg.pipeline.run.cost import billed_rows, spent_rows

    if not any(context.is_billed(stage) for stage in BILLED_BY):
        return
    spent = total(billed_rows(spent_rows(session.run, context), context))[0]
    say(f"Budget: about {spent:.2f} of {limit} USD ({spent / limit:.0%}) spent by this run's work so far.")


def _refresh(session: Session, run: Run) -> Run:
    """Return the run updated from AWS, and save it."""
    from gtseg.pipeline.stages.order import refresh

    if run.etag is None:
        return run
    context = replace(session, run=run).context()
    with listener() as notify:
        try:
            seen = refresh(run, replace(context, notify=notify))
        except StageError as error:
            say(f"warning: {error}")
            return run
    return context.save(seen)


def _show_all(session: Session, *, refresh: bool, as_json: bool) -> None:
    from gtseg.pipeline.run import RunFile, list_runs, locate

    settings, clients = session.settings, session.clients
    roots = {name: locate(settings, clients, name=name) for name in list_runs(settings, clients)}
    runs = {name: RunFile(clients, root).load() for name, root in roots.items()}
    if refresh:
        runs = {name: _refresh(session, run) for name, run in runs.items()}
    facts = {name: _facts(run, settings) for name, run in runs.items()}
    if as_json:
        print_json([{"name": name, "root": roots[name], "next": found["next"]} for name, found in facts.items()])
        return
    for name, found in facts.items():
        show(f"{name:<40} {'next: ' + found['next'] if found['next'] else 'done'}")
    if not facts:
        say(
            f"There is no run below {locate(settings, clients, name='x').removesuffix('x/')} yet: start one with "
            "`gtseg label`."
        )


def print_endpoint_costs(session: Session, run: Run) -> None:
    """Print the endpoint's last known state; it runs, and costs money on AWS, until it is deleted."""
    endpoint = run.endpoint
    if endpoint and endpoint.since and not endpoint.deleted:
        times = [time for time in (run.looked, endpoint.ready, endpoint.since) if time]
        verb = "costs on AWS" if session.clients.is_aws("sagemaker") else "runs"
        state = f"{endpoint.status or 'coming up'} at {max(times):%Y-%m-%d %H:%M} UTC"
        say(
            f"Endpoint {endpoint.name} was {state} (`gtseg status --refresh` checks again); "
            f"it {verb} until `gtseg cleanup`."
        )


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
