from pathlib import Path

import numpy as np
import pytest
from geo_files import BUILDING, UTM, import_scenes, write_scene
from PIL import Image

from gtseg.errors import ManifestError
from gtseg.imports.geo_settings import GeoSettings, read_chip_grid, read_stretch
from gtseg.imports.scene_pairs import Scene


def test_a_new_scene_gets_the_chip_size_and_stretch_of_an_earlier_import(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    dark = write_scene(tmp_path / "dark.tif", rng.integers(0, 1000, (3, 64, 64), dtype=np.uint16), **UTM)
    bright = write_scene(tmp_path / "bright.tif", rng.integers(5000, 9000, (3, 64, 64), dtype=np.uint16), **UTM)
    import_scenes(tmp_path / "first", GeoSettings(BUILDING, chip=32, bands=(3, 2, 1)), Scene(str(dark), (), "dark"))
    assert read_chip_grid(tmp_path / "first") == (32, 0, (3, 2, 1))
    settings = GeoSettings(BUILDING, chip=32, bands=(3, 2, 1), stretch=read_stretch(tmp_path / "first"))
    import_scenes(tmp_path / "second", settings, Scene(str(bright), (), "bright"))
    assert np.asarray(Image.open(tmp_path / "second" / "images" / "bright_0_0.jpg")).min() > 250


def test_a_folder_that_is_no_import_of_scenes_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="--like"):
        read_chip_grid(tmp_path)


def test_an_import_without_a_stretch_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "places.jsonl").write_text('{"name": "a"}\n')
    with pytest.raises(ManifestError, match="has no stretch"):
        read_stretch(tmp_path)
