"""Which labeled images are not good enough: by the dataset stage, by people's verdicts."""

from __future__ import annotations

import json

from gtseg.aws.s3 import S3
from gtseg.pipeline.run import Run


def rejected_images(run: Run, manifest: str, door: S3) -> tuple[set[str], int]:
    """(images whose mask the run's dataset refused, how many were refused for the image itself); of this manifest only."""
    if run.dataset is None or run.dataset.source != manifest:
        return set(), 0
    found = door.read_if_exists(f"{run.root}objects.jsonl")
    records = [json.loads(line) for line in found[0].splitlines()] if found else []
    refused = [r for r in records if r["status"] in ("rejected", "failed") and r.get("mask")]
    for_mask = {r["image"] for r in refused if not r.get("reason", "").startswith("image")}
    return for_mask, len(refused) - len(for_mask)


def spoken_against(run: Run, manifest: str, door: S3) -> set[str]:
    """Images that the run's verification of this manifest named to be made again."""
    word = run.verification
    if word is None or word.source != manifest or not word.redo:
        return set()
    found = door.read_if_exists(word.redo)
    return {json.loads(line)["source-ref"] for line in found[0].splitlines()} if found else set()
