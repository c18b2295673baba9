"""gtseg export: labels of an output manifest as COCO, YOLO-seg, CVAT XML or plain index masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from gtseg.cli.console import print_json, say
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions
from gtseg.errors import SettingsError

app = typer.Typer(rich_markup_mode=None)
FORMS = ("coco", "yolo", "masks", "cvat")


@dataclass(frozen=True)
class ExportOptions:
    """What goes out, and how."""

    manifest: Annotated[str | None, typer.Option(metavar="URI", help="Any output.manifest instead of the run's.")] = (
        None
    )
    label_attribute: Annotated[str | None, typer.Option(help="Which label, where lines hold several.")] = None
    images: Annotated[bool, typer.Option("--images/--no-images", help="Also write the images.")] = True
    polygons: Annotated[bool, typer.Option(help="COCO, CVAT: outlines instead of run lengths.")] = False
    split: Annotated[
        bool | None,
        typer.Option(
            "--split/--no-split",
            help="In folders of the dataset's split [default: where the run's dataset has one].",
        ),
    ] = None
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Write it also where less than half of the objects can go out."),
    ] = False


@app.command()
@grouped
def export(
    form: Annotated[str, typer.Argument(metavar="coco|yolo|masks|cvat", help="What to write.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    options: ExportOptions,
    project: ProjectOptions,
) -> None:
    """The run's labels (or any output manifest's) in another tool's format. Exit code 5: something could not go out."""
    from gtseg.pipeline.commands.exports import open_export, write_export

    if form not in FORMS:
        raise SettingsError(f"export {form}: want one of {', '.join(FORMS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out} is not empty: an export does not mix with other files")
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
                "objects": written.account.flow("image").went,
                "refused": refused,
                "classes": list(source.classes),
                "split": written.parts,
                "account": written.account.as_json(),
            }
        )
    raise typer.Exit(written.account.exit_code)
