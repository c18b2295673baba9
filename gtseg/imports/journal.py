"""Runs the tasks of an import on all cores, remembers what is done, and writes the output manifest last.

DIR/images/<name>.jpg        JPEG, the source's own bytes where it was one
DIR/masks/<name>.png         as Ground Truth writes consolidated annotations
DIR/journal.jsonl            one line per finished task: an interrupted import goes on after it
DIR/places.jsonl             where each image lies on earth, and how its bands became 8 bit (tiles, GeoTIFFs)
DIR/skipped.jsonl            source and reason of everything that was left out
DIR/output.manifest          one line per image, as Ground Truth writes it (references relative to DIR)
DIR/import.json              classes, counts, settings; written last: its presence says done
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gtseg.errors import ManifestError

__all__ = ["Labelled", "Report", "Skipped", "run_tasks", "write_atomically"]


@dataclass(frozen=True)
class Labelled:
    """An image with its mask, both written below the import's folder."""

    name: str
    source: str
    width: int
    height: int
    pixels: dict[int, int]
    group: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    source: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What an import left: counts, pixels per class name, and each thing that was skipped."""

    folder: Path
    classes: tuple[str, ...]
    images: int
    pixels: dict[str, int]
    skipped: tuple[Skipped, ...]
    repaired: int = 0


Outcome = Labelled | Skipped
Work = Callable[[Any], list[Outcome]]


def write_atomically(path: Path, body: bytes) -> None:
    """The file under its name is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(body)
    partial.replace(path)


def run_tasks(
    folder: Path,
    tasks: Sequence[tuple[str, Any]],
    work: Work,
    *,
    classes: Sequence[str],
    settings: dict[str, Any],
    name: str,
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
    early: Sequence[Skipped] = (),
) -> Report:
    """Do every (key, task) that the journal does not hold yet, then write the manifest.

    Raises ManifestError where the folder holds an import made with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = _fingerprint({"settings": settings, "classes": list(classes), "name": name})
    done = _read_journal(folder, fingerprint)
    missing = [(key, task) for key, task in tasks if key not in done]
    with (folder / "journal.jsonl").open("a", encoding="utf-8") as journal:
        if not done:
            journal.write(json.dumps({"fingerprint": fingerprint}) + "\n")
        for count, (key, outcomes) in enumerate(
            _perform(missing, work, workers), len(tasks) - len(missing) + 1
        ):
            done[key] = outcomes
            journal.write(json.dumps({"key": key, "outcomes": [_as_json(o) for o in outcomes]}) + "\n")
            journal.flush()
            notify(count, len(tasks))
    outcomes = [outcome for key, _ in tasks for outcome in done[key]]
    return _finish(folder, [*early, *outcomes], classes=classes, settings=settings, name=name)


def _perform(
    missing: Sequence[tuple[str, Any]], work: Work, workers: int | None
) -> Iterator[tuple[str, list[Outcome]]]:
    workers = workers or min(len(missing), os.cpu_count() or 1)
    if workers <= 1:
        yield from ((key, work(task)) for key, task in missing)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        chunk = max(1, len(missing) // (workers * 8))
        results = pool.map(work, [task for _, task in missing], chunksize=min(chunk, 32))
        yield from zip((key for key, _ in missing), results, strict=True)


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {"labelled": asdict(outcome)} if isinstance(outcome, Labelled) else {"skipped": asdict(outcome)}


def _from_json(entry: dict[str, Any]) -> Outcome:
    if "skipped" in entry:
        return Skipped(**entry["skipped"])
    values = entry["labelled"]
    return Labelled(**{**values, "pixels": {int(k): v for k, v in values["pixels"].items()}})


def _read_journal(folder: Path, fingerprint: str) -> dict[str, list[Outcome]]:
    path = folder / "journal.jsonl"
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = [entry for entry in map(_parse, lines) if entry]
    if entries and entries[0].get("fingerprint") != fingerprint:
        raise ManifestError(
            f"{folder} holds an import made with other settings: choose another --out, or remove it"
        )
    return {entry["key"]: [_from_json(o) for o in entry["outcomes"]] for entry in entries if "key" in entry}


def _parse(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)  # type: ignore[no-any-return]
    except json.JSONDecodeError:
        return None  # the line that a kill cut short: its task is done again


def _finish(
    folder: Path, outcomes: Iterable[Outcome], *, classes: Sequence[str], settings: dict[str, Any], name: str
) -> Report:
    from .writing import manifest_line

    labelled = sorted((o for o in outcomes if isinstance(o, Labelled)), key=lambda o: o.name)
    skipped = [o for o in outcomes if isinstance(o, Skipped)]
    names = ["BACKGROUND", *classes]
    pixels = {n: sum(item.pixels.get(i, 0) for item in labelled) for i, n in enumerate(names)}
    created = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    lines = [manifest_line(item, classes, name=name, created=created) for item in labelled]
    places = "".join(json.dumps({"name": item.name, **item.extra}) + "\n" for item in labelled if item.extra)
    if places:
        write_atomically(folder / "places.jsonl", places.encode())
    write_atomically(folder / "output.manifest", "".join(line + "\n" for line in lines).encode())
    write_atomically(
        folder / "skipped.jsonl", "".join(json.dumps(asdict(s)) + "\n" for s in skipped).encode()
    )
    summary = {"name": name, "classes": list(classes), "images": len(labelled), "pixels": pixels,
               "skipped": len(skipped), "settings": settings}  # fmt: skip
    write_atomically(folder / "import.json", json.dumps(summary, indent=1, default=str).encode())
    return Report(folder, tuple(classes), len(labelled), pixels, tuple(skipped))
