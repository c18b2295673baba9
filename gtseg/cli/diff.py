"""gtseg diff: what changed between two runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.cli.console import print_json, show
from gtseg.cli.options import Json, Set, SettingsFile, open_session

if TYPE_CHECKING:
    from gtseg.pipeline.commands.diff import Change, DataChanges, Difference

app = typer.Typer(rich_markup_mode=None)
SHOWN = 5
"""Number of image names shown of each kind; --json has all."""


@app.command()
def diff(
    one: Annotated[str, typer.Argument(metavar="RUN", help="The earlier run.")],
    other: Annotated[str, typer.Argument(metavar="RUN", help="The later run.")],
    settings_file: SettingsFile = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Show what changed between two runs: images and labels, split, classes, settings of every stage, results."""
    from gtseg.pipeline.commands.diff import diff as compare

    first = open_session(settings_file, one, overrides)
    second = open_session(settings_file, other, overrides)
    found = compare(first.run, second.run, first.context().s3)
    if as_json:
        print_json(found.as_json())
        return
    for line in lines_of(found):
        show(line)


def lines_of(found: Difference) -> Iterator[str]:
    """Yield the lines of the difference as text."""
    yield f"{found.one} -> {found.other}"
    yield "data:" if not found.data.is_empty else "data: the same images, labels, split and classes"
    yield from _data(found.data)
    for title, changes in (("settings", found.settings), ("results", found.results)):
        yield f"{title}:" if changes else f"{title}: the same"
        yield from (f"  {words(change)}" for change in changes)
    if found.results and not found.data.same_test:
        yield (
            "the test splits differ, so the scores above are of different images (`gtseg compare` scores the "
            "common images)"
        )


def _data(data: DataChanges) -> Iterator[str]:
    kinds = (
        ("added", data.added),
        ("removed", data.removed),
        ("other bytes", data.image_changed),
        ("other labels", data.label_changed),
        ("moved", [words(change) for change in data.moved]),
        ("judged otherwise", [words(change) for change in data.judged]),
        ("classes", [words(change) for change in data.classes]),
    )
    for title, names in kinds:
        if names:
            yield f"  {len(names):,} {title}: {_some(names)}"


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def words(change: Change) -> str:
    """Format a change: `learning_rate 0.01 -> 0.1`, with the difference of measured numbers."""
    step = ""
    if isinstance(change.before, float) and isinstance(change.after, float):
        step = f" ({change.after - change.before:+.4f})"
    return f"{change.what} {_text(change.before)} -> {_text(change.after)}{step}"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
