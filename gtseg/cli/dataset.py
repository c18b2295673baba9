"""gtseg dataset."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gtseg.cli.console import print_json, say
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions, SourceOptions, Spending
from gtseg.core.labeling.class_names import LookalikeNames
from gtseg.errors import SettingsError

if TYPE_CHECKING:
    from gtseg.core.masks.colors import ColorMap
    from gtseg.pipeline.run import LabelSource
    from gtseg.settings import Settings

app = typer.Typer(rich_markup_mode=None)


@dataclass(frozen=True)
class ManifestOptions(SourceOptions):
    """Labels that become the dataset, and how their manifest is read."""

    label_attribute: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME]",
            help="Label attribute, if the manifest has several; a,b for lines of two jobs in one file.",
        ),
    ] = None
    rewrite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="Replace a prefix of the manifest's URIs: s3://old/=s3://new/; may be repeated.",
        ),
    ] = None
    colors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Color table of masks without metadata, as for `gtseg import masks --colors`.",
        ),
    ] = None
    merge_labels: Annotated[
        bool | None,
        typer.Option(
            "--merge-labels/--keep-labels",
            help="Class names that differ only in case, spaces or Unicode form: merge them, or keep them apart.",
        ),
    ] = None

    check: Annotated[
        Literal["full", "palette"] | None,
        typer.Option(
            help="Check every pixel of each mask, or only its palette: faster, no pixel counts [default: [dataset] "
            "check, full]."
        ),
    ] = None

    def source(self) -> LabelSource:
        table = _read_table(self.colors) if self.colors else None
        return replace(super().source(), rewrites=read_rewrites(self.rewrite or []), table=table)

    def settings(self) -> list[str]:
        """Return the options as overrides of [dataset]."""
        chosen = [f"dataset.check={self.check}"] if self.check else []
        if self.merge_labels is None:
            return chosen
        return [*chosen, f"dataset.alike_labels={'merge' if self.merge_labels else 'keep'}"]


@app.command()
@grouped
def dataset(project: ProjectOptions, labels: ManifestOptions, spending: Spending) -> None:
    """Convert the labels of a job to training, validation and test data. Exit code 5: some objects were rejected."""
    from gtseg.pipeline.stages.dataset import dataset as implementation
    from gtseg.pipeline.stages.order import exit_code

    source, dry_run = labels.source(), spending.dry_run
    session = replace(project, overrides=[*(project.overrides or []), *labels.settings()]).open()
    with listener() as notify:
        try:
            run = implementation(session.run, session.context(notify, dry_run=dry_run), labels=source)
        except LookalikeNames as error:
            decided = _ask_names(error, session.settings)
            context = replace(session.context(notify, dry_run=dry_run), settings=decided)
            run = implementation(session.run, context, labels=source)
    if dry_run:
        return
    if run != session.run:  # an unchanged dataset is not saved again
        run = session.run_file.save(run)
    if project.as_json and run.dataset:
        print_json(run.dataset.model_dump(mode="json"))
    raise typer.Exit(exit_code(run, "dataset"))


def read_rewrites(rules: list[str]) -> dict[str, str]:
    """Parse `s3://old/=s3://new/`. Raises SettingsError for another form and for two rules for one prefix.

    Keys may contain `=`, like `date=2026/`: the separator is the first one before a scheme, else the first one after a
    slash, else the first one.
    """
    found: dict[str, str] = {}
    for rule in rules:
        separator = (
            re.search(r"=(?=[A-Za-z][A-Za-z0-9+.-]*://)", rule) or re.search("(?<=/)=", rule) or re.search("=", rule)
        )
        old, new = (rule[: separator.start()], rule[separator.end() :]) if separator else ("", "")
        if not (old and new):
            raise SettingsError(f"--rewrite {rule}: must be OLD=NEW, like --rewrite s3://old/=s3://new/")
        if found.setdefault(old, new) != new:
            raise SettingsError(f"--rewrite {rule}: another rule replaces {old} by {found[old]}. Give one of them")
    return found


def _read_table(path: Path) -> ColorMap:
    """Convert a color or index table to the color map of one mask; 255 is void in a table of indices."""
    from gtseg.core.classes import BACKGROUND, VOID, VOID_NAME
    from gtseg.core.masks.colors import ColorMap, MapEntry
    from gtseg.imports.color_tables import read_table

    try:
        table = read_table(path, by_index=True)
    except SettingsError:
        table = read_table(path)
    names = (BACKGROUND, *table.classes)
    codes = dict(table.codes)
    if not table.by_index:
        rows = enumerate(sorted(codes.items(), key=lambda row: (row[1], row[0])))
        return ColorMap(tuple(MapEntry(n, VOID_NAME if i == VOID else names[i], code) for n, (code, i) in rows))
    codes = {0: 0, VOID: VOID} | codes
    return ColorMap(
        tuple(MapEntry(code, VOID_NAME if i == VOID else names[i], None) for code, i in sorted(codes.items()))
    )


def _ask_names(error: LookalikeNames, settings: Settings) -> Settings:
    """Ask on a terminal whether the groups are one class and return the updated settings.

    Re-raise the error otherwise.
    """
    if not sys.stdin.isatty():
        raise error
    say(f"dataset: {str(error).partition('. --merge')[0]}")
    answer = typer.confirm("Is each of these groups one class?", err=True)
    chosen = settings.dataset.model_copy(update={"alike_labels": "merge" if answer else "keep"})
    return settings.model_copy(update={"dataset": chosen})
