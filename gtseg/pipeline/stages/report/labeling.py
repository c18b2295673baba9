"""Labeling statistics: workers, durations, agreement, losses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from gtseg.core.labeling.agreement import read_answers
from gtseg.core.labeling.agreement_tally import Agreement, Tally
from gtseg.core.labeling.chained_jobs import read_chain
from gtseg.errors import AWSError, ManifestError, MaskError
from gtseg.pipeline.run import Context, Run
from gtseg.pipeline.run.worker_responses import answered_job, find_responses

SAMPLE = 24
"""Number of images whose workers' answers are compared; reading all of a large job would take long."""


NO_ANSWERS: dict[str, Any] = {
    "responses": 0,
    "sample": 0,
    "workers": 0,
    "answers": 0,
    "seconds": None,
    "agreement": None,
    "trouble": "",
}


def labeling_facts(run: Run, records: Sequence[dict[str, Any]], context: Context) -> dict[str, Any] | None:
    """Return workers, agreement, confidence and rejected objects; None if the labels are not of a job of this run."""
    if run.labeling_job is None:
        return None
    job = run.labeling_job
    confidence = [r["confidence"] for r in records if r.get("status") == "accepted" and r.get("confidence")]
    facts: dict[str, Any] = {
        "job": job.name,
        "workforce": job.workforce,
        "objects": job.objects,
        "counters": dict(job.counters),
        "by_machine": job.counters.get("MachineLabeled", 0),
        "machine_share_good": run.verification.share_good if run.verification else None,
        "confidence": _spread(confidence),
        "left_out": left_out(records),
    }
    return facts | _answers(run, context)


def left_out(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the reasons why objects are in no channel, most frequent first, each with an example."""
    found = [r for r in records if r.get("status") in ("rejected", "failed", "unlabeled")]
    reasons = Counter((r["status"], _short(r.get("reason", ""))) for r in found)
    return [
        {
            "status": status,
            "reason": reason,
            "count": count,
            "example": next(
                r["image"] for r in found if (r["status"], _short(r.get("reason", ""))) == (status, reason)
            ),
        }
        for (status, reason), count in reasons.most_common(10)
    ]


def _short(reason: str) -> str:
    return reason if len(reason) <= 160 else reason[:157] + "..."


def _answers(run: Run, context: Context) -> dict[str, Any]:
    """Return statistics of a sample of worker-response files, evenly spread over the job."""
    try:
        uris = list(_responses(run, context).values())
    except (AWSError, ManifestError) as error:
        return NO_ANSWERS | {"trouble": str(error)}
    s3 = context.s3
    chosen = [uris[n * len(uris) // min(SAMPLE, len(uris))] for n in range(min(SAMPLE, len(uris)))]
    seconds: list[float] = []
    tally = Tally(run.dataset.classes if run.dataset else ())
    for uri in chosen:
        try:
            answers = read_answers(json.loads(s3.read(uri)[0]), tally.classes)
        except (MaskError, AWSError, ValueError):
            continue
        seconds += [answer.seconds for answer in answers if answer.seconds is not None]
        tally.add(uri, answers)
    found = tally.result()
    return NO_ANSWERS | {
        "responses": len(uris),
        "sample": len(chosen),
        "workers": len(found.workers),
        "answers": sum(worker.answers for worker in found.workers),
        "seconds": _spread(seconds),
        "agreement": _agreement(found),
    }


def _responses(run: Run, context: Context) -> dict[int, str]:
    """Return line number -> worker-response URI, from the run's job and those that it continues from."""
    assert run.labeling_job is not None
    state = answered_job(run, run.labeling_job.name, context)
    if state is None:
        return {}
    lines = read_chain(context.s3.read(state.manifest)[0], state.label_attribute)
    return find_responses(state, lines, state.label_attribute, context)


def _agreement(found: Agreement) -> dict[str, Any] | None:
    """Return the agreement; None if no image has several answers."""
    if found.miou is None:
        return None
    return {
        "miou": found.miou,
        "pixels": found.pixels,
        "classes": [{"name": c.name, "iou": c.others} for c in found.classes[1:] if c.others is not None],
        "slow": sum(worker.is_slow for worker in found.workers),
        "off": sum(worker.is_off for worker in found.workers),
    }


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    low, middle, high = np.percentile(values, [10, 50, 90])
    return {"low": float(low), "median": float(middle), "high": float(high), "count": len(values)}
