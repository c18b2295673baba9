"""Execution of an import's tasks on all cores, resumable after an interruption.

DIR/images/<name>.jpg        JPEG; a JPEG source is copied unchanged
DIR/masks/<name>.png         mask in the format of Ground Truth's consolidated annotations
DIR/journal.jsonl            one line per finished task; a repeated import skips these tasks
DIR/places.jsonl             tile or georeference of each image, and its stretch to 8 bits (tiles, GeoTIFFs)
DIR/skipped.jsonl            source and reason of everything that was skipped
DIR/output.manifest          one line per image in Ground Truth's format (references relative to DIR)
DIR/import.json              classes, counts, account, settings; written last, when the import is complete
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gtseg.core.account import Account, Flow, Loss, merge_losses
from gtseg.core.addresses import public_address
from gtseg.core.classes import BACKGROUND, VOID, VOID_NAME
from gtseg.core.files import write_atomically
from gtseg.core.output_names import require_unique
from gtseg.errors import ManifestError

from .outcomes import DrawnFeatures, Labeled, Outcome, Report, Skipped, as_json, from_json, losses_of
from .output_files import manifest_line

LABEL_UNITS = ("mask", "annotation", "feature", "tile label")
"""Units that are labels. A class without pixels is a loss only if the source has labels."""

Work = Callable[[Any], list[Outcome]]


def run_tasks(
    folder: Path,
    tasks: Sequence[tuple[str, Any]],
    work: Work,
    *,
    classes: Sequence[str],
    settings: dict[str, Any],
    name: str,
    inputs: Mapping[str, int] | None = None,
    stamp: Callable[[Any], str] = lambda task: "",
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
    early: Sequence[Skipped | Loss] = (),
    late: Callable[[Sequence[Outcome]], Sequence[Loss]] = lambda outcomes: (),
    limited: bool = False,
) -> Report:
    """Perform every (key, task) that is not in the journal, then write the manifest.

    inputs: number of inputs by unit (default: one image per task).
    stamp: returns a text that changes with the task's files; a task with a new stamp is performed again.
    early: losses found before the tasks; late: finds losses from the outcomes of all tasks.
    limited: only a part of the source is imported (--limit).

    Raises ManifestError if the folder has an import with other settings, or two tasks have the same name.
    """
    require_unique([key for key, _ in tasks], [str(key) for key, _ in tasks])
    settings = {key: _public(value) for key, value in settings.items()}
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = _fingerprint({"settings": settings, "classes": list(classes), "name": name})
    done = _read_journal(folder, fingerprint)
    stamps = {key: stamp(task) for key, task in tasks}
    kept = {key: outcomes for key, (old, outcomes) in done.items() if stamps.get(key) == old}
    missing = [(key, task) for key, task in tasks if key not in kept]
    with (folder / "journal.jsonl").open("a", encoding="utf-8") as journal:
        if not done:
            journal.write(json.dumps({"fingerprint": fingerprint}) + "\n")
        for count, (key, outcomes) in enumerate(_perform(missing, work, workers), len(tasks) - len(missing) + 1):
            kept[key] = outcomes
            entry = {"key": key, "stamp": stamps[key], "outcomes": [as_json(o) for o in outcomes]}
            journal.write(json.dumps(entry) + "\n")
            journal.flush()
            notify(count, len(tasks))
    outcomes = [*early, *(outcome for key, _ in tasks for outcome in kept[key])]
    outcomes += late(outcomes)
    account = balance(outcomes, classes, inputs=inputs or {"image": len(tasks)}, limited=limited)
    return _finish(folder, outcomes, account, classes=classes, settings=settings, name=name)


def stamp_files(*paths: Path) -> str:
    """Return a hash of the files' sizes and modification times."""
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.exists()]
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()[:16]


def balance(
    outcomes: Sequence[Outcome], classes: Sequence[str], *, inputs: Mapping[str, int], limited: bool = False
) -> Account:
    """Return the account of an import. A class without a pixel is a loss if the source has labels."""
    labeled = [o for o in outcomes if isinstance(o, Labeled)]
    outputs = {"image": len(labeled)}
    inputs = {
        "image": len(labeled) + sum(isinstance(o, Skipped) and o.unit == "image" for o in outcomes),
        **inputs,
    }
    for item in labeled:
        for unit, count in item.used.items():
            outputs[unit] = outputs.get(unit, 0) + count
    features: dict[str, set[int]] = {}
    for drawn in (o for o in outcomes if isinstance(o, DrawnFeatures)):
        features.setdefault(drawn.source, set()).update(drawn.numbers)
    outputs["feature"] = sum(map(len, features.values()))
    flows = tuple(Flow(unit, count, outputs.get(unit, 0)) for unit, count in inputs.items())
    pixels = {n: sum(item.pixels.get(i, 0) for item in labeled) for i, n in enumerate([BACKGROUND, *classes])}
    losses = [
        *losses_of(o for o in outcomes if isinstance(o, Skipped)),
        *(o for o in outcomes if isinstance(o, Loss)),
    ]
    if labeled and any(unit in inputs for unit in LABEL_UNITS):
        empty = [name for name in classes if not pixels[name]]
        losses += [Loss("class", "no pixel", repr(name), kind="note" if limited else "lost") for name in empty]
    if void := sum(item.pixels.get(VOID, 0) for item in labeled):
        pixels[VOID_NAME] = void
    return Account(flows, pixels, merge_losses(losses))


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


def _public(value: Any) -> Any:
    return public_address(value) if isinstance(value, str) else value


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _read_journal(folder: Path, fingerprint: str) -> dict[str, tuple[str, list[Outcome]]]:
    path = folder / "journal.jsonl"
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = [entry for entry in map(_parse, lines) if entry]
    if entries and entries[0].get("fingerprint") != fingerprint:
        raise ManifestError(f"{folder} has an import with other settings: use another --out, or remove the folder")
    return {
        entry["key"]: (entry.get("stamp", ""), [from_json(o) for o in entry["outcomes"]])
        for entry in entries
        if "key" in entry
    }


def _parse(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)  # type: ignore[no-any-return]
    except json.JSONDecodeError:
        return None  # truncated by a kill; its task is performed again


def _finish(
    folder: Path,
    outcomes: Iterable[Outcome],
    account: Account,
    *,
    classes: Sequence[str],
    settings: dict[str, Any],
    name: str,
) -> Report:
    labeled = sorted((o for o in outcomes if isinstance(o, Labeled)), key=lambda o: o.name)
    require_unique([item.name for item in labeled], [item.source for item in labeled])
    skipped = [o for o in outcomes if isinstance(o, Skipped)]
    created = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    lines = [manifest_line(item, classes, name=name, created=created) for item in labeled]
    places = "".join(json.dumps({"name": item.name, **item.extra}) + "\n" for item in labeled if item.extra)
    if places:
        write_atomically(folder / "places.jsonl", places.encode())
    write_atomically(folder / "output.manifest", "".join(line + "\n" for line in lines).encode())
    write_atomically(folder / "skipped.jsonl", "".join(json.dumps(asdict(s)) + "\n" for s in skipped).encode())
    summary = {
        "name": name,
        "classes": list(classes),
        "images": len(labeled),
        "pixels": dict(account.pixels),
        "skipped": len(skipped),
        "account": account.as_json(),
        "settings": settings,
    }
    write_atomically(folder / "import.json", json.dumps(summary, indent=1, default=str).encode())
    return Report(folder, tuple(classes), account, tuple(skipped))
