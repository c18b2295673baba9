"""The report page with twelve classes on a desktop screen and on a phone."""

from __future__ import annotations

from typing import Any

import pytest
from test_portal_pages import violations

from gtseg.pipeline.stages.report.facts import Files
from gtseg.pipeline.stages.report.stage import render

NAMES = [f"class with a rather long name {n}" for n in range(1, 12)]
CLASSES = ["background", *NAMES]
SCORES = ("iou", "precision", "recall", "f1", "boundary_f1")


def draw_report() -> str:
    """The report page of an invented run with twelve classes."""
    whole = {"miou": 0.6, "pixel_accuracy": 0.9, "miou_foreground": 0.5, "miou_per_image": 0.6}
    evaluation = {
        **whole, "images": 40, "split": "test", "missing": [], "intervals": {key: [0.4, 0.7] for key in whole},
        "only_background": False,
        "classes": [{"name": name, "truth_pixels": 10, "intervals": {key: [0.4, 0.6] for key in SCORES},
        **dict.fromkeys(SCORES, 0.5)} for name in CLASSES],
        "confusion": [[1_234_567 if i == j else 98_765 for j in range(12)] for i in range(12)],
        "pixels": 120, "miou_builtin": 0.6, "void_pixels": 0, "endpoint": "land",
    }  # fmt: skip
    labeling = {
        "counters": {"TotalLabeled": 40}, "objects": 40, "by_machine": 0, "workforce": "private", "workers": 3,
        "trouble": "", "answers": 80, "sample": 40,
        "responses": 40, "seconds": {"median": 0.01}, "machine_share_good": None,
        "confidence": {"median": 0.8, "low": 0.5},
        "agreement": {"miou": 0.8, "pixels": 0.9, "classes": [{"name": name, "iou": 0.7} for name in CLASSES],
        "slow": 0, "off": 1},
    }  # fmt: skip
    facts = {
        "run": {"name": "land", "root": "s3://bucket/land/", "embedded": True,
        "where": "Made with gtseg's embedded AWS"},
        "made": "2026-11-30T00:00:00", "gtseg": "0", "evaluation": evaluation, "labeling": labeling, "training": None,
        "tuning": None, "endpoint": None,
        "stages": [{"stage": "evaluate", "did": "40 test images", "seconds": 0.02, "cost": None, "note": ""}],
        "prices": "a list",
        "left_out": [{"status": "failed", "reason": "an image that cannot be decoded", "count": 2,
        "example": "s3://bucket/" + "long/" * 20 + "a.jpg"}],
        "dataset": {"classes": CLASSES, "counts": {"train": 30}, "fingerprint": "0" * 64,
        "shares": {"train": dict.fromkeys(CLASSES, 1 / 12)}},
    }  # fmt: skip
    return render(facts, Files({}, [], []), panels=[], colors=["#9aa3ad"] * 12)


@pytest.mark.parametrize("width", [1200, 390])
def test_tables_of_twelve_classes_fit_at_1200_pixels_and_scroll_in_their_card_on_a_phone(
    open_page: Any, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 844})
    page.set_content(draw_report())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    cut = page.locator(".card").evaluate_all(
        "(cards) => cards.filter((card) => card.scrollWidth > card.clientWidth && "
        "getComputedStyle(card).overflowX !== 'auto').length"
    )
    assert cut == 0
    matrix = page.locator(".card:has(.matrix)")
    hidden = matrix.evaluate("(card) => card.scrollWidth - card.clientWidth")
    if width == 1200:
        assert hidden == 0
    else:
        matrix.evaluate("(card) => card.scrollTo(9999, 0)")
        name = matrix.locator("tbody th").first.bounding_box()
        assert 0 <= name["x"] < 60  # what the row is about stays in sight
    assert "0.0 s" not in page.locator("main").text_content()
    assert violations(page) == []
