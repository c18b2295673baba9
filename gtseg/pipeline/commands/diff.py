"""diff: changes between two runs in data, settings and results. Reads both, writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gtseg.aws.s3 import S3
from gtseg.errors import GtsegError, StageError
from gtseg.pipeline.run import EvaluationSection, Run

SECTIONS = ("labeling_job", "dataset", "tuning_job", "training_job", "endpoint", "evaluation")
SCORES = ("miou", "miou_foreground", "miou_builtin", "miou_per_image", "pixel_accuracy")
RUNS_OWN = frozenset({"project.name"})
"""Settings that differ between any two runs."""


@dataclass(frozen=True)
class Change:
    """Named value in the first and the second run; None if it has none."""

    what: str
    before: Any
    after: Any


@dataclass(frozen=True)
class DataChanges:
    """Images by name: relative to the run that they lie below, else s3:// URIs."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    image_changed: tuple[str, ...] = ()
    label_changed: tuple[str, ...] = ()
    moved: tuple[Change, ...] = ()
    """Images whose split (train, validation, test) differs."""
    judged: tuple[Change, ...] = ()
    """Images whose status (accepted, rejected, ...) differs."""
    classes: tuple[Change, ...] = ()
    same_test: bool = False
    """Whether both test splits have the same images with the same labels, so that scores can be compared."""

    @property
    def is_empty(self) -> bool:
        lists = (
            self.added,
            self.removed,
            self.image_changed,
            self.label_changed,
            self.moved,
            self.judged,
            self.classes,
        )
        return not any(lists)


@dataclass(frozen=True)
class Difference:
    one: str
    other: str
    data: DataChanges
    settings: tuple[Change, ...]
    results: tuple[Change, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def diff(one: Run, other: Run, s3: S3) -> Difference:
    """Compare two runs. Raises StageError for a run without results, GtsegError for an unreadable objects.jsonl."""
    for run in (one, other):
        if run.etag is None:
            raise StageError(f"There is no run {run.name!r} at {run.root}: see `gtseg status --run {run.name}`.")
    names = [run.dataset.classes if run.dataset else () for run in (one, other)]
    ones = _objects(one, other, s3)
    data = compare_records(ones, same_photographs(ones, _objects(other, one, s3)))
    classes = tuple(_changes(dict(enumerate(names[0])), dict(enumerate(names[1])), prefix="class "))
    data = DataChanges(**{**_fields(data), "classes": classes, "same_test": data.same_test and names[0] == names[1]})
    settings = tuple(c for c in _changes(_settings(one), _settings(other)) if c.what not in RUNS_OWN)
    return Difference(one.name, other.name, data, settings, tuple(_changes(_results(one), _results(other))))


def _fields(data: DataChanges) -> dict[str, Any]:
    return {name: getattr(data, name) for name in data.__dataclass_fields__}


def _objects(run: Run, other: Run, s3: S3) -> dict[str, dict[str, Any]]:
    """Return the records of objects.jsonl by the image's name."""
    uri = f"{run.root}objects.jsonl"
    found = s3.read_if_exists(uri)
    try:
        records = [json.loads(line) for line in found[0].splitlines() if line.strip()] if found else []
        return by_name(records, (run.root, other.root))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise GtsegError(f"{uri} is not an objects.jsonl of gtseg: run `gtseg dataset` again.") from None


def by_name(records: Iterable[dict[str, Any]], roots: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return records by the image's name: relative to the first of `roots` that it lies below, else its URI.

    Two runs may have copies of one image, or one of them may read the other's.
    """
    named: dict[str, dict[str, Any]] = {}
    for record in records:
        image = record["image"]
        root = next((root for root in roots if image.startswith(root)), "")
        name = image.removeprefix(root)
        named[image if name in named else name] = record
    return named


def same_photographs(
    one: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Return `other` with the names of `one` for equal photographs with different names.

    A labeled run reads photographs in place, an import has copies of its own. Two are equal if no others have the same
    bytes (ETag), else if no others have the same stem, and the size is equal.
    """
    pairs = {name: name for name in other if name in one}
    for key in (_content, _stem):
        ours = _unique(key, {n: r for n, r in one.items() if n not in pairs.values()})
        theirs = _unique(key, {n: r for n, r in other.items() if n not in pairs})
        pairs |= {theirs[mark]: ours[mark] for mark in theirs if mark in ours}
    return {pairs.get(name, name): record for name, record in other.items()}


def _content(name: str, record: Mapping[str, Any]) -> Any:
    return record.get("image_etag") or None


def _stem(name: str, record: Mapping[str, Any]) -> Any:
    size = record.get("width"), record.get("height")
    return (name.rpartition("/")[2].rpartition(".")[0].casefold(), *size) if all(size) else None


def _unique(key: Callable[[str, Mapping[str, Any]], Any], records: Mapping[str, Mapping[str, Any]]) -> dict[Any, str]:
    """Return value of `key` -> name of the record, for values of a single record."""
    names: dict[Any, list[str]] = {}
    for name, record in records.items():
        if (mark := key(name, record)) is not None:
            names.setdefault(mark, []).append(name)
    return {mark: found[0] for mark, found in names.items() if len(found) == 1}


def compare_records(one: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]]) -> DataChanges:
    """Compare two sets of records, each by the image's name."""
    both = [name for name in one if name in other]

    def changed(key: str) -> list[str]:
        """Return the names whose value changed; a value that only one of the two has does not count."""
        return [n for n in both if one[n].get(key) and other[n].get(key) and one[n][key] != other[n][key]]

    def changes(key: str) -> tuple[Change, ...]:
        pairs = ((name, one[name].get(key) or None, other[name].get(key) or None) for name in both)
        return tuple(Change(name, before, after) for name, before, after in pairs if before != after)

    test = [{_identity(n, r) for n, r in records.items() if _is_test(r)} for records in (one, other)]
    return DataChanges(
        added=tuple(sorted(other.keys() - one.keys())),
        removed=tuple(sorted(one.keys() - other.keys())),
        image_changed=tuple(changed("image_etag")),
        label_changed=tuple(changed("annotation_etag")),
        moved=changes("split"),
        judged=changes("status"),
        same_test=bool(test[0]) and test[0] == test[1],
    )


