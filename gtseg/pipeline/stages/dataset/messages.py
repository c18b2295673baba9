"""Messages of the dataset stage: result, warnings and reasons for failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gtseg.core.account import Account, Flow, Loss
from gtseg.core.classes import VOID_NAME
from gtseg.core.masks import Classes
from gtseg.core.plurals import counted
from gtseg.core.reasons import kind_of
from gtseg.core.training.splits import ALONE, PARTS, Item
from gtseg.errors import ManifestError, MaskError
from gtseg.pipeline.run import DatasetSection
from gtseg.pipeline.run.events import Event
from gtseg.pipeline.stages.dataset.check import Finding
from gtseg.pipeline.stages.dataset.ledger import Table
from gtseg.pipeline.stages.dataset.records import Summary
from gtseg.pipeline.stages.dataset.sources import Survey

SHOWN_REASONS = 5
"""Number of reasons that are printed; objects.jsonl has all."""
MUCH_VOID = 0.05
"""Share of void pixels above which a message is printed."""
FEWEST = 5
"""Number of images of a split below which its scores are unreliable."""


def result_event(section: DatasetSection, *, is_dry: bool) -> Event:
    counts = section.counts
    parts = ", ".join(f"{counts[part]} {part}" for part in PARTS)
    others = "".join(f", {counts[s]} {s}" for s in ("rejected", "failed", "unlabeled") if counts[s])
    message = (
        f"the dataset {'would hold' if is_dry else 'holds'} {parts}{others}; classes: {', '.join(section.classes)}"
    )
    return Event("dataset", "finished", message, fields={**section.model_dump(mode="json"), "dry_run": is_dry})


def finding_events(summary: Summary, classes: Classes, spread: Sequence[str]) -> Iterator[Event]:
    """Yield warnings, then notes, about the findings."""
    warnings = [
        *(() if summary.unchecked else _missing_classes(summary, classes)),
        *_small_parts(summary),
        *_void_pixels(summary),
        *_reasons(summary),
        *_spread(spread),
        *_turned(summary.turned),
    ]
    yield from (Event("dataset", "warning", text) for text in warnings)
    if summary.by_machine:
        parts = ", ".join(
            f"{summary.by_machine[part]:,} of {summary.counts[part]:,} {part}"
            for part in PARTS
            if part in summary.by_machine
        )
        yield Event("dataset", "note", f"labeled by a model: {parts}; all others by people")
    if summary.unchecked:
        message = (
            f"{counted(summary.unchecked, 'mask was', 'masks were')} checked by palette only: no pixel was "
            "checked or counted"
        )
        yield Event("dataset", "note", f"{message} (--check full does)")
    if summary.converted:
        yield Event("dataset", "note", f"{summary.converted} PNG images are converted to JPEG, quality 95")
    if summary.recoded:
        yield Event("dataset", "note", f"{summary.recoded} masks are rewritten as class indices")
    if summary.repaired:
        message = f"{summary.repaired} masks had indices that contradict their colors; the colors are used"
        yield Event("dataset", "warning", message)


def _missing_classes(summary: Summary, classes: Classes) -> Iterator[str]:
    for name in classes.names:
        if not summary.pixels["train"][name]:
            where = [part for part in PARTS if summary.pixels[part][name]]
            there = f"it is only in {' and '.join(where)}" if where else "no mask has a pixel of it"
            yield f"class {name!r} is missing from train: {there}"
    for part in PARTS[1:]:
        absent = [n for n in classes.names if summary.pixels["train"][n] and not summary.pixels[part][n]]
        if absent and summary.counts[part]:
            yield (
                f"no {part} mask has a pixel of {', '.join(absent)}: {'it' if len(absent) == 1 else 'they'} cannot "
                "be scored there"
            )


def _void_pixels(summary: Summary) -> Iterator[str]:
    pixels = account_of(summary).pixels
    void, total = pixels.get(VOID_NAME, 0), sum(pixels.values())
    if void > MUCH_VOID * total:
        yield f"{void:,} of {total:,} pixels ({void / total:.0%}) are void: excluded from training and all scores"


def account_of(summary: Summary) -> Account:
    """Return the account: objects of the manifest in and out, pixels by class."""
    counts, pixels = summary.counts, Counter[str]()
    for part in PARTS:
        pixels.update(summary.pixels[part])
    accepted = sum(counts[part] for part in PARTS)
    losses = [
        Loss("object", f"{status}: {kind}", summary.examples[status, kind], count)
        for (status, kind), count in summary.reasons.most_common()
    ]
    if counts["unlabeled"]:
        losses.append(Loss("object", "has no label yet", summary.unlabeled, counts["unlabeled"], "note"))
    return Account((Flow("object", sum(counts.values()), accepted),), dict(pixels), tuple(losses))


def _small_parts(summary: Summary) -> Iterator[str]:
    for part, what in (("validation", "the best epoch is chosen"), ("test", "the model is scored")):
        if (count := summary.counts[part]) < FEWEST:
            total = sum(summary.counts[name] for name in PARTS)
            yield (
                f"{counted(count, f'{part} image')} of {total:,}: {what} on "
                f"{('none', 'it')[count] if count < 2 else 'them'}, which is "
                f"unreliable below {FEWEST}. Label more, or give {part} a larger share in [dataset] split"
            )


def _reasons(summary: Summary) -> Iterator[str]:
    found = summary.reasons
    for key, number in found.most_common(SHOWN_REASONS):
        yield _grouped(key[0], number, key[1], summary.examples[key])
    if len(found) > SHOWN_REASONS:
        yield f"{len(found) - SHOWN_REASONS} more reasons are in objects.jsonl"


def _grouped(status: str, number: int, kind: str, example: str) -> str:
    """Format the common reason of several objects, and one of them with its complete reason."""
    return f"1 {status}: {example}" if number == 1 else f"{number:,} {status}: {kind}. For example {example}"


def _spread(groups: Sequence[str]) -> Iterator[str]:
    if groups:
        yield (
            f"{len(groups)} groups ({groups[0]!r}...) are in several splits: an earlier dataset of this run assigned "
            "their images there, and assignments are kept. A new run assigns them again"
        )


def ungrouped(items: Sequence[Item], pattern: str) -> str:
    """Return what to say of images that the pattern of [dataset] group_by does not match; '' if it matches all."""
    alone = [item.key for item in items if item.group.startswith(ALONE)]
    if not alone:
        return ""
    matched = len(items) - len(alone)
    rest = f"{matched:,} of {counted(len(items), 'image')}; each other one" if matched else "no image; each one"
    return f"[dataset] group_by '{pattern}' matches {rest} is assigned by itself, for example {alone[0]}"


def _turned(turned: int) -> Iterator[str]:
    if turned:
        yield f"{turned} images have an EXIF rotation; their masks follow the stored pixels, as training reads them"


def nothing_labeled(manifest: str, survey: Survey, label: str) -> ManifestError:
    if not survey.total:
        return ManifestError(f"{manifest} is empty")
    why = f" The first reason: {survey.reason}." if survey.reason else ""
    return ManifestError(
        f"None of the {survey.total} objects of {manifest} has a mask under {label!r}.{why} "
        "If the label has another name, select it with --label-attribute"
    )


def nothing_usable(manifest: str, findings: Table[int, Finding]) -> MaskError:
    found = [(position, finding) for position, finding in findings.rows() if finding.reason]
    kinds = Counter(kind_of(finding.reason) for _, finding in found)
    examples = {kind_of(f.reason): f"{f.image}: {f.reason}" for _, f in reversed(found)}
    message = "; ".join(_grouped("of them", n, kind, examples[kind]) for kind, n in kinds.most_common(2))
    return MaskError(f"None of the {len(found)} labeled objects of {manifest} can be used: {message}")
