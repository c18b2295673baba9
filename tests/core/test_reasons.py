from __future__ import annotations

import pytest

from gtseg.core.reasons import kind_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "mask: 12 of its 9,216 pixels have a color without a label: #ff0000 (12 px). Its labels are cat #2ca02c.",
            "mask: 1,234 of its 96 pixels have a color without a label: #00ff00 (3 px), #0000ff (2 px) and 9 more.",
        ),
        ("confidence 0.31 is below min_confidence 0.5", "confidence 0.4 is below min_confidence 0.5"),
        ("image cannot be read: NoSuchKey: s3://b/a b.jpg", "image cannot be read: NoSuchKey: s3://b/c.jpg"),
        ("mask: it is 10x20 pixels, its image 30x40", "mask: it is 11x20 pixels, its image 31x40"),
    ],
)
def test_reasons_that_differ_in_numbers_and_names_are_grouped(one: str, other: str) -> None:
    assert kind_of(one) == kind_of(other)


def test_different_reasons_are_not_grouped() -> None:
    reasons = [
        "image cannot be read: NoSuchKey: x",
        "image cannot be read: AccessDenied: x",
        "mask: it is cut off",
    ]
    assert len({kind_of(reason) for reason in reasons}) == 3
