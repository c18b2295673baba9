from __future__ import annotations

import re

import pytest

from gtseg.core.labeling.task_template import task_template
from gtseg.errors import SettingsError
from gtseg.settings.templates import read_template

SHIPPED = read_template("template.liquid")


def fill(text: str = SHIPPED, *, header: str = "Cats", instructions: str = "Mark cats.") -> str:
    return task_template(text, header=header, instructions=instructions).decode()


def test_the_shipped_template_has_every_part_that_ground_truth_needs() -> None:
    filled = fill()
    assert 'header="Cats"' in filled
    assert "<p>Mark cats.</p>" in filled
    assert "[[" not in filled


@pytest.mark.parametrize(
    "part",
    [
        "crowd-form",
        "crowd-semantic-segmentation",
        "task.input.taskObject | grant_read_access",
        "task.input.labels",
    ],
)
def test_a_template_without_a_required_part_is_refused_by_its_name(part: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(part)):
        fill(SHIPPED.replace(part, "div"))


def test_plain_instructions_cannot_become_markup_or_liquid() -> None:
    filled = fill(header='a "b" <c>', instructions="5 < 6 & {{ task.input }}\n\nsecond")
    assert 'header="a &quot;b&quot; &lt;c&gt;"' in filled
    assert "5 &lt; 6 &amp; &#123;&#123; task.input &#125;&#125;" in filled
    assert "<p>second</p>" in filled


def test_html_instructions_are_unchanged() -> None:
    assert "<ul><li>x</li></ul>" in fill(instructions="<ul><li>x</li></ul>")


def test_a_template_of_more_than_128000_characters_is_refused() -> None:
    with pytest.raises(SettingsError, match="128,000"):
        fill(SHIPPED + "x" * 128_000)
