import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtseg.errors import ManifestError, StageError
from gtseg.imports.footprints import mask_of_tile, write_nodata
from gtseg.imports.georeferencing import read_places, write_features, write_tile_tree
from gtseg.imports.slippy import Tile

TILE = Tile(18, 70762, 104119)


def mask(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((64, 64), np.uint8)
    values[10:30, 20:50] = 1
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("name", ["70762-104119-18.png", "18/70762/104119.png"])
def test_a_mask_with_the_name_of_a_tile_is_georeferenced_by_it(tmp_path: Path, name: str) -> None:
    source = mask(tmp_path / "p" / name)
    assert write_tile_tree(tmp_path / "p", tmp_path / "t", places={}) == 1
    assert (tmp_path / "t/18/70762/104119.png").read_bytes() == source.read_bytes()
    assert write_features(tmp_path / "p", tmp_path / "f.geojson", ["roof"], places={}) == 1
    feature = json.loads((tmp_path / "f.geojson").read_text())["features"][0]
    west, south, east, north = TILE.bounds()
    ring = np.array(feature["geometry"]["coordinates"][0])
    assert feature["properties"]["class"] == "roof"
    assert ring[:, 0].min() == pytest.approx(west + (east - west) * 20 / 64)
    assert south < ring[:, 1].min() < ring[:, 1].max() < north


def test_a_chip_is_georeferenced_by_the_places_of_its_import(tmp_path: Path) -> None:
    mask(tmp_path / "p" / "scene_0_0.png")
    placed = mask_of_tile(np.zeros((64, 64), np.uint8), TILE)
    entry = {
        "name": "scene_0_0",
        "georeference": {"crs": placed.crs, "transform": list(placed.transform)[:6]},
    }
    (tmp_path / "places.jsonl").write_text(json.dumps(entry) + "\n")
    places = read_places(tmp_path)
    assert write_features(tmp_path / "p", tmp_path / "f.geojson", ["roof"], places=places) == 1
    with pytest.raises(StageError, match="the name of a tile"):
        write_tile_tree(tmp_path / "p", tmp_path / "t", places=places)


def test_footprints_exclude_predictions_where_the_scene_has_no_data(tmp_path: Path) -> None:
    mask(tmp_path / "p" / "scene_0_0.png")
    nodata = np.zeros((64, 64), bool)
    nodata[:, :35] = True
    placed = mask_of_tile(np.zeros((64, 64), np.uint8), TILE)
    entry = {
        "name": "scene_0_0",
        "georeference": {"crs": placed.crs, "transform": list(placed.transform)[:6]},
        "nodata": write_nodata(tmp_path, "scene_0_0", nodata),
    }
    (tmp_path / "places.jsonl").write_text(json.dumps(entry) + "\n")
    target = tmp_path / "f.geojson"
    assert write_features(tmp_path / "p", target, ["roof"], places=read_places(tmp_path)) == 1
    (feature,) = json.loads(target.read_text())["features"]
    assert feature["properties"]["area"] == pytest.approx(15 * 20 * placed.transform.a**2, rel=1e-4)
    (tmp_path / "nodata/scene_0_0.png").unlink()
    with pytest.raises(ManifestError, match="complete folder"):
        write_features(tmp_path / "p", target, ["roof"], places=read_places(tmp_path))


def test_masks_that_cannot_be_georeferenced_are_an_error(tmp_path: Path) -> None:
    mask(tmp_path / "p" / "photo.png")
    with pytest.raises(StageError, match="--places"):
        write_features(tmp_path / "p", tmp_path / "f.geojson", ["x"], places={})
    (tmp_path / "empty").mkdir()
    with pytest.raises(StageError, match="no predicted masks"):
        write_features(tmp_path / "empty", tmp_path / "f.geojson", ["x"], places={})


def test_an_invalid_places_file_is_rejected_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "places.jsonl").write_text("{")
    with pytest.raises(ManifestError, match=r"places\.jsonl"):
        read_places(tmp_path)
