"""Plan of a dataset: the objects below channels/ that belong to it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.training.channels import annotation_key, image_key, label_maps
from gtseg.core.training.splits import PARTS
from gtseg.pipeline.stages.dataset.ledger import Ledger
from gtseg.pipeline.stages.dataset.plan import Plan

NAMES = st.text("abAB01_-", min_size=1, max_size=6)
NAMED = st.dictionaries(NAMES, st.sampled_from(PARTS), max_size=8)
KEYS = st.builds(
    "{}/{}{}".format, st.sampled_from([*PARTS, *(f"{p}_annotation" for p in PARTS), ""]), NAMES,
    st.sampled_from([".jpg", ".png", ".JPG", ""]),
)  # fmt: skip


def plan_of(parts: Any) -> Plan:
    return Plan(lines=None, manifest_etag="", classes=None, earlier=None, findings={}, placements={}, parts=parts,
                missing=0, spread=())  # type: ignore[arg-type]  # fmt: skip


@given(parts=NAMED, others=st.lists(KEYS))
def test_a_plan_holds_the_image_and_the_annotation_of_each_name_and_nothing_else(
    parts: dict[str, str], others: list[str]
) -> None:
    wanted = {key for name, part in parts.items() for key in (image_key(part, name), annotation_key(part, name))}
    plan = plan_of(parts)
    assert {key for key in {*wanted, *others} if plan.holds(key)} == wanted


@given(NAMED)
def test_a_plan_holds_the_same_with_its_table_on_disk(parts: dict[str, str]) -> None:
    with Ledger() as ledger:
        table = ledger.table(str, str)
        table.update(parts)
        plan = plan_of(table)
        assert all(plan.holds(image_key(part, name)) for name, part in parts.items())
        assert not plan.holds(image_key("train", "never-used-0"))


def test_a_plan_does_not_hold_the_key_of_another_split() -> None:
    plan = plan_of({"cat": "train"})
    assert plan.holds("train/cat.jpg")
    assert plan.holds("train_annotation/cat.png")
    for key in ("validation/cat.jpg", "train/cat.png", "train_annotation/cat.jpg", "train/cat", "cat.jpg", ""):
        assert not plan.holds(key)


def test_a_plan_does_not_hold_label_maps() -> None:
    plan = plan_of({"train_label_map": "train"})
    assert not any(plan.holds(key) for key in label_maps())
