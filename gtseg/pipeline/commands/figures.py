"""Charts as SVG, panels as PNG and tables as CSV: the contents of the report page as separate files."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from gtseg.core.charts import bar_chart, confusion_chart, standalone, training_curves
from gtseg.core.output_names import unique_names
from gtseg.core.plurals import counted
from gtseg.errors import StageError
from gtseg.pipeline.run import Context, EvaluationSection, Run
from gtseg.pipeline.run.locations import Place
from gtseg.pipeline.stages.report.facts import colors_of, gather_facts, read_files
from gtseg.pipeline.stages.report.panels import Panel, draw_panels

CLASS_COLUMNS = (
    "name",
    "iou",
    "precision",
    "recall",
    "f1",
    "boundary_f1",
    "truth_pixels",
    "predicted_pixels",
)
IMAGE_COLUMNS = ("name", "miou", "pixel_accuracy", "void_pixels", "has_objects")
EPOCH_COLUMNS = (
    "number",
    "train_loss",
    "miou",
    "pixel_accuracy",
    "train_throughput",
    "validation_throughput",
)


def export_evaluation(section: EvaluationSection, folder: str) -> list[str]:
    """Write an evaluation's classes.csv, scores.csv, confusion.csv, confusion.svg, iou.svg; return the names."""
    names = [one.name for one in section.classes]
    rows = [one.model_dump(mode="json") for one in section.classes]
    charts = {
        "confusion.svg": confusion_chart(section.confusion, names),
        "iou.svg": bar_chart([(one.name, one.iou) for one in section.classes], label="IoU by class"),
    }
    tables = {
        "classes.csv": _csv(CLASS_COLUMNS, rows),
        "scores.csv": _csv(("score", "value", "low", "high"), _scores(section)),
        "confusion.csv": _csv(
            ("truth", *names),
            [
                {"truth": name, **dict(zip(names, counts, strict=True))}
                for name, counts in zip(names, section.confusion, strict=False)
            ],
        ),
    }
    return _write(folder, charts, tables)


def export_report(run: Run, context: Context, folder: str) -> list[str]:
    """Write every chart, panel and table of the run's report page; return the names.

    Raises StageError before there is an evaluation.
    """
    if run.evaluation is None:
        raise StageError(f"Run {run.name!r} has not been evaluated: there is nothing to export. Run `gtseg evaluate`.")
    context = context.of("report")
    written = export_evaluation(run.evaluation, folder)
    files = read_files(run, context)
    facts = gather_facts(run, files, context, made=context.run_file(run).clock())
    training = facts["training"] or {}
    epochs, best = training.get("epochs", []), (training.get("best") or {}).get("number")
    drawn = training_curves(epochs, best=best)
    charts = {"training-loss.svg": drawn["loss"], "validation.svg": drawn["validation"]}
    shares = (facts["dataset"] or {}).get("pixels", {})
    tables = {
        "images.csv": _csv(IMAGE_COLUMNS, files.images),
        "epochs.csv": _csv(EPOCH_COLUMNS, epochs),
        "stages.csv": _csv(("stage", "did", "seconds", "cost", "note"), facts["stages"]),
        "left-out.csv": _csv(("status", "reason", "count", "example"), facts["left_out"]),
        "pixels.csv": _csv(
            ("part", "class", "pixels"),
            [
                {"part": part, "class": name, "pixels": count}
                for part, counts in shares.items()
                for name, count in counts.items()
            ],
        ),
    }
    written += _write(folder, charts, tables)
    panels = (
        draw_panels(files.images, run.dataset, run.evaluation, colors_of(run, files), context.s3)
        if run.dataset and files.images
        else []
    )
    written += _write_panels(panels, folder)
    context.finish(f"{counted(len(written), 'file')} in {folder}", {"folder": folder, "files": sorted(written)})
    return written


def _scores(section: EvaluationSection) -> list[dict[str, Any]]:
    names = ("miou", "miou_builtin", "miou_per_image", "miou_foreground", "pixel_accuracy")
    spans = [section.intervals.get(name) or (None, None) for name in names]
    return [
        {"score": name, "value": getattr(section, name), "low": low, "high": high}
        for name, (low, high) in zip(names, spans, strict=True)
    ]


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return these columns of the rows as CSV (RFC 4180); unknown values are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows({key: _safe(row.get(key)) for key in columns} for row in rows)
    return text.getvalue()


def _safe(value: Any) -> Any:
    """Quote text that a spreadsheet would interpret as a formula, since names come from untrusted files."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _write(folder: str, charts: Mapping[str, str], tables: Mapping[str, str]) -> list[str]:
    place = Place(str(Path(folder)))
    for name, svg in charts.items():
        if svg:
            place.write(name, standalone(svg).encode())
    for name, text in tables.items():
        place.write(name, text.encode())
    return [name for name, svg in charts.items() if svg] + list(tables)


def _write_panels(panels: Sequence[Panel], folder: str) -> list[str]:
    """Write `panels/<rank>-<number>-<image>-<what>.png` and return their names."""
    written = []
    for number, (panel, name) in enumerate(zip(panels, unique_names([p.name for p in panels]), strict=True), 1):
        for what, address in panel.pictures:
            target = io.BytesIO()
            Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).save(target, "PNG")
            written.append(f"panels/{panel.rank}-{number}-{name}-{what}.png")
            Place(folder).write(written[-1], target.getvalue())
    return written
