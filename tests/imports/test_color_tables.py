import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gtseg.errors import MaskError, SettingsError
from gtseg.imports.color_tables import parse_labelmap, parse_table, propose_table, read_table, table_of_label_map
from gtseg.imports.mask_colors import count_codes, decode_mask


@pytest.mark.parametrize(
    ("name", "text", "codes", "by_index"),
    [
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:1,2,3::\n",
            {0: 0, 0x010203: 1},
            False,
        ),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:::\nroad:::\n", {0: 0, 0x800000: 1}, False),
        ("d.toml", '[common]\nclasses = ["background", "road"]\ncolors = ["denim", "orange"]\n', {0: 0, 1: 1}, True),
        ("c.toml", '[[classes]]\ntitle = "Background"\n[[classes]]\ntitle = "Road"\n', {0: 0, 1: 1}, True),
        (
            "t.json",
            '{"Background": "#000000", "road": "#010203", "ignore": [9, 9, 9]}',
            {0: 0, 0x010203: 1, 0x090909: 255},
            False,
        ),
    ],
)
def test_tables_of_cvat_robosat_neat_eo_and_json_are_read(
    tmp_path: Path, name: str, text: str, codes: dict, by_index: bool
) -> None:
    (tmp_path / name).write_text(text)
    table = read_table(tmp_path / name)
    assert (dict(table.codes), table.by_index, len(table.classes)) == (codes, by_index, 1)


@pytest.mark.parametrize("text", ["road 1 2 3", "road:1,2::", ":1,2,3::", "", "a:1,2,3::\na:3,2,1::"])
def test_an_invalid_labelmap_is_rejected_with_its_name(text: str) -> None:
    with pytest.raises(SettingsError, match=r"labelmap\.txt"):
        parse_labelmap(text, "labelmap.txt")


@pytest.mark.parametrize(
    "entries",
    [
        {"a": "red"},
        {"a": [1, 2, 300]},
        {"a": "#00ff00", "b": "#00ff00"},
        {"background": "#000000"},
        {"a": "#zzzzzz"},
    ],
)
def test_an_invalid_table_is_rejected(entries: dict) -> None:
    with pytest.raises(SettingsError):
        parse_table(entries)


def test_a_table_is_proposed_from_the_values_of_the_masks() -> None:
    counts = count_codes(np.array([[0xFFFFFF, 0xFF0000, 0x00FF00]], np.uint32))
    assert propose_table(counts, by_index=False) == {
        "background": "#ffffff",
        "class-1": "#00ff00",
        "class-2": "#ff0000",
    }
    assert propose_table(Counter({0: 9, 1: 3, 4: 2, 255: 1}), by_index=True) == {
        "background": 0,
        "class-1": 1,
        "class-4": 4,
        "void": 255,
    }


def test_no_table_is_proposed_for_a_photograph() -> None:
    with pytest.raises(MaskError, match="different colors"):
        propose_table(Counter(range(100)), by_index=False)


def test_a_label_map_maps_class_to_stored_value(tmp_path: Path) -> None:
    """Contract of the built-in algorithm: {"0": 5, "1": 0, "2": 2} decodes [0, 5, 2] to [1, 0, 2]."""
    (tmp_path / "map.json").write_text(json.dumps({"map": {"0": 5, "1": 0, "2": 2}}))
    codes = np.array([[0, 5, 2, 255]], np.uint32)
    assert decode_mask(codes, read_table(tmp_path / "map.json"), "m.png").tolist() == [[1, 0, 2, 255]]


def test_a_label_map_can_have_a_scale() -> None:
    table = table_of_label_map({"scale": "3"}, [f"c{i}" for i in range(1, 85)])
    assert decode_mask(np.array([[0, 2, 3, 8]], np.uint32), table, "m.png").tolist() == [[0, 0, 1, 2]]
