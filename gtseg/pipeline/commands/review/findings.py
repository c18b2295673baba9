"""Labeled images whose masks are not good enough, by the dataset stage or by workers' verdicts."""

from __future__ import annotations

import json

from gtseg.aws.s3 import S3
from gtseg.errors import ManifestError
from gtseg.pipeline.run import Run


def rejected_images(run: Run, manifest: str, s3: S3) -> tuple[set[str], int]:
    """Return (images whose mask the run's dataset refused, number refused for the image itself), for this manifest."""
    if run.dataset is None or run.dataset.source != manifest:
        return set(), 0
    found = s3.read_if_exists(f"{run.root}objects.jsonl")
    records = [json.loads(line) for line in found[0].splitlines()] if found else []
    refused = [r for r in records if r["status"] in ("rejected", "failed") and r.get("mask")]
    for_mask = {r["image"] for r in refused if not r.get("reason", "").startswith("image")}
    return for_mask, len(refused) - len(for_mask)


def find_rejected_images(run: Run, manifest: str, s3: S3) -> dict[str, tuple[str, ...]]:
    """Return the images that the run's verification of this manifest found bad, with the comments on each."""
    word = run.verification
    if word is None or word.source != manifest or not word.redo:
        return {}
    found = s3.read_if_exists(word.redo)
    return read_redo(found[0], word.redo) if found else {}


def read_redo(body: bytes, name: str) -> dict[str, tuple[str, ...]]:
    """Return image -> comments, from JSON lines with `source-ref` and `comments`.

    Raises ManifestError with the number of an invalid line.
    """
    found: dict[str, tuple[str, ...]] = {}
    for number, text in enumerate(body.splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            image, comments = line["source-ref"], line.get("comments", [])
            if not isinstance(image, str) or not isinstance(comments, list):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ManifestError(
                f'{name}, line {number} is not like {{"source-ref": "s3://...", "comments": ["..."]}}'
            ) from None
        found[image] = tuple(str(comment) for comment in comments)
    return found
