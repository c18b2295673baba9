"""Runs the tasks of an import on all cores, remembers what is done, and writes the output manifest last.

DIR/images/<name>.jpg        JPEG, the source's own bytes where it was one
DIR/masks/<name>.png         as Ground Truth writes consolidated annotations
DIR/journal.jsonl            one line per finished task: an interrupted import goes on after it
DIR/places.jsonl             where each image lies on earth, and how its bands became 8 bit (tiles, GeoTIFFs)
DIR/skipped.jsonl            source and reason of everything that was left out
DIR/output.manifest          one line per image, as Ground Truth writes it (references relative to DIR)
DIR/import.json              classes, counts, the account, settings; written last: its presence says done
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
from gtseg.core.classes import BACKGROUND, VOID_NAME
from gtseg.core.files import write_atomically
from gtseg.core.output_names import require_unique
from gtseg.errors import ManifestError

from .outcomes import Drawn, Labelled, Outcome, Report, Skipped, as_json, from_json, losses_of
from .output_files import manifest_line
from .rasterization import VOID

LABEL_UNITS = ("mask", "annotation", "feature", "tile label")
"""Units that are labels: where none came in, no class is missed."""

Work = Callable[[Any], list[Outcome]]


def run_tasks(
    folder: Path,
    tasks: Sequence[tuple[str, Any]],
    work: Work,
    *,
    classes: Sequence[str],
    settings: dict[str, Any],
    name: str,
    came: Mapping[str, int] | None = None,
    stamp: Callable[[Any], str] = lambda task: "",
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
    early: Sequence[Skipped | Loss] = (),
    afterwards: Callable[[Sequence[Outcome]], Sequence[Loss]] = lambda outcomes: (),
    limited: bool = False,
) -> Report:
    """Do every (key, task) that the journal does not hold yet, then write the manifest.

    `came`: how many of each unit the source holds (default: an image a task). `stamp` of a task changes with its files:
    one whose stamp is another is done again. `early`: what was lost before any task; `afterwards`: what all outcomes together
    tell to be lost; `limited`: --limit took a part only.
    Raises ManifestError where the folder holds an import made with other settings, or two tasks have one name.
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
    outcomes += afterwards(outcomes)
    account = balance(outcomes, classes, came=came or {"image": len(tasks)}, limited=limited)
    return _finish(folder, outcomes, account, classes=classes, settings=settings, name=name)


def stamp_files(*paths: Path) -> str:
    """A text that changes when one of the files does: their sizes and times of change."""
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.exists()]
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()[:16]


def balance(
    outcomes: Sequence[Outcome], classes: Sequence[str], *, came: Mapping[str, int], limited: bool = False
) -> Account:
    """The account of an import. A class without a pixel is a loss, except among images whose labels nobody gave."""
    labelled = [o for o in outcomes if isinstance(o, Labelled)]
    went = {"image": len(labelled)}
    came = {
        "image": len(labelled) + sum(isinstance(o, Skipped) and o.unit == "image" for o in outcomes),
        **came,
    }
    for item in labelled:
        for unit, count in item.used.items():
            went[unit] = went.get(unit, 0) + count
    features: dict[str, set[int]] = {}
    for drawn in (o for o in outcomes if isinstance(o, Drawn)):
        features.setdefault(drawn.source, set()).update(drawn.numbers)
    went["feature"] = sum(map(len, features.values()))
    flows = tuple(Flow(unit, count, went.get(unit, 0)) for unit, count in came.items())
    pixels = {n: sum(item.pixels.get(i, 0) for item in labelled) for i, n in enumerate([BACKGROUND, *classes])}
    losses = [
        *losses_of(o for o in outcomes if isinstance(o, Skipped)),
        *(o for o in outcomes if isinstance(o, Loss)),
    ]
    if labelled and any(unit in came for unit in LABEL_UNITS):
        empty = [name for name in classes if not pixels[name]]
        losses += [Loss("class", "no pixel", repr(name), kind="note" if limited else "lost") for name in empty]
    if void := sum(item.pixels.get(VOID, 0) for item in labelled):
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
        raise ManifestError(f"{folder} holds an import made with other settings: choose another --out, or remove it")
    return {
        entry["key"]: (entry.get("stamp", ""), [from_json(o) for o in entry["outcomes"]])
        for entry in entries
        if "key" in entry
    }


def _parse(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)  # type: ignore[no-any-return]
    except json.JSONDecodeError:
        return None  # the line that a kill cut short: its task is done again


def _finish(
    folder: Path,
    outcomes: Iterable[Outcome],
    account: Account,
    *,
    classes: Sequence[str],
    settings: dict[str, Any],
    name: str,
) -> Report:
    labelled = sorted((o for o in outcomes if isinstance(o, Labelled)), key=lambda o: o.name)
    require_unique([item.name for item in labelled], [item.source for item in labelled])
    skipped = [o for o in outcomes if isinstance(o, Skipped)]
    created = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    lines = [manifest_line(item, classes, name=name, created=created) for item in labelled]
    places = "".join(json.dumps({"name": item.name, **item.extra}) + "\n" for item in labelled if item.extra)
    if places:
        write_atomically(folder / "places.jsonl", places.encode())
    write_atomically(folder / "output.manifest", "".join(line + "\n" for line in lines).encode())
    write_atomically(folder / "skipped.jsonl", "".join(json.dumps(asdict(s)) + "\n" for s in skipped).encode())
    summary = {
        "name": name,
        "classes": list(classes),
        "images": len(labelled),
        "pixels": dict(account.pixels),
        "skipped": len(skipped),
        "account": account.as_json(),
        "settings": settings,
    }
    write_atomically(folder / "import.json", json.dumps(summary, indent=1, default=str).encode())
    return Report(folder, tuple(classes), account, tuple(skipped))
