from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gtseg.imports.file_matching import ImageIndex, plain_path

ROOT = Path("/photos")


def index(*names: str) -> ImageIndex:
    return ImageIndex(ROOT, [ROOT / name for name in names])


def test_the_file_with_the_most_common_last_parts_is_found() -> None:
    files = index("a/x.jpg", "b/x.jpg", "y.jpg")
    assert files.find("data/b/x.jpg") == ROOT / "b/x.jpg"
    assert "2 files of the folder match it" in str(files.find("c/x.jpg"))
    assert files.find("c/y.jpg") == ROOT / "y.jpg"
    assert not files.matches_fully("c/z/y.jpg", ROOT / "a/x.jpg")


def test_a_name_without_a_file_returns_the_reason() -> None:
    assert index("a.jpg").find("b.jpg") == "image not found in the folder"
    assert index("a.jpg").find("") == "image not found in the folder"


@given(st.text(max_size=30))
def test_the_path_of_any_name_is_relative_and_without_parent_folders(name: str) -> None:
    path = plain_path(name)
    assert not path.is_absolute()
    assert ".." not in path.parts
