"""gtseg adjust, verify, agreement."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from gtseg.cli.checks import location, resource_name
from gtseg.cli.console import print_columns, print_json, show
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions, SourceOptions, Spending
from gtseg.cli.stage_command import answer, run_stage
from gtseg.core.printable import printable
from gtseg.errors import SettingsError

app = typer.Typer(rich_markup_mode=None)


@app.command()
@grouped
def adjust(
    project: ProjectOptions,
    labels: SourceOptions,
    spending: Spending,
    bad: Annotated[bool, typer.Option("--bad", help="Only the masks that `gtseg verify` found bad.")] = False,
    only: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Only the images of this file, as downloaded from the owner's page: JSON lines with source-ref and "
            "comments.",
        ),
    ] = None,
) -> None:
    """Let workers correct masks of the run, another job or an import.

    `watch` and `dataset` continue with the result.
    """
    from gtseg.pipeline.commands.review import adjust as implementation

    if bad and only:
        raise typer.BadParameter("--bad and --only exclude each other: each selects images")
    session = project.open()
    images = _read_images(only) if only else None
    stage = partial(implementation, source=labels.source(), bad=bad, only=images)
    run = run_stage(session, stage, spending)
    answer(run.labeling_job, as_json=project.as_json and not spending.dry_run)


def _read_images(file: Path) -> dict[str, tuple[str, ...]]:
    from gtseg.pipeline.commands.review.findings import read_redo

    try:
        body = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"--only {file} cannot be read: {error.strerror}") from None
    return read_redo(body, str(file))


@app.command()
@grouped
def verify(
    project: ProjectOptions,
    labels: SourceOptions,
    spending: Spending,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the verification ends.")] = False,
    machine: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Verify a random sample of N masks made by a model (automated labeling) instead of all masks; it "
            "estimates the share of good ones among the others.",
        ),
    ] = None,
) -> None:
    """Let workers verify which masks are good and which are bad. Run it again to see the result.

    Exit codes: 0 started, in progress or all good; 1 failed or stopped; 5 some masks are bad: redo.jsonl lists them.
    """
    from gtseg.pipeline.commands.review import verify as implementation
    from gtseg.pipeline.stages.order import PROBLEMS

    session = project.open()
    stage = partial(implementation, source=labels.source(), wait=wait, machine=machine or 0)
    run = run_stage(session, stage, spending)
    if spending.dry_run:
        return
    answer(run.verification, as_json=project.as_json)
    raise typer.Exit(PROBLEMS if run.verification and run.verification.bad else 0)


@app.command()
@grouped
def agreement(
    project: ProjectOptions,
    job: Annotated[
        str | None,
        typer.Option(
            metavar="JOB",
            help="Any labeling job of this account and region instead of the run's.",
            callback=resource_name,
        ),
    ] = None,
    gold: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder of known masks, <image>.png with class indices; workers are scored by them.",
            callback=location,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Number of hardest images to list.")] = 10,
) -> None:
    """Measure how well the workers agree, per worker, class and image; list slow workers, outliers and hard images.

    Overlap is the mean IoU without background.
    """
    from dataclasses import asdict

    from gtseg.pipeline.commands.agreement import agreement as implementation

    session = project.open()
    with listener() as notify:
        found = implementation(session.run, session.context(notify), job=job, gold=gold)
    if project.as_json:
        print_json({"miou": found.miou, "pixels": found.pixels, **asdict(found)})
        return
    show(f"{len(found.images):,} images, {len(found.workers)} workers; overlap between workers {_score(found.miou)}")
    if found.suggested:
        show(f"{found.suggested:,} answers started from a model's suggestion and are not compared")
    _print_more(
        ("WORKER", "ANSWERS", "MEDIAN S", "OTHERS", "CONSOLIDATED", "GOLD", ""),
        [_worker_row(w) for w in found.workers],
    )
    _print_more(
        ("CLASS", "OTHERS", "CONSOLIDATED", "GOLD"),
        [(c.name, _score(c.others), _score(c.consolidated), _score(c.gold)) for c in found.classes],
    )
    _print_more(
        ("HARDEST IMAGES", "ANSWERS", "OTHERS", "GOLD", "MEDIAN S"),
        [
            (i.image, str(i.answers), _score(i.others), _score(i.gold), _seconds(i.seconds))
            for i in found.images[:limit]
        ],
    )


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _print_more(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a further table unless it is empty."""
    if rows:
        show()
        print_columns(head, rows)


def _worker_row(worker: Any) -> tuple[str, ...]:
    remarks = [*(["slow"] if worker.is_slow else []), *(["off"] if worker.is_off else [])]
    scores = (_score(worker.others), _score(worker.consolidated), _score(worker.gold))
    return (
        printable(worker.name or worker.worker),
        str(worker.answers),
        _seconds(worker.seconds),
        *scores,
        " ".join(remarks),
    )
