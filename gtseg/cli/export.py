"""gtseg export: labels of an output manifest as COCO, YOLO-seg, CVAT XML or plain index masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from gtseg.cli.checks import file_location
from gtseg.cli.console import print_json, say
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions
from gtseg.errors import SettingsError

app = typer.Typer(rich_markup_mode=None)
FORMS = ("coco", "yolo", "masks", "cvat")


@dataclass(frozen=True)
class ExportOptions:
    """Labels to export and the options of the formats."""

    manifest: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Any output.manifest instead of the run's.", callback=file_location),
    ] = None
    label_attribute: Annotated[
        str | None, typer.Option(metavar="ATTRIBUTE", help="Label attribute, if the manifest has several.")
    ] = None
    images: Annotated[bool, typer.Option("--images/--no-images", help="Also write the images.")] = True
    polygons: Annotated[bool, typer.Option(help="COCO, CVAT: polygons instead of run lengths.")] = False
    split: Annotated[
        bool | None,
        typer.Option(
            "--split/--no-split",
            help="Write one folder per split of the run's dataset [default: if the run has a dataset].",
        ),
    ] = None
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Write the export even if less than half of the objects can be exported."),
    ] = False


@app.command()
@grouped
def export(
    form: Annotated[str, typer.Argument(metavar="coco|yolo|masks|cvat", help="What to write.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    options: ExportOptions,
    project: ProjectOptions,
) -> None:
    """Export the labels of the run (or of any output manifest) to the format of another tool.

    Exit code 5: some objects could not be exported.
    """
    from gtseg.pipeline.commands.exports import open_export, write_export

    if form not in FORMS:
        raise SettingsError(f"export {form}: must be one of {', '.join(FORMS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out} is not empty: name a new or empty folder")
    session = project.open()
    source = open_export(
        session.run,
        session.context().s3,
        manifest=options.manifest,
        label_attribute=options.label_attribute,
        split=options.split,
    )
    written = write_export(source, form, out, images=options.images, polygons=options.polygons, accept=options.yes)
    parts = ", ".join(f"{count:,} {part}" for part, count in sorted(written.parts.items()) if part)
    say(f"export: {out}{f' ({parts})' if parts else ''}")
    for line in written.account.lines():
        say(f"  {line}")
    if project.as_json:
        refused = [{"image": item.image, "reason": item.reason} for item in written.refused]
        print_json(
            {
                "folder": str(out),
                "objects": written.account.flow("image").outputs,
                "refused": refused,
                "classes": list(source.classes),
                "split": written.parts,
                "account": written.account.as_json(),
            }
        )
    raise typer.Exit(written.account.exit_code)
