"""gtseg adjust, verify, agreement."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gtseg.cli.console import print_columns, print_json, show
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions, SourceOptions, Spending
from gtseg.cli.stage_command import answer, walk_stage
from gtseg.core.printable import printable
from gtseg.errors import SettingsError

app = typer.Typer(rich_markup_mode=None)


@app.command()
@grouped
def adjust(
    project: ProjectOptions,
    labels: SourceOptions,
    spending: Spending,
    bad: Annotated[bool, typer.Option("--bad", help="Only the masks that `gtseg verify` spoke against.")] = False,
    only: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Only the images of this file, as the owner's page gives it: JSON lines with source-ref and comments.",
        ),
    ] = None,
) -> None:
    """Let people correct masks: the run's, another job's, an import's. `watch` and `dataset` go on with the result."""
    from gtseg.pipeline.commands.review import adjust as walk

    if bad and only:
        raise typer.BadParameter("--bad and --only name two different sets of images: give one of them")
    session = project.open()
    images = _read_images(only) if only else None
    stage = partial(walk, source=labels.source(), bad=bad, only=images)
    run = walk_stage(session, stage, spending)
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
    wait: Annotated[bool, typer.Option("--wait", help="Return when the verification is over.")] = False,
    machine: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="A random sample of so many masks that a model made (automated labeling), instead of all masks: it estimates how "
            "many of the others are good.",
        ),
    ] = None,
) -> None:
    """Let people say which masks are good and which are bad. Run again, it says what came out.

    Exit codes: 0 started, under way or all good; 1 failed or stopped; 5 some masks are bad: redo.jsonl names them.
    """
    from gtseg.pipeline.commands.review import verify as walk
    from gtseg.pipeline.stages.order import PROBLEMS

    session = project.open()
    stage = partial(walk, source=labels.source(), wait=wait, machine=machine or 0)
    run = walk_stage(session, stage, spending)
    if spending.dry_run:
        return
    answer(run.verification, as_json=project.as_json)
    raise typer.Exit(PROBLEMS if run.verification and run.verification.bad else 0)


@app.command()
@grouped
def agreement(
    project: ProjectOptions,
    job: Annotated[
        str | None, typer.Option(help="Any labeling job of this account and region instead of the run's.")
    ] = None,
    gold: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Known masks, <image>.png with class indices: workers are scored by them."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="So many of the hardest images are listed.")] = 10,
) -> None:
    """Say how well the workers agree: per worker, per class, per image. Who is slow, who is off, what is hard.

    Overlap is the mean IoU without background.
    """
    from dataclasses import asdict

    from gtseg.pipeline.commands.agreement import agreement as walk

    session = project.open()
    with listener() as notify:
        found = walk(session.run, session.context(notify), job=job, gold=gold)
    if project.as_json:
        print_json({"miou": found.miou, "pixels": found.pixels, **asdict(found)})
        return
    show(f"{len(found.images):,} images, {len(found.workers)} workers; overlap between workers {_score(found.miou)}")
    if found.suggested:
        show(f"{found.suggested:,} answers began with a model's suggestion and are compared with nothing")
    _print_more(
        ("WORKER", "ANSWERS", "MEDIAN S", "OTHERS", "CONSOLIDATED", "GOLD", ""),
        [
            (printable(w.name or w.worker), str(w.answers), _seconds(w.seconds), _score(w.others), _score(w.consolidated), _score(w.gold),
             " ".join([*(["slow"] if w.is_slow else []), *(["off"] if w.is_off else [])]))
            for w in found.workers
        ],
    )  # fmt: skip
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
    """A further table; nothing where it has no rows."""
    if rows:
        show()
        print_columns(head, rows)
