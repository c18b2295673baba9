import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtseg.errors import SettingsError, StageError
from gtseg.imports.features import read_features
from gtseg.imports.imagery import TileRequest, burn_tile, mercator_shapes
from gtseg.imports.slippy import Tile
from gtseg.imports.tiles import import_tiles, open_label_maker, open_robosat, tile_files

DATA = Path(__file__).parent.parent / "data" / "tiles"
ROBOSAT = DATA / "robosat"
LABEL_MAKER = DATA / "label-maker"


def test_tiles_of_robosat_are_imported_with_their_masks(tmp_path: Path) -> None:
    source = open_robosat(ROBOSAT / "images", ROBOSAT / "labels", ROBOSAT / "dataset-parking.toml")
    report = import_tiles(source, tmp_path, name="parking", block=4, workers=2)
    assert (report.classes, report.images) == (("parking",), 4)
    truth = np.asarray(Image.open(ROBOSAT / "labels/18/70762/104119.png"))
    assert (np.asarray(Image.open(tmp_path / "masks/70762-104119-18.png")) == truth).all()
    assert Image.open(tmp_path / "images/70762-104119-18.jpg").size == (512, 512)


def test_neighboring_tiles_share_a_group(tmp_path: Path) -> None:
    source = open_robosat(ROBOSAT / "images", ROBOSAT / "labels", None)
    import_tiles(source, tmp_path, name="parking", block=4, workers=1)
    lines = [json.loads(line) for line in (tmp_path / "output.manifest").read_text().splitlines()]
    groups = {line["source-ref"]: line["gtseg-group"] for line in lines}
    assert groups["images/70761-104120-18.jpg"] != groups["images/69623-104946-18.jpg"]
    assert groups["images/70762-104119-18.jpg"] == groups["images/70763-104119-18.jpg"]


@pytest.fixture
def label_maker(tmp_path: Path) -> Path:
    """Return a Label Maker folder of ml_type segmentation, with labels.npz burned from its features by its rules."""
    folder = tmp_path / "lm"
    shutil.copytree(LABEL_MAKER / "tiles", folder / "tiles")
    shutil.copy(LABEL_MAKER / "config.json", folder)
    config = json.loads((folder / "config.json").read_text())
    request = TileRequest((-9.4575, 38.8467, -9.451, 38.8513), 17, "", tuple(config["classes"]))
    shapes = mercator_shapes(request, read_features(LABEL_MAKER / "labels.geojson"))
    labels = {f"{t.x}-{t.y}-{t.z}": burn_tile(t, shapes, (256, 256)) for t in tile_files(folder / "tiles", {".jpg"})}
    np.savez(folder / "labels.npz", **labels)
    return folder


def test_a_label_maker_folder_is_imported(label_maker: Path, tmp_path: Path) -> None:
    source = open_label_maker(label_maker)
    report = import_tiles(source, tmp_path / "out", name="portugal", workers=1)
    assert report.classes == ("Water Tower", "Building", "Farmland", "Ruins", "Parking", "Roads")
    assert report.images == len(list((label_maker / "tiles").glob("*.jpg")))
    assert report.pixels["Roads"] > 0


def test_labels_of_label_maker_are_imported_exactly(tmp_path: Path) -> None:
    """labels-sg.npz is the output of Label Maker's algorithm for its fixture; the sums are those of its own test."""
    folder = tmp_path / "lm"
    shutil.copytree(LABEL_MAKER / "tiles", folder / "tiles")
    shutil.copy(LABEL_MAKER / "labels-sg.npz", folder / "labels.npz")
    source = open_label_maker(folder, config=LABEL_MAKER / "config.json")
    report = import_tiles(source, tmp_path / "out", name="portugal", workers=1)
    sums = {}
    with np.load(LABEL_MAKER / "labels-sg.npz") as archive:
        for path in (tmp_path / "out/masks").glob("*.png"):
            mask = np.asarray(Image.open(path))
            assert (mask == archive[path.stem]).all()
            sums[path.stem] = int(mask.sum())
    assert report.images == 8
    expected = {
        "62092-50164-17": 13500,
        "62093-50162-17": 36822,
        "62093-50163-17": 31568,
        "62093-50164-17": 2400,
        "62094-50162-17": 21234,
        "62094-50164-17": 19146,
    }
    assert expected.items() <= sums.items()


