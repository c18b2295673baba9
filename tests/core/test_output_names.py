import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.output_names import fold, require_unique, unique_names
from gtseg.errors import ManifestError


def test_a_name_is_the_stem_then_the_folders_then_the_suffix_then_a_digest() -> None:
    assert unique_names(["p/a.jpg", "q/b.jpg"]) == ["a", "b"]
    assert unique_names(["x/a.jpg", "y/a.jpg"]) == ["x-a", "y-a"]
    assert unique_names(["a.jpg", "a.png", "A.jpeg"]) == ["a-jpg", "a-png", "A-jpeg"]
    names = unique_names(["a/b-c.jpg", "a-b/c.jpg", "z/c.jpg", "z/b-c.jpg"])
    assert names[2:] == ["z-c", "z-b-c"]
    assert all(name.startswith(("a-b-c-jpg-", "a-b-c-")) for name in names[:2])
    assert names[0] != names[1]


def test_names_that_differ_only_in_case_or_unicode_form_get_distinct_names() -> None:
    composed, decomposed = "x/caf\u00e9.jpg", "y/cafe\u0301.jpg"
    assert len({fold(name) for name in unique_names([composed, decomposed, "z/CAFÉ.jpg"])}) == 3


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=12), unique=True, max_size=12))
def test_names_are_unique_safe_and_independent_of_the_order(paths: list[str]) -> None:
    paths = [p for p in paths if p.strip("/.")]
    try:
        names = unique_names(paths)
    except ManifestError:  # two spellings of one path, such as a//b and a/b
        return
    assert len(set(map(fold, names))) == len(paths)
    assert not any("/" in name or "\\" in name or name.startswith(".") or len(name.encode()) > 200 for name in names)
    assert dict(zip(paths, names, strict=True)) == dict(zip(reversed(paths), unique_names(paths[::-1]), strict=True))


def test_two_sources_with_equal_names_are_an_error_that_names_them() -> None:
    with pytest.raises(ManifestError, match=r"a\.jpg and A\.png"):
        require_unique(["a", "A"], ["a.jpg", "A.png"])
