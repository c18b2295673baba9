"""report: write the page to the bucket and beside gtseg.toml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gtseg.core.charts import training_curves
from gtseg.errors import GtsegError, StageError
from gtseg.pipeline.run import Context, ReportSection, Run, provenance
from gtseg.pipeline.run.locations import Place
from gtseg.pipeline.stages.report.facts import Files, colors_of, gather_facts, page_colors, read_files
from gtseg.pipeline.stages.report.panels import Panel, draw_panels
from gtseg.settings.templates import read_template

TEMPLATE = "report.html.j2"


def report(run: Run, context: Context, *, output: Path | None = None) -> Run:
    """Return the run with its report: report.html and report.json below the run's root, and copies in `output`.

    `output` defaults to the folder of gtseg.toml. Raises StageError before there is an evaluation.
    """
    if run.evaluation is None:
        raise StageError(f"Run {run.name!r} has not been evaluated: there is nothing to report. Run `gtseg evaluate`.")
    context = context.of("report")
    made = context.run_file(run).clock()
    files = read_files(run, context)
    facts = gather_facts(run, files, context, made=made)
    page = render(facts, files, panels=_panels(run, files, context), colors=page_colors(colors_of(run, files)))
    section = ReportSection(
        html=f"{run.root}report.html",
        data=f"{run.root}report.json",
        made=made,
        evaluation=run.evaluation.made,
        made_from=provenance(
            context.settings, "project", dataset=run.evaluation.dataset, endpoint=run.evaluation.endpoint
        ),
    )
    bodies = {
        "report.json": json.dumps(facts, indent=2, ensure_ascii=False).encode() + b"\n",
        "report.html": page.encode(),
    }
    for name, body in bodies.items():
        context.s3.write(run.root + name, body)
    _write_here(bodies, output, context)
    return run.update(report=section)


def _panels(run: Run, files: Files, context: Context) -> list[Panel]:
    if run.dataset is None or run.evaluation is None or not files.images:
        return []
    return draw_panels(files.images, run.dataset, run.evaluation, colors_of(run, files), context.s3)


def _write_here(bodies: Mapping[str, bytes], output: Path | None, context: Context) -> None:
    folder = output or context.settings.folder
    try:
        for name, body in bodies.items():
            Place(str(folder)).write(name, body)
    except (GtsegError, OSError) as error:
        if output is not None:
            raise
        context.warn(f"the report is in the bucket only: {error}")
        return
    context.finish(str(folder / "report.html"), {"html": str(folder / "report.html")})


def render(facts: Mapping[str, Any], files: Files, *, panels: list[Panel], colors: list[str]) -> str:
    """Render the page: one HTML file without external resources."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"seconds": seconds_text, "score": score_text, "percent": percent_text}
    template = environment.from_string(read_template(TEMPLATE))
    return template.render(**facts, panels=panels, colors=colors, curves=curves(facts), images=files.images)


def curves(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return charts of the training loss and the validation scores by epoch."""
    training = facts["training"]
    best = training["best"]["number"] if training and training["best"] else None
    return training_curves(training["epochs"] if training else [], best=best)


def seconds_text(seconds: float | None) -> str:
    """Format seconds: 1 h 05 min, 3 min 20 s, 12 s, 0.4 s, under 0.1 s."""
    if seconds is None:
        return ""
    if seconds < 0.1:
        return "under 0.1 s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    rounded = round(seconds)
    if rounded >= 86400:
        return f"{rounded // 86400} d {rounded % 86400 // 3600} h"
    if rounded >= 3600:
        return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"
    return f"{rounded // 60} min {rounded % 60:02d} s" if rounded >= 60 else f"{rounded} s"


def score_text(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def percent_text(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
