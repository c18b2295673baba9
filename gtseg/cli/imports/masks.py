"""gtseg import masks: a folder of images and a folder of masks."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.cli.checks import location
from gtseg.cli.console import say
from gtseg.cli.imports.shared import ImportOptions, bar, fetch, finish, split_names
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import LABELS_HELP, LabelValues, ProjectOptions, Void
from gtseg.core.classes import VOID_NAME
from gtseg.core.images.formats import IMAGE_SUFFIXES, MASK_SUFFIXES
from gtseg.core.plurals import counted
from gtseg.errors import MaskError, SettingsError

if TYPE_CHECKING:
    from gtseg.imports.color_tables import ColorTable
    from gtseg.imports.mask_survey import Survey

app = typer.Typer(rich_markup_mode=None)


@dataclass(frozen=True)
class MaskValueOptions:
    """Meaning of the mask values."""

    colors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='JSON or TOML table: {"road": "#ff0000", "water": 3}; also a SageMaker label map, '
            "CVAT's labelmap.txt, RoboSat's or neat-EO's TOML.",
        ),
    ] = None
    as_indices: Annotated[
        bool | None,
        typer.Option("--indices/--colours", help="Read palette masks as indices or by their colors."),
    ] = None
    labels: Annotated[str | None, typer.Option(metavar="A,B", help=LABELS_HELP)] = None
    label_values: LabelValues = ""
    void: Void = None
    per_label: Annotated[bool, typer.Option(help="One mask file per label (of --labels).")] = False
    repair: Annotated[
        bool,
        typer.Option(
            help="Map unknown colors to the class with the clearly nearest color, other values to void; counts both."
        ),
    ] = False
    mask_suffix: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Suffix of a mask's stem after its image's, like _mask [default: the usual ones].",
        ),
    ] = None


@app.command()
@grouped
def masks(
    images: Annotated[
        str, typer.Argument(metavar="IMAGES", help="Folder or s3:// prefix of images.", callback=location)
    ],
    masks: Annotated[
        str,
        typer.Argument(
            metavar="MASKS", help="Folder or s3:// prefix of masks; may be the folder of the images.", callback=location
        ),
    ],
    meaning: MaskValueOptions,
    options: ImportOptions,
    project: ProjectOptions,
) -> None:
    """Import a folder of images and a folder of masks.

    Without --colors the masks' own values are shown for confirmation.
    """
    from gtseg.imports.mask_folder import import_masks
    from gtseg.imports.mask_pairs import find_pairs

    title, folder = options.title("masks"), options.folder("masks")
    names = split_names(meaning.labels)
    if meaning.per_label and not names:
        raise SettingsError("--per-label needs --labels a,b: the names of the files or folders")
    image_folder = fetch(images, folder / "cache/images", IMAGE_SUFFIXES, project.settings_file, options.limit)
    mask_source = (
        image_folder
        if masks == images
        else fetch(masks, folder / "cache/masks", MASK_SUFFIXES, project.settings_file, None)
    )
    found = find_pairs(
        image_folder,
        mask_source,
        labels=names if meaning.per_label else (),
        suffix=meaning.mask_suffix,
        follow_links=options.follow_links,
    )
    paths = [pair.masks[0][1] for pair in found.pairs[: options.limit]]
    table = options.with_names(lambda merge: _table(paths, meaning, names, options, merge=merge))
    with listener() as notify:
        report = import_masks(
            found, folder, table, name=title, repair=meaning.repair, limit=options.limit, notify=bar(notify)
        )
    finish(report, options, project, sources={"images": images, "masks": masks, "colors": meaning.colors})


def _table(
    paths: Sequence[Path],
    meaning: MaskValueOptions,
    names: list[str],
    options: ImportOptions,
    *,
    merge: bool | None,
) -> ColorTable:
    from gtseg.imports.color_tables import parse_table, read_label_map, read_table
    from gtseg.imports.mask_survey import check_palettes

    if meaning.per_label:
        return parse_table({label: index for index, label in enumerate(names, 1)}, by_index=True, merge=merge)
    if meaning.colors is None:
        return _table_of_masks(paths, meaning, names, options, merge=merge)
    if document := read_label_map(meaning.colors):
        table = _label_map_table(document, paths, names)
    else:
        table = read_table(
            meaning.colors, by_index=bool(meaning.as_indices) or _holds_indices(meaning.colors), merge=merge
        )
    if table.by_index and meaning.as_indices is None:
        check_palettes(paths)
    return table


def _table_of_masks(
    paths: Sequence[Path],
    meaning: MaskValueOptions,
    names: list[str],
    options: ImportOptions,
    *,
    merge: bool | None,
) -> ColorTable:
    """Show the values of the masks, named by --labels if given, and return their table when confirmed."""
    from gtseg.core.masks.class_values import number_masks, parse_values
    from gtseg.imports.color_tables import parse_table, propose_table, table_of_numbering
    from gtseg.imports.mask_survey import survey_masks

    survey = survey_masks(paths, by_index=meaning.as_indices)
    for note in survey.notes:
        say(f"import: {note}")
    if meaning.void is None and not meaning.label_values:
        survey.require_one_convention()
    counts = _without_edges(survey, repair=meaning.repair)
    if survey.by_index and names:
        values = parse_values(meaning.label_values) if meaning.label_values else ()
        numbering = number_masks(counts, names, values=values, void=meaning.void)
        for note in numbering.notes:
            say(f"import: {note}")
        table = table_of_numbering(numbering)
        codes = sorted(table.codes.items())
        _show({table.name_of(code): _name_of(table, index) for code, index in codes}, counts)
        _confirm({_name_of(table, index): code for code, index in table.codes.items()}, options.yes)
        return table
    entries = propose_table(counts, by_index=survey.by_index, void=meaning.void)
    if names:
        entries = _rename(entries, names)
    _show({str(value): name for name, value in entries.items()}, counts)
    _confirm(entries, options.yes)
    return parse_table(entries, by_index=survey.by_index, merge=merge)


def _without_edges(survey: Survey, *, repair: bool) -> dict[int, int]:
    """Return the values that cover areas. Raises MaskError for smoothed edges unless --repair is given."""
    edges = survey.edges
    if not edges:
        return dict(survey.counts)
    count = sum(survey.counts[code] for code in edges)
    shown = ", ".join(str(code) if survey.by_index else f"#{code:06x}" for code in edges[:4])
    words = (
        f"{len(edges)} of the {len(survey.counts)} values in the masks occur only at edges ({shown}, ...; "
        f"{count:,} pixels): smoothed edges, as resizing with interpolation or anti-aliasing produces"
    )
    if not repair:
        raise MaskError(f"{words}. Resize masks with nearest neighbor, or use --repair to set these pixels to void")
    say(f"import: {words}")
    return {code: number for code, number in survey.counts.items() if code not in set(edges)}


def _name_of(table: ColorTable, index: int) -> str:
    return {0: "background", 255: VOID_NAME}.get(index) or table.classes[index - 1]


def _show(names: dict[str, str], counts: dict[int, int]) -> None:
    say("Values in the masks, to be confirmed:")
    for value, name in names.items():
        code = int(value[1:], 16) if value.startswith("#") else int(value)
        say(f"  {name:<16} {value:<9} {counts.get(code, 0):>14,} pixels")


def _label_map_table(document: dict[str, Any], paths: Sequence[Path], names: list[str]) -> ColorTable:
    """Return the table of a label map; one in the opposite direction (stored value -> class) is inverted.

    The direction is determined from the values of the masks.
    """
    from gtseg.imports.color_tables import table_of_label_map
    from gtseg.imports.mask_colors import stored_values

    found = stored_values(paths[:50]) - {255}
    covered = set(table_of_label_map(document).codes)
    if found <= covered or "map" not in document:
        return table_of_label_map(document, names)
    inverted = {"map": {str(value): int(index) for index, value in document["map"].items()}}
    if not found <= set(table_of_label_map(inverted).codes):
        raise SettingsError(f"the masks have the values {sorted(found)}; the label map has {sorted(covered)}")
    say("import: the label map has the opposite direction (stored value -> class) and was inverted")
    return table_of_label_map(inverted, names)


def _holds_indices(path: Path) -> bool:
    text = path.read_text(encoding="utf-8-sig", errors="replace") if path.is_file() else ""
    return not re.search(
        r"#[0-9a-fA-F]{6}|\[\s*\d+\s*,\s*\d+\s*,\s*\d+\s*\]|\"[0-9a-fA-F]{6}\"|^[^#\n]+:\d+,\d+,\d+:",
        text,
        re.MULTILINE,
    )


def _rename(entries: dict[str, Any], names: list[str]) -> dict[str, Any]:
    guessed = [key for key in entries if key.startswith("class-")]
    if len(guessed) != len(names):
        raise SettingsError(
            f"--labels has {counted(len(names), 'class', 'classes')}, the masks have {len(guessed)} besides the "
            f"background: {', '.join(str(entries[key]) for key in guessed[:8])}"
        )
    renamed = dict(zip(guessed, names, strict=True))
    return {renamed.get(key, key): value for key, value in entries.items()}


def _confirm(entries: dict[str, Any], yes: bool) -> None:
    if yes:
        return
    if sys.stdin.isatty() and typer.confirm("Is that right?", err=True):
        return
    raise SettingsError(
        f"not confirmed: save {json.dumps(entries)} to a file, correct it, and use --colors FILE (or --yes)"
    )
