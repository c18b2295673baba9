"""gtseg evaluate, report."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtseg.cli.checks import location
from gtseg.cli.console import print_columns, print_json, say, show
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import LABELS_HELP, BatchOptions, LabelValues, ProjectOptions, Spending, Void
from gtseg.cli.stage_command import answer, run_stage

if TYPE_CHECKING:
    from gtseg.core.account import Account
    from gtseg.pipeline.run import EvaluationSection

app = typer.Typer(rich_markup_mode=None)
Export = Annotated[
    Path | None,
    typer.Option(
        "--export", metavar="DIR", help="Also write each chart as SVG, each panel as PNG and each table as CSV."
    ),
]


@app.command()
@grouped
def evaluate(
    project: ProjectOptions,
    predictions: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Index PNGs to score; needs no run and no endpoint.", callback=location),
    ] = None,
    masks: Annotated[str | None, typer.Option(metavar="DIR", help="Their true masks.", callback=location)] = None,
    labels: Annotated[str, typer.Option(metavar="A,B", help=LABELS_HELP)] = "",
    label_values: LabelValues = "",
    void: Void = None,
    export: Export = None,
    *,
    in_batch: BatchOptions,
    spending: Spending,
) -> None:
    """Score the model on the test split, which training did not use.

    Exit code 5: some images could not be predicted and are not scored; run the same command again to retry them.
    """
    if bool(predictions) != bool(masks):
        raise typer.BadParameter("--predictions and --masks must be given together")
    if predictions and masks:
        if in_batch.batch:
            raise typer.BadParameter("--batch predicts a run's test images and cannot be combined with --predictions")
        _evaluate_folders(
            predictions,
            masks,
            labels,
            label_values=label_values,
            void=void,
            as_json=project.as_json,
            export=export,
        )
        return
    if labels or label_values or void is not None:
        raise typer.BadParameter(
            "--labels, --label-values and --void need --predictions and --masks; a run's dataset has its own class "
            "names"
        )
    from gtseg.pipeline.stages.evaluate import evaluate as implementation
    from gtseg.pipeline.stages.order import exit_code

    in_batch.check_spending(spending)
    session = replace(project, overrides=[*(project.overrides or []), *in_batch.settings()]).open()
    stage = partial(implementation, in_batch=in_batch.batch)
    run = run_stage(session, stage, spending if in_batch.batch else None)
    if spending.dry_run:
        return
    assert run.evaluation is not None
    _export(run.evaluation, export)
    _show(run.evaluation, as_json=project.as_json)
    raise typer.Exit(exit_code(run, "evaluate"))


def _evaluate_folders(
    predictions: str,
    masks: str,
    labels: str,
    *,
    label_values: str,
    void: int | None,
    as_json: bool,
    export: Path | None,
) -> None:
    from gtseg.aws.clients import Clients
    from gtseg.aws.s3 import S3
    from gtseg.core.masks.class_values import parse_values
    from gtseg.pipeline.stages.evaluate import evaluate_folders
    from gtseg.settings.hosting import Evaluate

    names = [name.strip() for name in labels.split(",") if name.strip()]
    with listener() as notify:
        found = evaluate_folders(
            predictions,
            masks,
            labels=names,
            values=parse_values(label_values) if label_values else (),
            void=void,
            options=Evaluate(),
            notify=notify,
            s3=S3(Clients()),
        )
    _export(found.section, export)
    _show(found.section, as_json=as_json, account=found.account)
    raise typer.Exit(found.account.exit_code)


def _export(section: EvaluationSection, folder: Path | None) -> None:
    if folder is None:
        return
    from gtseg.pipeline.commands.figures import export_evaluation

    names = export_evaluation(section, str(folder))
    say(f"evaluate: {', '.join(names)} in {folder}")


def _show(section: EvaluationSection, *, as_json: bool, account: Account | None = None) -> None:
    if as_json:
        more = {"account": account.as_json()} if account else {}
        print_json(section.model_dump(mode="json") | more)
        return
    head, rows = ("CLASS", "IOU", "PRECISION", "RECALL", "F1", "BOUNDARY F1", "PIXELS"), []
    for one in section.classes:
        scores = (one.iou, one.precision, one.recall, one.f1, one.boundary_f1)
        rows.append((one.name, *("-" if s is None else f"{s:.4f}" for s in scores), f"{one.truth_pixels:,}"))
    print_columns(head, rows, right=True)
    for name in ("miou", "miou_builtin", "miou_per_image", "miou_foreground", "pixel_accuracy"):
        value, span = getattr(section, name), section.intervals.get(name)
        interval = f"  [{span[0]:.4f}, {span[1]:.4f}]" if span else ""
        show(f"{name:<16} {'-' if value is None else f'{value:.4f}'}{interval}")
    show(f"{section.images} {section.split} images, {section.pixels:,} pixels, {section.void_pixels:,} void")


@app.command()
@grouped
def report(
    project: ProjectOptions,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder of the local copies [default: beside gtseg.toml]."),
    ] = None,
    export: Export = None,
) -> None:
    """Write report.html, one page, and its data, report.json, beside gtseg.toml and to the run's bucket."""
    from gtseg.pipeline.stages.report import report as implementation

    session = project.open()
    run = run_stage(session, partial(implementation, output=output))
    if export is not None:
        from gtseg.pipeline.commands.figures import export_report

        with listener() as notify:
            export_report(run, session.context(notify), str(export))
    answer(run.report, as_json=project.as_json)
