"""Suggested masks on the page: accepting, clearing and correcting objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import expect
from portal_helpers import Pointer, PortalJob, draw_photo, encode, enter, make_job, png_of

from gtseg.local.labeling.assist.records import may_have_suggestion

DISC = (np.mgrid[:240, :320][1] - 160) ** 2 + (np.mgrid[:240, :320][0] - 120) ** 2 < 60**2
SPOT = np.zeros((240, 320), bool)
SPOT[10:30, 10:40] = True
CORNER = np.zeros((240, 320), bool)
CORNER[100:140, 215:260] = True
CORNER &= ~DISC


class Numbered:
    """A job with the reference that decides which objects open without a suggestion."""

    def __init__(self, reference: str) -> None:
        self.reference = reference


def open_suggested(aws: Any, open_page: Any, name: str, *, excess: Any = False) -> tuple[PortalJob, Any]:
    """A page whose image opens with two suggested objects: a disc with an excess, and a smaller spot."""
    for number in range(9):
        portal_job = make_job(aws, {"a.png": encode(draw_photo(), "PNG")}, job=f"{name}-{number}")
        described = portal_job.describe()
        if may_have_suggestion(Numbered(described["JobReferenceCode"]), 0):  # type: ignore[arg-type]
            break
    tags = [{"Key": "gtseg:assist", "Value": "true"}]
    aws.client("sagemaker").add_tags(ResourceArn=described["LabelingJobArn"], Tags=tags)
    folder = Path(aws.folder) / "labeling" / described["JobReferenceCode"] / "assist" / "round-1"
    (folder / "output" / "masks").mkdir(parents=True)
    mask = (DISC | excess) * np.uint8(1) + SPOT * np.uint8(2)
    Image.fromarray(mask.astype(np.uint8)).save(folder / "output" / "masks" / "000000.png")
    (folder / "ready.json").write_text(json.dumps({"model": "m/assist-1", "objects": 1000}))
    page = open_page()
    enter(page, portal_job.links["Ada"])
    page.goto(f"{aws.url}/_portal/work/{portal_job.job}")
    page.locator("[data-ready]").wait_for()
    page.get_by_role("button", name="Close", exact=True).click()
    return portal_job, page


def test_one_key_accepts_an_object_and_the_others_are_not_in_the_answer(shared_aws: Any, open_page: Any) -> None:
    portal_job, page = open_suggested(shared_aws, open_page, "taken")
    expect(page.locator(".suggested")).to_have_count(2)
    expect(page.locator(".message")).to_contain_text("A model suggests 2 objects")
    page.keyboard.press("s")  # the pointer is nowhere: the largest
    expect(page.locator(".suggested")).to_have_count(1)
    page.keyboard.press("Control+Enter")
    portal_job.await_status()
    (answer,) = portal_job.answers()
    drawn = png_of(answer)[..., 3] > 0
    assert (drawn == DISC).all()
    assert answer["suggestedBy"] == "m/assist-1"


def test_the_object_under_the_pointer_can_be_accepted_undone_and_cleared(shared_aws: Any, open_page: Any) -> None:
    _, page = open_suggested(shared_aws, open_page, "undone")
    share = page.get_by_role("button", name="dog").locator(".share")
    page.mouse.move(*Pointer(page, 320, 240).at(20, 20))
    page.keyboard.press("s")
    expect(share).not_to_have_text("0%")
    page.keyboard.press("Control+z")
    expect(share).to_have_text("0%")
    expect(page.locator(".suggested")).to_have_count(2)
    page.keyboard.press("Control+Shift+z")
    expect(share).not_to_have_text("0%")
    page.keyboard.press("d")
    expect(page.locator(".suggested")).to_have_count(0)
    page.reload()
    page.locator("[data-ready]").wait_for()
    expect(page.locator(".suggested")).to_have_count(1)  # the other was taken before


def test_an_unaccepted_suggestion_is_not_in_the_answer(shared_aws: Any, open_page: Any) -> None:
    _, page = open_suggested(shared_aws, open_page, "untouched")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Nothing is labeled")


def test_one_key_accepts_all_objects_in_one_step(shared_aws: Any, open_page: Any) -> None:
    _, page = open_suggested(shared_aws, open_page, "all")
    shares = [page.get_by_role("button", name=name).locator(".share") for name in ("cat", "dog")]
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".suggested")).to_have_count(0)
    for share in shares:
        expect(share).not_to_have_text("0%")
    page.keyboard.press("Control+z")
    expect(page.locator(".suggested")).to_have_count(2)
    for share in shares:
        expect(share).to_have_text("0%")
    page.keyboard.press("Control+Shift+z")
    expect(page.locator(".suggested")).to_have_count(0)
    page.keyboard.press("Control+z")
    page.keyboard.press("?")
    page.evaluate("""() => {
        const close = document.querySelector("dialog[open] button");
        close.focus();
        close.click();
        close.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", shiftKey: true, bubbles: true }));
    }""")  # a button that closed its dialog keeps the focus until the next frame
    expect(page.locator(".suggested")).to_have_count(0)


def test_a_right_click_clears_an_object_and_clicks_correct_an_accepted_one(shared_aws: Any, open_page: Any) -> None:
    """The suggested disc has a corner too much; a click on it starts from the suggested mask."""
    portal_job, page = open_suggested(shared_aws, open_page, "corrected", excess=CORNER)
    pointer = Pointer(page, 320, 240)
    page.mouse.click(*pointer.at(20, 20), button="right")
    expect(page.locator(".suggested")).to_have_count(1)
    page.mouse.click(*pointer.at(160, 120))
    expect(page.locator(".suggested")).to_have_count(0)
    count = "() => document.querySelector('crowd-semantic-segmentation').map.counts[1]"
    taken = int((DISC | CORNER).sum())
    assert page.evaluate(count) == taken
    page.mouse.click(*pointer.at(240, 120), button="right")
    expect(page.locator(".marks .click.outside")).to_have_count(1)
    page.wait_for_function(f"() => ({count})() < {taken}")
    page.keyboard.press("Control+z")  # the click is taken back
    page.wait_for_function(f"() => ({count})() === {taken}")
    page.keyboard.press("Enter")
    page.mouse.click(*pointer.at(240, 120), button="right")  # the object is taken, and the click opens it again
    page.wait_for_function(f"() => ({count})() < {taken}")
    page.keyboard.press("Control+Enter")
    portal_job.await_status()
    (answer,) = portal_job.answers()
    drawn = png_of(answer)[..., 3] > 0
    assert not drawn[120, 240]
    assert (drawn & ~DISC).sum() < CORNER.sum() / 4
    assert drawn[DISC].mean() > 0.98
