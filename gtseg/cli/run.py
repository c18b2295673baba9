"""gtseg run, status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.cli.consent import ask
from gtseg.cli.console import listener, print_json, say
from gtseg.cli.labeling import CreateBucket, PublicCrowd
from gtseg.cli.options import DryRun, Json, RunName, Set, SettingsFile, Yes, open_session

if TYPE_CHECKING:
    from gtseg.pipeline.run import Run

app = typer.Typer(rich_markup_mode=None)


@app.command()
def run(
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    create_bucket: CreateBucket = False,
    allow_public_crowd: PublicCrowd = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event on stdout.")] = False,
) -> None:
    """Do every stage that is not done yet, up to --until.

    Exit code 5 (some images or objects were left out) does not stop it; it is returned at the end.
    """
    from gtseg.pipeline.stages import exit_code, until_stage, walk

    stages = until_stage(until)
    session = open_session(settings_file, run_name, overrides)
    consent = ask(
        session.clients,
        session.settings,
        yes=yes,
        create_bucket=create_bucket,
        public_crowd=allow_public_crowd,
    )
    with listener(as_lines=as_json) as notify:
        done = walk(
            session.run,
            session.settings,
            session.clients,
            notify=notify,
            consent=consent,
            stages=stages,
            dry_run=dry_run,
        )
    if not as_json and not dry_run:
        say_what_costs(done)
    raise typer.Exit(0 if dry_run else max(exit_code(done, stage.name) for stage in stages))


@app.command()
def status(
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Say what this run has and what comes next. Reads run.json only; changes nothing."""
    session = open_session(settings_file, run_name, overrides)
    facts = _facts(session.run)
    if as_json:
        print_json(facts)
        return
    print(f"run {session.run.name} at {session.run.root}")
    for name, stage in facts["stages"].items():
        print(f"  {'done' if stage['done'] else '-':<5} {name:<9} {stage['summary']}".rstrip())
    print(f"next: gtseg {facts['next']}" if facts["next"] else "everything is done")
    say_what_costs(session.run)


def say_what_costs(run: Run) -> None:
    """An endpoint answers, and costs on AWS, until somebody deletes it."""
    if run.endpoint and run.endpoint.since and not run.endpoint.deleted:
        say(f"Endpoint {run.endpoint.name} answers, and costs on AWS, until `gtseg cleanup`.")


def _facts(run: Run) -> dict[str, Any]:
    from gtseg.pipeline.stages import STAGES

    stages = {s.name: {"done": s.is_done(run), "summary": s.summary(run)} for s in STAGES}
    upcoming = next((s.name for s in STAGES if not s.is_done(run)), None)
    return {
        "exists": run.etag is not None,
        "stages": stages,
        "next": upcoming,
        "run": run.model_dump(mode="json"),
    }