def _is_test(record: Mapping[str, Any]) -> bool:
    return record.get("status") == "accepted" and record.get("split") == "test"


def _identity(name: str, record: Mapping[str, Any]) -> tuple[str, Any, Any]:
    return name, record.get("image_etag"), record.get("annotation_etag")


def _settings(run: Run) -> dict[str, Any]:
    """Return table.key -> value as each stage used it, and the version of gtseg that ran the stage."""
    values: dict[str, Any] = {}
    for name in SECTIONS:
        origin = getattr(getattr(run, name), "made_from", None)
        if origin:
            values[f"gtseg version of {name}"] = origin.gtseg
            values |= dict(_flat(origin.settings))
            if inputs := origin.sources.get("inputs"):
                values["import.inputs"] = inputs
    if run.training_job:
        values |= {f"sent {key}": value for key, value in run.training_job.hyperparameters.items()}
    return values


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _results(run: Run) -> dict[str, Any]:
    job, scored = run.training_job, run.evaluation
    values: dict[str, Any] = {}
    if run.dataset:
        values |= {f"objects {name}": count for name, count in run.dataset.counts.items()}
    if job:
        best = job.best
        values |= {
            "training status": job.status,
            "epochs": len(job.epochs),
            "billable seconds": job.billable_seconds,
        }
        values |= {
            "best validation mIoU": best.miou if best else None,
            "best epoch": best.number if best else None,
        }
    return values | (_scores(scored) if scored else {})


def _scores(scored: EvaluationSection) -> dict[str, Any]:
    whole = {f"{scored.split} {name}": getattr(scored, name) for name in SCORES}
    return whole | {f"{scored.split} IoU of {one.name}": one.iou for one in scored.classes}


def _changes(one: Mapping[Any, Any], other: Mapping[Any, Any], *, prefix: str = "") -> Iterator[Change]:
    for key in dict.fromkeys([*one, *other]):
        if one.get(key) != other.get(key):
            yield Change(f"{prefix}{key}", one.get(key), other.get(key))
