"""gtseg export: labels of an output manifest as COCO, YOLO-seg or plain index masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.cli.console import print_json, say
from gtseg.cli.options import Json, RunName, Set, SettingsFile, open_session
from gtseg.core.counting import counted
from gtseg.errors import SettingsError

if TYPE_CHECKING:
    from gtseg.pipeline.commands.exports import Export, Exported

app = typer.Typer(rich_markup_mode=None)


@app.command()
def export(
    form: Annotated[str, typer.Argument(metavar="coco|yolo|masks", help="What to write.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    manifest: Annotated[
        str | None, typer.Option(metavar="URI", help="Any output.manifest instead of the run's.")
    ] = None,
    label_attribute: Annotated[
        str | None, typer.Option(help="Which label, where lines hold several.")
    ] = None,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Also write the images.")] = True,
    polygons: Annotated[bool, typer.Option(help="COCO: outlines instead of run lengths.")] = False,
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """The run's labels (or any output manifest's) in another tool's format. Exit code 5: some masks were refused.

    gtseg export coco coco/
    """
    from gtseg.pipeline.commands.exports import open_export

    if form not in WRITERS:
        raise SettingsError(f"export {form}: want one of {', '.join(WRITERS)}")
    if out.exists() and any(out.iterdir()):
        raise SettingsError(f"{out} is not empty: an export does not mix with other files")
    session = open_session(settings_file, run_name, overrides)
    source = open_export(
        session.run, session.context().s3, manifest=manifest, label_attribute=label_attribute
    )
    facts = _write(source, form, out, images=images, polygons=polygons)
    for line in facts["refused"][:5]:
        say(f"export: refused {line['image']}: {line['reason']}")
    say(
        f"export: {counted(facts['objects'], 'object')}, {counted(len(source.classes), 'class', 'classes')} in {out}{facts['note']}"
    )
    if as_json:
        print_json({"folder": str(out), **facts, "classes": list(source.classes)})
    raise typer.Exit(5 if facts["refused"] else 0)


def _write(source: Export, form: str, out: Path, *, images: bool, polygons: bool) -> dict[str, Any]:
    from gtseg.pipeline.commands.exports import Refused

    writer = WRITERS[form](out, source.classes, polygons)
    refused, count = [], 0
    for item in source.objects():
        if isinstance(item, Refused):
            refused.append({"image": item.image, "reason": item.reason})
            continue
        writer.add(item)
        if images:
            _put(out / "images" / item.name, source.read(item.image))
        count += 1
    return {"objects": count, "refused": refused, "note": writer.finish()}


class Coco:
    """annotations.json, images/ . Run lengths are exact; outlines too, except that regions with holes stay run lengths."""

    def __init__(self, out: Path, classes: tuple[str, ...], polygons: bool) -> None:
        self.out, self.classes, self.polygons = out, classes, polygons
        self.document: dict[str, Any] | None = None

    def add(self, item: Exported) -> None:
        from gtseg.imports.coco import MaskedImage, extend_coco, new_coco

        self.document = self.document or new_coco(self.classes)
        extend_coco(self.document, MaskedImage(item.name, item.mask), polygons=self.polygons)

    def finish(self) -> str:
        from gtseg.imports.coco import new_coco

        document = self.document or new_coco(self.classes)
        _put(self.out / "annotations.json", json.dumps(document).encode())
        holes = document["info"]["with_holes"]
        return (
            f"; {counted(holes, 'region with holes stays', 'regions with holes stay')} run lengths, polygons know none"
            if holes
            else ""
        )


class Yolo:
    """images/, labels/<stem>.txt, data.yaml. Holes are filled: the format knows none."""

    def __init__(self, out: Path, classes: tuple[str, ...], polygons: bool) -> None:
        self.out, self.classes, self.holes = out, classes, 0

    def add(self, item: Exported) -> None:
        from gtseg.imports.yolo import to_yolo

        label = to_yolo(item.mask, len(self.classes))
        self.holes += label.holes
        _put(self.out / "labels" / f"{Path(item.name).stem}.txt", label.text.encode())

    def finish(self) -> str:
        names = "".join(f"  {i}: {json.dumps(name)}\n" for i, name in enumerate(self.classes))
        _put(self.out / "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{names}".encode())
        return (
            f"; {counted(self.holes, 'hole was', 'holes were')} filled, YOLO knows none" if self.holes else ""
        )


class Masks:
    """images/, masks/<stem>.png (index PNGs), classes.json, and SageMaker's label maps."""

    def __init__(self, out: Path, classes: tuple[str, ...], polygons: bool) -> None:
        self.out, self.classes = out, classes

    def add(self, item: Exported) -> None:
        from gtseg.imports.writing import encode_mask

        _put(self.out / "masks" / f"{Path(item.name).stem}.png", encode_mask(item.mask, len(self.classes)))

    def finish(self) -> str:
        from gtseg.imports.colours import label_map_for

        for part in ("train", "validation"):
            document = json.dumps(label_map_for(len(self.classes))).encode()
            _put(self.out / "label_map" / f"{part}_label_map.json", document)
        _put(
            self.out / "classes.json",
            json.dumps({"classes": ["background", *self.classes]}, indent=1).encode(),
        )
        return ""


WRITERS: dict[str, Any] = {"coco": Coco, "yolo": Yolo, "masks": Masks}


def _put(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
