"""The owner's review page: verdicts of a verification, one key per verdict, work sent back, filters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect
from portal_helpers import begin, draw_photo, encode, enter, make_job
from test_portal_owner import dab, own
from test_portal_pages import violations
from test_portal_verdict import make_verification, open_verdict
from test_portal_whole_job import leave_empty_handed, submit, submit_and_await_next

PICTURES = {f"{name}.png": encode(draw_photo(), "PNG") for name in "abc"}


def broken_pictures(page: Any) -> list[str]:
    """Wait for all images; return the URLs of those that failed to load."""
    page.locator(".layered img").first.wait_for()
    script = """async () => {
        const images = [...document.querySelectorAll(".layered img, .pinned img")];
        await Promise.all(images.map((image) => (image.loading = "eager", image.decode().catch(() => null))));
        return images.filter((image) => !image.naturalWidth).map((image) => image.src);
    }"""
    return page.evaluate(script)  # type: ignore[no-any-return]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_verification_shows_verdicts_comments_and_workers_and_suggests_adjust(
    shared_aws: Any, open_page: Any, scheme: str
) -> None:
    job = f"shown-{scheme}"
    portal_job = make_verification(shared_aws, job)
    judge = open_page()
    open_verdict(judge, portal_job.links["Judge"])
    judge.keyboard.press("2")
    judge.keyboard.press("n")
    judge.keyboard.type("the left ear")
    judge.keyboard.press("Control+Enter")
    leave_empty_handed(judge)
    portal_job.await_status()
    owner = open_page(bypass_csp=True, color_scheme=scheme)
    own(owner, shared_aws, job)
    verdicts = owner.locator(".verdicts")
    expect(verdicts).to_contain_text(f"Judge {job}: bad")
    expect(verdicts.locator("q")).to_have_text("the left ear")
    expect(owner.locator(".figures")).to_contain_text("bad")
    expect(owner.locator("#head")).to_contain_text("1 of 1 objects judged")
    expect(owner.locator("#head")).to_contain_text("gtseg adjust --bad")
    assert "IoU" not in owner.locator("body").inner_text()
    assert broken_pictures(owner) == []
    assert owner.locator(".layered img.index").count() == 1
    assert violations(owner) == []
    owner.get_by_role("button", name="Review", exact=True).click()
    expect(owner.get_by_role("dialog")).to_contain_text("the left ear")
    assert violations(owner) == []


def test_objects_are_reviewed_with_one_key_each_and_bad_ones_downloaded_for_adjust(
    shared_aws: Any, open_page: Any
) -> None:
    portal_job = make_job(shared_aws, PICTURES, job="reviewed", labels=("cat", "dog"))
    page = open_page()
    enter(page, portal_job.links["Ada"])
    begin(page)
    for number in range(3):
        page.keyboard.press("1")  # the label chosen before stays
        dab(page)
        if number == 1:
            page.keyboard.press("2")
            dab(page, 100.3, 60.4)
        (submit if number == 2 else submit_and_await_next)(page)
    leave_empty_handed(page)
    portal_job.await_status()
    owner = open_page()
    own(owner, shared_aws, "reviewed")
    owner.get_by_role("button", name="Review", exact=True).click()
    dialog = owner.get_by_role("dialog")
    expect(dialog).to_contain_text("0 · a.png")
    expect(dialog.get_by_role("button", name="Send back")).to_be_disabled()
    owner.keyboard.press("g")
    expect(dialog).to_contain_text("1 · b.png")
    owner.keyboard.press("c")
    owner.keyboard.type("bad ears")  # letters are no verdicts here
    owner.keyboard.press("Escape")
    owner.keyboard.press("b")
    expect(dialog).to_contain_text("2 · c.png")
    owner.keyboard.press("ArrowLeft")
    expect(dialog.get_by_label("Comment")).to_have_value("bad ears")
    expect(dialog.get_by_role("button", name="Bad")).to_have_attribute("aria-pressed", "true")
    owner.keyboard.press("Escape")
    expect(owner.locator("#head")).to_contain_text("1 good, 1 bad")
    with owner.expect_download() as download:
        owner.get_by_role("link", name="Download the bad ones").click()
    lines = download.value.path().read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"source-ref": "s3://labels/reviewed/b.png", "comments": ["bad ears"]}
    ]
    expect(owner.locator("#head")).to_contain_text("gtseg adjust --job reviewed --only reviewed-redo.jsonl")

    found = owner.locator("#found")
    owner.get_by_label("Your verdict").select_option("none")
    expect(found).to_have_text("1 object")
    owner.get_by_label("Your verdict").select_option("")
    owner.locator("#label").select_option("dog")
    expect(owner.locator(".object")).to_have_count(1)
    expect(owner.locator(".object")).to_contain_text("1 · b.png")
    owner.locator("#label").select_option("")
    owner.locator("#worker").select_option(label="Ada reviewed")
    expect(found).to_have_text("3 objects")
    owner.get_by_label("Confidence").select_option("0.5")  # one worker's has none
    expect(found).to_have_text("0 objects")
