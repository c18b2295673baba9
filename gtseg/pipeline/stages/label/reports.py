"""Messages about the images before the job starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gtseg.core.labeling.input_manifest import count_formats
from gtseg.core.plurals import counted
from gtseg.pipeline.run import Context
from gtseg.pipeline.stages.label.images import Gathered

SHOWN = 10
"""Number of lines printed of each kind; images.jsonl has all."""


def report_images(gathered: Gathered, context: Context) -> None:
    """Send one note with the counts, then excluded images and remarks, each with its reason."""
    manifest = gathered.manifest
    formats = ", ".join(f"{count:,} {name}" for name, count in count_formats(manifest.objects).items())
    source = context.settings.images.source
    context.note(f"{counted(len(manifest.objects), 'image')} ({formats}) from {source}")
    remarks = [f"{item.uri} {item.remark}" for item in manifest.objects if item.remark]
    refused = [f"{item.uri} {item.problem}" for item in manifest.rejected]
    twice = [f"{uri} is listed twice: one entry is kept" for uri, same in manifest.duplicates if uri == same]
    equal = [f"{uri} has the same bytes as {same}" for uri, same in manifest.duplicates if uri != same]
    _report(
        context.note,
        counted(len(gathered.skipped), "other file is", "other files are") + " left alone",
        gathered.skipped,
    )
    _report(
        context.warn,
        counted(len(refused), "image cannot be labeled and is", "images cannot be labeled and are") + " left out",
        refused,
    )
    _report(context.warn, counted(len(twice), "repeated line is", "repeated lines are") + " dropped", twice)
    _report(
        context.warn,
        counted(len(equal), "image is a copy of another", "images are copies of others")
        + ": each is labeled and billed",
        equal,
    )
    _report(context.warn, counted(len(remarks), "image needs", "images need") + " attention", remarks)


def _report(tell: Callable[[str, dict[str, Any]], None], words: str, items: Sequence[str]) -> None:
    if not items:
        return
    shown = "".join(f"\n    {item}" for item in items[:SHOWN])
    more = f"\n    and {len(items) - SHOWN:,} more" if len(items) > SHOWN else ""
    tell(f"{words}:{shown}{more}", {"items": list(items)})
