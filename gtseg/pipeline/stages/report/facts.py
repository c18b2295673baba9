"""Contents of the report, gathered from the run and the files beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gtseg.aws.clients import Clients, Service
from gtseg.core.cost import BILLED_BY, DATED, HOME, Price
from gtseg.core.masks import Classes
from gtseg.core.plurals import counted
from gtseg.errors import GtsegError
from gtseg.pipeline.run import Context, Run
from gtseg.pipeline.run.cost import instance_price
from gtseg.pipeline.stages.report.labeling import labeling_facts, left_out
from gtseg.version import __version__

NEUTRAL = "#9aa3ad"
"""Gray for the background, whose own color is white."""


@dataclass(frozen=True)
class Files:
    """Return a file beside run.json, parsed; empty if it does not exist."""

    dataset: dict[str, Any]
    records: list[dict[str, Any]]
    images: list[dict[str, Any]]
    """Return the scores of each image, worst first."""


def machine_cost(price: Price, seconds: float, *, count: int = 1) -> float | None:
    """Return USD for `count` instances over this time; None if the price is unknown."""
    return None if price.usd is None else float(price.usd) * count * seconds / 3600


def read_files(run: Run, context: Context) -> Files:
    s3 = context.s3
    dataset = s3.read_if_exists(f"{run.root}dataset.json")
    objects = s3.read_if_exists(f"{run.root}objects.jsonl")
    details = s3.read_if_exists(run.evaluation.details) if run.evaluation and run.evaluation.details else None
    return Files(
        json.loads(dataset[0]) if dataset else {},
        [json.loads(line) for line in objects[0].splitlines() if line.strip()] if objects else [],
        json.loads(details[0])["images"] if details else [],
    )


def gather_facts(run: Run, files: Files, context: Context, *, made: datetime) -> dict[str, Any]:
    """Return the values of the page: JSON types only, so that report.json has the same."""
    return {
        "run": {
            "name": run.name,
            "root": run.root,
            "account": run.account,
            "region": run.region,
            "created": run.created.isoformat(),
            "embedded": not any(context.is_billed(stage) for stage in BILLED_BY),
            "where": where(context.clients),
        },
        "made": made.isoformat(),
        "gtseg": __version__,
        "evaluation": run.evaluation.model_dump(mode="json") if run.evaluation else None,
        "stages": stages(run, context),
        "labeling": labeling_facts(run, files.records, context),
        "left_out": left_out(files.records),
        "dataset": _dataset(run, files),
        "training": _training(run),
        "tuning": run.tuning_job.model_dump(mode="json") if run.tuning_job else None,
        "endpoint": run.endpoint.model_dump(mode="json") if run.endpoint else None,
        "lineage": lineage(run),
        "prices": price_sources(run, context),
    }


def where(clients: Clients) -> str:
    """Describe whose services made the run, by their endpoints."""
    words: dict[Service, str] = {"labeling": "labeled", "s3": "stored", "sagemaker": "trained and served"}
    aws = {done: clients.is_aws(service) for service, done in words.items()}
    there = [done for done, is_there in aws.items() if is_there]
    here = [done for done, is_there in aws.items() if not is_there]
    if not here:
        return f"Made on AWS in {clients.region}"
    if not there:
        return "Made with gtseg's embedded AWS"
    sentence = f"{', '.join(here)} with gtseg's embedded AWS; {', '.join(there)} on AWS in {clients.region}"
    return sentence[0].upper() + sentence[1:]


def price_sources(run: Run, context: Context) -> str:
    """Return the source of the page's prices: AWS's price list, or the dated table."""
    used = [(run.training_job, "train"), (run.endpoint, "deploy")]
    asked = [instance_price(section.instance_type, context.clients, use) for section, use in used if section]
    found = dict.fromkeys(price.source for price in asked if price.usd is not None)
    return "; ".join(found) or f"{DATED}, {HOME}, on demand"


def lineage(run: Run) -> dict[str, Any]:
    """Return what each result of the run was made from (versions, settings, sources), by section of run.json."""
    names = ("labeling_job", "dataset", "tuning_job", "training_job", "endpoint", "evaluation")
    origins = {name: getattr(getattr(run, name), "made_from", None) for name in names}
    return {name: origin.model_dump(mode="json") for name, origin in origins.items() if origin}


def _dataset(run: Run, files: Files) -> dict[str, Any] | None:
    """Return the counts and, for each split, every class's share of its pixels."""
    if run.dataset is None:
        return None
    pixels = files.dataset.get("pixels", {})
    shares = {}
    for part, counts in pixels.items():
        whole = sum(counts.values())
        shares[part] = {name: count / whole if whole else 0.0 for name, count in counts.items()}
    return {
        "classes": list(run.dataset.classes),
        "counts": dict(run.dataset.counts),
        "fingerprint": run.dataset.fingerprint,
        "shares": shares,
        "pixels": pixels,
    }


