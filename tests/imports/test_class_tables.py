"""Tables of classes as tools write them: CVAT's labelmap.txt, RoboSat's and neat-EO's TOML."""

from pathlib import Path

import pytest

from gtseg.errors import SettingsError
from gtseg.imports.mask_colors import parse_labelmap, read_table


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
def test_a_table_is_read_as_it_is(tmp_path: Path, name: str, text: str, codes: dict, by_index: bool) -> None:
    (tmp_path / name).write_text(text)
    table = read_table(tmp_path / name)
    assert (dict(table.codes), table.by_index, len(table.classes)) == (codes, by_index, 1)


@pytest.mark.parametrize("text", ["road 1 2 3", "road:1,2::", ":1,2,3::", "", "a:1,2,3::\na:3,2,1::"])
def test_a_line_of_another_form_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match=r"labelmap\.txt"):
        parse_labelmap(text, "labelmap.txt")