@pytest.mark.parametrize("ending", ["", ".jpg90", ".pngraw", ".jpeg"])
def test_images_of_label_maker_may_have_any_suffix(label_maker: Path, tmp_path: Path, ending: str) -> None:
    for path in sorted((label_maker / "tiles").glob("*.jpg")):
        path.rename(path.with_name(path.stem + ending))
    report = import_tiles(open_label_maker(label_maker), tmp_path / "out", name="x", workers=1)
    assert (report.images, report.skipped) == (8, ())


def test_bounding_boxes_in_labels_npz_are_rejected(label_maker: Path, tmp_path: Path) -> None:
    boxes = {
        f"{t.x}-{t.y}-{t.z}": np.zeros((n % 2, 5), np.int64)
        for n, t in enumerate(tile_files(label_maker / "tiles", None))
    }
    np.savez(label_maker / "labels.npz", **boxes)
    report = import_tiles(open_label_maker(label_maker), tmp_path / "out", name="x", workers=1)
    assert report.images == 0
    assert all("a segmentation mask must be (H, W)" in skipped.reason for skipped in report.skipped)


def test_burned_masks_have_only_classes_of_label_makers_tile_labels() -> None:
    """labels-cl.npz has the classes of each tile."""
    config = json.loads((LABEL_MAKER / "config.json").read_text())
    request = TileRequest(
        (-9.4575, 38.8467, -9.451, 38.8513), 17, "", tuple({**c, "buffer": 0} for c in config["classes"])
    )
    shapes = mercator_shapes(request, read_features(LABEL_MAKER / "labels.geojson"))
    with np.load(LABEL_MAKER / "labels-cl.npz") as archive:
        for key in archive:
            x, y, z = map(int, key.split("-"))
            burned = set(np.unique(burn_tile(Tile(z, x, y), shapes, (256, 256)))) - {0}
            assert burned <= {i for i, present in enumerate(archive[key]) if present}, key


def test_classification_labels_are_rejected(label_maker: Path, tmp_path: Path) -> None:
    config = json.loads((label_maker / "config.json").read_text())
    (label_maker / "config.json").write_text(json.dumps({**config, "ml_type": "classification"}))
    with pytest.raises(SettingsError, match="ml_type"):
        open_label_maker(label_maker)
    shutil.copy(LABEL_MAKER / "labels-cl.npz", label_maker / "labels.npz")
    report = import_tiles(open_label_maker(label_maker, names=["a"]), tmp_path / "out", name="x", workers=1)
    assert report.images == 0
    assert any("a segmentation mask must be (H, W)" in s.reason for s in report.skipped)


def test_a_folder_without_tiles_or_labels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"labels\.npz"):
        open_label_maker(tmp_path)
    with pytest.raises(StageError, match="no tile images"):
        open_robosat(tmp_path, tmp_path, None)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[[classes]]\ntitle = "Background"\n[[classes]]\ntitle = "Building"\n', "Building"),
        ('[common]\nclasses = ["background", "lot"]\n', "lot"),
    ],
)
def test_masks_of_0_and_255_are_one_class_with_the_toml_of_robosat_and_neat_eo(
    tmp_path: Path, text: str, name: str
) -> None:
    (tmp_path / "d.toml").write_text(text)
    for x in (5, 6):
        for kind, image in (
            ("images", Image.new("RGB", (4, 4), "teal")),
            ("labels", Image.fromarray(np.eye(4, dtype=np.uint8) * 255)),
        ):
            path = tmp_path / kind / "4" / str(x) / "3.png"
            path.parent.mkdir(parents=True)
            image.save(path)
    source = open_robosat(tmp_path / "images", tmp_path / "labels", tmp_path / "d.toml")
    report = import_tiles(source, tmp_path / "out", name="t", workers=1)
    assert report.pixels == {"BACKGROUND": 24, name: 8}
    assert "255 is" in source.notes[0]
    assert report.account.exit_code == 0
