from pathlib import Path

import pytest
from geo_files import HOUSE, write_features, write_scene

from gtseg.errors import ManifestError
from gtseg.imports.outcomes import Skipped
from gtseg.imports.scene_pairs import pair_scenes


def test_feature_files_are_paired_by_stem_and_folder_without_cloud_masks(tmp_path: Path) -> None:
    for name in ("a", "b", "x/same", "y/same"):
        write_scene(tmp_path / f"s/{name}.tif")
    for name in ("a_Buildings", "a_UDM", "b", "c", "x/same", "y/same"):
        write_features(tmp_path / f"l/{name}.geojson", HOUSE)
    scenes, losses = pair_scenes(tmp_path / "s", tmp_path / "l")
    found = {s.name: s.features[0].relative_to(tmp_path / "l").as_posix() for s in scenes}
    assert found == {
        "a": "a_Buildings.geojson",
        "b": "b.geojson",
        "x-same": "x/same.geojson",
        "y-same": "y/same.geojson",
    }
    assert sorted((loss.kind, loss.reason) for loss in losses) == [
        ("note", "auxiliary file of a scene, without labels"),
        ("outside", "no matching scene"),
    ]


def test_a_scene_with_two_matching_feature_files_is_skipped(tmp_path: Path) -> None:
    write_scene(tmp_path / "s/a.tif")
    for name in ("x/a", "y/a"):
        write_features(tmp_path / f"l/{name}.geojson", HOUSE)
    scenes, losses = pair_scenes(tmp_path / "s", tmp_path / "l")
    assert scenes == []
    assert [loss.reason.partition(",")[0] for loss in losses if isinstance(loss, Skipped)] == [
        "2 feature files match it"
    ]


@pytest.mark.parametrize(("folder", "message"), [("empty", "no GeoTIFF found"), ("missing", "not found")])
def test_a_folder_without_scenes_is_an_error(tmp_path: Path, folder: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match=message):
        pair_scenes(tmp_path / folder, None)