def colors_of(run: Run, files: Files) -> Classes:
    """Return names and colors of the dataset's classes; the background is white."""
    rows = files.dataset.get("classes", [])
    return Classes(tuple(r["name"] for r in rows), tuple(int(r["color"].lstrip("#"), 16) for r in rows))


def page_colors(classes: Classes) -> list[str]:
    """Return colors for bars and swatches."""
    return [NEUTRAL if index == 0 else f"#{color:06x}" for index, color in enumerate(classes.colors)]


def _training(run: Run) -> dict[str, Any] | None:
    """Return the training job, and what ended it if it did not complete."""
    job = run.training_job
    return job.model_dump(mode="json") | {"ending": job.ending} if job else None


def stages(run: Run, context: Context) -> list[dict[str, Any]]:
    """Return one row per stage: what it did, seconds, USD (None: unknown)."""
    rows = [
        _label(run, context),
        _dataset_row(run),
        _train(run, context),
        _deploy(run, context),
        _evaluate(run),
    ]
    return [row for row in rows if row]


def _row(
    stage: str, did: str, *, seconds: float | None = None, cost: float | None = None, note: str = ""
) -> dict[str, Any]:
    return {"stage": stage, "did": did, "seconds": seconds, "cost": cost, "note": note}


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end else None


def _label(run: Run, context: Context) -> dict[str, Any] | None:
    job = run.labeling_job
    if job is None:
        return None
    done = job.counters.get("TotalLabeled", 0)
    try:
        state = context.labeling.describe_job(job.name)
        seconds = _between(state.created, state.modified)
    except GtsegError:
        seconds = None
    machine = job.counters.get("MachineLabeled", 0)
    did = f"{done - machine:,} of {counted(job.objects, 'image')} labeled by a {job.workforce} workforce"
    if machine:
        did += f", {machine:,} by a model"
    if context.clients.is_aws("sagemaker") and not context.clients.is_aws("labeling"):
        return _row("label", did, seconds=seconds, note="on a labeling server, which bills nothing")
    return _row(
        "label",
        did,
        seconds=seconds,
        cost=job.estimated_cost,
        note="AWS's service fee; the team's pay is not included" if job.workforce != "public" else "",
    )


def _dataset_row(run: Run) -> dict[str, Any] | None:
    if run.dataset is None:
        return None
    counts = run.dataset.counts
    parts = ", ".join(f"{counts.get(part, 0):,} {part}" for part in ("train", "validation", "test"))
    if run.dataset.by_machine:
        parts += f" ({sum(run.dataset.by_machine.values()):,} of them labeled by a model)"
    rejected = sum(counts.get(name, 0) for name in ("rejected", "failed", "unlabeled"))
    return _row("dataset", parts + (f"; {rejected:,} left out" if rejected else ""))


def _train(run: Run, context: Context) -> dict[str, Any] | None:
    job = run.training_job
    if job is None:
        return None
    seconds = job.billable_seconds if job.billable_seconds is not None else _between(job.started, job.ended)
    did = f"{counted(len(job.epochs), 'epoch')} on {job.instance_type}"
    if job.tuning_job:
        did += f", the best job of {job.tuning_job}"
    return _row(
        "train",
        did,
        seconds=seconds,
        cost=None
        if seconds is None
        else machine_cost(instance_price(job.instance_type, context.clients, "train"), seconds),
    )


def _deploy(run: Run, context: Context) -> dict[str, Any] | None:
    section = run.endpoint
    if section is None:
        return None
    hour = instance_price(section.instance_type, context.clients, "deploy")
    hourly = machine_cost(hour, 3600, count=section.instance_count)
    price = f"on AWS {hourly:.3f} USD an hour" if hourly is not None else "price not known"
    state = f"deleted {section.deleted:%Y-%m-%d %H:%M}" if section.deleted else f"{price} until `gtseg cleanup`"
    seconds = _between(section.since, section.ready)
    return _row("deploy", f"{section.instance_count} x {section.instance_type}", seconds=seconds, note=state)


def _evaluate(run: Run) -> dict[str, Any] | None:
    scored = run.evaluation
    if scored is None:
        return None
    speed = f"{scored.median_latency * 1000:.0f} ms an image (median)" if scored.median_latency else ""
    return _row(
        "evaluate",
        f"{counted(scored.images, scored.split + ' image')}, {scored.pixels:,} pixels",
        seconds=scored.seconds,
        note=speed,
    )
