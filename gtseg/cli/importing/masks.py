"""gtseg import masks: a folder of images and a folder of masks."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gtseg.cli.console import listener, say
from gtseg.cli.importing.shared import (
    Labels,
    Limit,
    Name,
    Out,
    Upload,
    bar,
    check_name,
    fetch,
    finish,
    folder_of,
    split_names,
)
from gtseg.cli.options import Json, RunName, Set, SettingsFile, Yes
from gtseg.core.counting import counted
from gtseg.errors import SettingsError

app = typer.Typer(rich_markup_mode=None)


@app.command()
def masks(
    images: Annotated[str, typer.Argument(help="Folder or s3:// prefix of images.")],
    masks: Annotated[str, typer.Argument(help="Folder or s3:// prefix of masks.")],
    colors: Annotated[
        Path | None,
        typer.Option(help='JSON or TOML table: {"road": "#ff0000", "water": 3}; also a SageMaker label map.'),
    ] = None,
    as_indices: Annotated[
        bool | None,
        typer.Option("--indices/--colours", help="Read palette masks as indices or by their colours."),
    ] = None,
    per_label: Annotated[bool, typer.Option(help="One mask file per label (of --labels).")] = False,
    labels: Labels = None,
    repair: Annotated[
        bool, typer.Option(help="Give a foreign colour to the class whose colour is clearly nearest.")
    ] = False,
    out: Out = None,
    name: Name = None,
    limit: Limit = None,
    upload: Upload = True,
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """A folder of images and a folder of masks. Without --colors the masks' own are shown for confirmation.

    gtseg import masks photos/ masks/ --colors colours.json
    """
    from gtseg.imports import mask_folder

    names, label = split_names(labels), check_name(name or "masks")
    folder = folder_of(out, label)
    image_folder = fetch(images, folder / "cache/images", mask_folder.IMAGE_SUFFIXES, settings_file, limit)
    mask_source = fetch(masks, folder / "cache/masks", mask_folder.MASK_SUFFIXES, settings_file, None)
    pairs, skipped = mask_folder.find_pairs(image_folder, mask_source, labels=names if per_label else ())
    pairs = pairs[:limit]
    table = _colour_table(pairs, colors, as_indices, names, per_label=per_label, yes=yes)
    with listener() as notify:
        report = mask_folder.import_masks(
            pairs,
            folder,
            table,
            name=label,
            repair=repair,
            early=skipped,
            notify=bar(notify),
        )
    sources = {"images": images, "masks": masks, "colors": colors}
    finish(report, settings_file, run_name, overrides, sources=sources, upload=upload, as_json=as_json)


def _colour_table(
    pairs: Any, colors: Path | None, by_index: bool | None, names: list[str], *, per_label: bool, yes: bool
) -> Any:
    from gtseg.imports import mask_folder
    from gtseg.imports.colours import label_map_of, parse_table, read_table

    if per_label:
        if not names:
            raise SettingsError("--per-label needs --labels a,b: the names of the files or folders")
        return parse_table({label: index for index, label in enumerate(names, 1)}, by_index=True)
    if colors and (document := label_map_of(colors)):
        return _label_map_table(document, pairs, names)
    if colors:
        return read_table(colors, by_index=bool(by_index) or _holds_indices(colors))
    entries, counts = mask_folder.discover_colours(pairs, by_index=by_index)
    indexed = isinstance(entries["background"], int)
    if names:
        entries = _rename(entries, names)
    say("The masks hold these values; nothing says what they mean but you:")
    for label, value in entries.items():
        code = value if isinstance(value, int) else int(str(value)[1:], 16)
        say(f"  {label:<16} {value!s:<9} {counts.get(code, 0):>14,} pixels")
    _confirm(entries, yes)
    return parse_table(entries, by_index=indexed)


def _label_map_table(document: dict[str, Any], pairs: Any, names: list[str]) -> Any:
    """SageMaker's direction is class index -> stored value; a map written the other way round is recognised by the masks."""
    from gtseg.imports.colours import table_of_label_map, values_of

    found = values_of(pair.masks[0][1] for pair in pairs[:50]) - {255}
    covered = set(table_of_label_map(document).codes)
    if found <= covered or "map" not in document:
        return table_of_label_map(document, names)
    turned = {"map": {str(value): int(index) for index, value in document["map"].items()}}
    if not found <= set(table_of_label_map(turned).codes):
        raise SettingsError(
            f"the masks hold the values {sorted(found)}; the label map covers {sorted(covered)}"
        )
    say(
        "import: the label map is written the wrong way round (stored value -> class); it is read as it was meant"
    )
    return table_of_label_map(turned, names)


def _holds_indices(path: Path) -> bool:
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    return not re.search(r"#[0-9a-fA-F]{6}|\[\s*\d+\s*,\s*\d+\s*,\s*\d+\s*\]|\"[0-9a-fA-F]{6}\"", text)


def _rename(entries: dict[str, Any], names: list[str]) -> dict[str, Any]:
    guessed = [key for key in entries if key.startswith("class-")]
    if len(guessed) != len(names):
        raise SettingsError(
            f"--labels names {counted(len(names), 'class', 'classes')}, the masks hold {len(guessed)} beside background"
        )
    renamed = dict(zip(guessed, names, strict=True))
    return {renamed.get(key, key): value for key, value in entries.items()}


def _confirm(entries: dict[str, Any], yes: bool) -> None:
    if yes:
        return
    if sys.stdin.isatty() and typer.confirm("Is that right?", err=True):
        return
    raise SettingsError(
        f"not confirmed: put {json.dumps(entries)} into a file, correct it, and give it as --colors FILE (or --yes)"
    )
