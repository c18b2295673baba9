"""Freshness of a stage's result: one rule for all stages.

A section keeps what it was made from (`made_from`): the settings of its tables, and the fingerprints and names of its
sources by kind. It is fresh as long as both equal those of the run and gtseg.toml now. Makes no AWS calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gtseg.pipeline.run.provenance import Provenance, provenance
from gtseg.pipeline.run.sections import LabelingJobSection, Run
from gtseg.settings import Settings

NOTHING = "none"
"""Value for a source that is not the run's own: foreign labels, a foreign model."""
LABELS, MODEL = "run_labels", "run_model"
"""Kinds of sources: the labels and the trained model that the run had, whether or not they were used."""
OF_RESULT: Mapping[str, tuple[str, ...]] = {
    "dataset": ("dataset",),
    "train": ("train.hyperparameters", "train.image_uri", "train.input", "train.initial_model", "tune"),
    "deploy": ("deploy",),
    "evaluate": (
        "evaluate",
        "predict.large_images",
        "predict.max_side",
        "predict.tile_size",
        "predict.tile_overlap",
        "predict.jpeg_quality",
    ),
}
"""Settings that a stage's result depends on, whole tables or single keys."""
INDIFFERENT = frozenset({"deploy.time_to_live", "deploy.tags", "dataset.alike_labels", "evaluate.required"})
"""Settings of those tables that a result does not depend on."""
SECTIONS = {
    "dataset": "dataset",
    "train": "training_job",
    "deploy": "endpoint",
    "evaluate": "evaluation",
    "report": "report",
}


@dataclass(frozen=True)
class Stale:
    """Reason why a stage must be repeated, and whether its sources or its settings changed."""

    reason: str
    cause: Literal["data", "settings"]


def staleness(run: Run, settings: Settings, stage: str) -> Stale | None:
    """Return why the result of this stage is outdated; None if it is fresh or there is no result."""
    section = getattr(run, SECTIONS[stage], None) if stage in SECTIONS else None
    if section is None:
        return None
    origin: Provenance = section.made_from or Provenance(gtseg="", settings={})
    if reason := _changed_source(run, stage, origin.sources):
        return Stale(reason, "data")
    if stage not in OF_RESULT or (stage == "deploy" and run.endpoint and run.endpoint.deleted):
        return None
    changed = next(_changed_settings(origin.settings, settings, stage), "")
    return Stale(changed, "settings") if changed else None


def labels_of(job: LabelingJobSection | None) -> str:
    """Return the fingerprint of the run's labels.

    It covers the labeling job, and the manifest's bytes if an import wrote them.
    """
    if job is None:
        return NOTHING
    etag = job.made_from.sources.get("manifest_etag", "") if job.made_from else ""
    return f"{job.name} {etag}" if job.workforce == "import" and etag else job.name


def model_of(run: Run) -> str:
    """Return the fingerprint of the run's trained model."""
    return run.training_job.name if run.training_job else NOTHING


def _changed_source(run: Run, stage: str, sources: Mapping[str, str]) -> str:
    """Return which source has changed, as text; '' if none has."""
    if stage == "dataset":
        return _changed_labels(run, sources)
    fingerprint = run.dataset.fingerprint if run.dataset else None
    if stage == "train":
        is_other = fingerprint is not None and sources.get("dataset", fingerprint) != fingerprint
        return "the dataset has changed since the model was trained" if is_other else ""
    if stage == "deploy":
        return _changed_model(run, sources)
    if stage == "evaluate":
        return _changed_score(run, fingerprint)
    scored = run.evaluation
    is_other = run.report is not None and (scored is None or run.report.evaluation != scored.made)
    return "the evaluation has changed" if is_other else ""


def _changed_score(run: Run, fingerprint: str | None) -> str:
    scored, endpoint = run.evaluation, run.endpoint
    if scored is None or scored.dataset != fingerprint:
        return "the dataset has changed since the evaluation"
    if scored.in_batch:
        return _changed_scored_model(run, scored.made_from)
    if endpoint is None or scored.endpoint != endpoint.name:
        return "it was evaluated with another endpoint"
    return ""


def _changed_scored_model(run: Run, origin: Provenance | None) -> str:
    """Return how the run's model differs from the one that a transform job scored, as text; '' if it is the same."""
    job, sources = run.training_job, origin.sources if origin else {}
    is_other = job is not None and job.has_result and sources.get("training_job", job.name) != job.name
    return "it was evaluated with another model" if is_other else ""


def _changed_labels(run: Run, sources: Mapping[str, str]) -> str:
    job = run.labeling_job
    if job is None:
        return ""
    words = f"the run has newer labels: {job.name}"
    if (then := sources.get(LABELS)) is not None:
        return "" if then == labels_of(job) else words
    if not _are_own(run, sources):
        return ""
    before = sources.get("labeling_job") or sources.get("manifest")
    now = job.name if sources.get("labeling_job") else job.output_manifest
    if before != now:
        return words
    etag = job.made_from.sources.get("manifest_etag") if job.made_from else None
    is_import = job.workforce == "import" and etag is not None
    return words if is_import and sources.get("manifest_etag", etag) != etag else ""


def _are_own(run: Run, sources: Mapping[str, str]) -> bool:
    """Return whether a dataset of a gtseg version without LABELS was made from the run's own labels of that time."""
    names = {attempt.name for attempt in run.attempts}
    return sources.get("labeling_job", "") in names or sources.get("manifest", "").startswith(run.root)


def _changed_model(run: Run, sources: Mapping[str, str]) -> str:
    job = run.training_job
    if job is None or not job.has_result:
        return ""
    words = f"the run has a newer model: {job.name}"
    if (then := sources.get(MODEL)) is not None:
        return "" if then == job.name else words
    return words if "dataset" in sources and sources.get("training_job") != job.name else ""


def _changed_settings(then: Mapping[str, Any], settings: Settings, stage: str) -> Iterator[str]:
    """Return each changed setting as text. A key unknown to the earlier gtseg version counts as unchanged."""
    now = dict(_flat(provenance(settings, *then).settings))
    for key, before in _flat(then):
        if not any(key == wanted or key.startswith(f"{wanted}.") for wanted in OF_RESULT[stage]):
            continue
        if any(key == name or key.startswith(f"{name}.") for name in INDIFFERENT):
            continue
        if key in now and now[key] != before:
            yield f"[{key.partition('.')[0]}] {key.partition('.')[2]} is {_spell(now[key])}, it was {_spell(before)}"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten settings to table.key -> value. Hyperparameters are single keys, since a later version may know more."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and (not prefix or key == "hyperparameters"):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, list(value) if isinstance(value, tuple) else value


def _spell(value: Any) -> str:
    return "not set" if value is None else repr(value) if isinstance(value, str) else str(value)
