import pytest

from gtseg.core.plurals import counted


@pytest.mark.parametrize(
    ("number", "noun", "plural", "words"),
    [
        (0, "image", "", "0 images"),
        (1, "image", "", "1 image"),
        (1250, "image", "", "1,250 images"),
        (1, "class", "classes", "1 class"),
        (2, "class", "classes", "2 classes"),
        (2, "image needs", "images need", "2 images need"),
    ],
)
def test_a_count_agrees_with_its_noun(number: int, noun: str, plural: str, words: str) -> None:
    assert counted(number, noun, plural) == words
