from pathlib import Path

import numpy as np
import pytest
from geo_files import BUILDING, DATA, write_scene

from gtseg.errors import ManifestError
from gtseg.imports.geo import import_geo, note_unused_bands
from gtseg.imports.geo_settings import GeoSettings
from gtseg.imports.scene_pairs import Scene, pair_scenes


def test_a_repeated_import_keeps_finished_scenes_and_resumes_after_an_interruption(tmp_path: Path) -> None:
    scenes, _ = pair_scenes(DATA / "images", DATA / "features")
    settings = GeoSettings(BUILDING, chip=90)
    import_geo(scenes[:2], tmp_path, settings, name="geo", workers=1)
    with (tmp_path / "journal.jsonl").open("a") as journal:
        journal.write('{"key": "half')
    first = (tmp_path / "masks" / f"{scenes[0].name}_0_0.png").stat().st_mtime_ns
    report = import_geo(scenes, tmp_path, settings, name="geo", workers=1)
    assert report.images == 5
    assert (tmp_path / "masks" / f"{scenes[0].name}_0_0.png").stat().st_mtime_ns == first


def test_a_folder_of_an_import_with_other_settings_is_rejected(tmp_path: Path) -> None:
    scenes, _ = pair_scenes(DATA / "images", DATA / "features")
    import_geo(scenes[:1], tmp_path, GeoSettings(BUILDING, chip=90), name="geo", workers=1)
    with pytest.raises(ManifestError, match="other settings"):
        import_geo(scenes[:1], tmp_path, GeoSettings(BUILDING, chip=64), name="geo", workers=1)


def test_scenes_beyond_the_limit_are_noted(tmp_path: Path) -> None:
    scenes, _ = pair_scenes(DATA / "images", DATA / "features")
    report = import_geo(scenes, tmp_path, GeoSettings(BUILDING, chip=90), name="geo", limit=2, workers=1)
    beyond = [item for item in report.skipped if item.reason == "beyond --limit"]
    assert (report.images, len(beyond), report.account.exit_code) == (2, 3, 0)


def test_unused_bands_are_noted_unless_bands_are_selected(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "four.tif", np.ones((4, 8, 8), np.uint16))
    (note,) = note_unused_bands([Scene(str(path), (), "a")], GeoSettings(BUILDING))
    assert (note.kind, "4 bands, of which 1, 2, 3 are used" in note.text) == ("note", True)
    assert note_unused_bands([Scene(str(path), (), "a")], GeoSettings(BUILDING, bands=(4,))) == []
