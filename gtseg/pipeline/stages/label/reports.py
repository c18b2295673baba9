"""What people are told about their images before anything starts."""

from __future__ import annotations

from collections.abc import Sequence

from gtseg.core.counting import counted
from gtseg.core.labeling.input_manifest import count_formats
from gtseg.pipeline.run.events import Event, Notify
from gtseg.pipeline.stages.label.images import Gathered
from gtseg.settings import Settings

SHOWN = 10
"""Lines of one kind that are printed; images.jsonl has them all."""


def report_images(gathered: Gathered, settings: Settings, *, notify: Notify) -> None:
    """One note with the counts, then what was left out and what people should know, each with its reason."""
    manifest = gathered.manifest
    formats = ", ".join(f"{count:,} {name}" for name, count in count_formats(manifest.objects).items())
    notify(
        Event(
            "label",
            "note",
            f"{counted(len(manifest.objects), 'image')} ({formats}) from {settings.images.source}",
        )
    )
    remarks = [f"{item.uri} {item.remark}" for item in manifest.objects if item.remark]
    refused = [f"{item.uri} {item.problem}" for item in manifest.rejected]
    twice = [f"{uri} is listed twice: once is kept" for uri, same in manifest.duplicates if uri == same]
    equal = [f"{uri} has the same bytes as {same}" for uri, same in manifest.duplicates if uri != same]
    _tell(
        counted(len(gathered.skipped), "other file is", "other files are") + " left alone",
        gathered.skipped,
        "note",
        notify,
    )
    _tell(
        counted(len(refused), "image cannot be labeled and is", "images cannot be labeled and are")
        + " left out",
        refused,
        "warning",
        notify,
    )
    _tell(
        counted(len(twice), "repeated line is", "repeated lines are") + " dropped", twice, "warning", notify
    )
    _tell(
        counted(len(equal), "image is a copy of another", "images are copies of others")
        + ": each is labeled and paid for",
        equal,
        "warning",
        notify,
    )
    _tell(counted(len(remarks), "image needs", "images need") + " a look", remarks, "warning", notify)


def _tell(words: str, items: Sequence[str], kind: str, notify: Notify) -> None:
    if not items:
        return
    shown = "".join(f"\n    {item}" for item in items[:SHOWN])
    more = f"\n    and {len(items) - SHOWN:,} more" if len(items) > SHOWN else ""
    notify(
        Event(
            "label",
            "warning" if kind == "warning" else "note",
            f"{words}:{shown}{more}",
            fields={"items": list(items)},
        )
    )
