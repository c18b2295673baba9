from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gtseg.imports.file_matching import ImageIndex, plain_path

ROOT = Path("/photos")


def index(*names: str) -> ImageIndex:
    return ImageIndex(ROOT, [ROOT / name for name in names])


def test_the_file_that_agrees_the_longest_is_meant() -> None:
    files = index("a/x.jpg", "b/x.jpg", "y.jpg")
    assert files.find("data/b/x.jpg") == ROOT / "b/x.jpg"
    assert "2 files of the folder could be it" in str(files.find("c/x.jpg"))
    assert files.find("c/y.jpg") == ROOT / "y.jpg"
    assert not files.is_whole("c/z/y.jpg", ROOT / "a/x.jpg")


def test_no_such_image_is_words() -> None:
    assert index("a.jpg").find("b.jpg") == "no such image in the folder"
    assert index("a.jpg").find("") == "no such image in the folder"


@given(st.text(max_size=30))
def test_any_name_is_a_relative_path_without_steps_up(name: str) -> None:
    path = plain_path(name)
    assert not path.is_absolute()
    assert ".." not in path.parts
