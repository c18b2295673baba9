"""A worker revises submitted work, gets work sent back by the owner, skips an image and asks about a place on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from playwright.sync_api import expect
from portal_helpers import Pointer, PortalJob, begin, draw_photo, encode, enter, make_job
from test_portal_outages import dots
from test_portal_owner import dab, own
from test_portal_pages import violations
from test_portal_whole_job import leave_empty_handed, submit, submit_and_await_next


def pictures(*names: str) -> dict[str, bytes]:
    return {f"{name}.png": encode(draw_photo(), "PNG") for name in names}


def start(aws: Any, open_page: Any, job: str, names: str, **more: Any) -> tuple[PortalJob, Any]:
    """Create a job over `count` images and open the first one as its worker."""
    portal_job = make_job(aws, pictures(*names), job=job, **more)
    page = open_page(bypass_csp=True)
    enter(page, portal_job.links["Ada"])
    begin(page)
    return portal_job, page


def wait_ready(page: Any) -> None:
    page.locator("#work:not([inert]) [data-ready]").wait_for()


def test_the_last_answer_can_be_reopened_and_changed_and_counts_once(shared_aws: Any, open_page: Any) -> None:
    portal_job, page = start(shared_aws, open_page, "back", "ab")
    dab(page, 60.3, 60.4)
    submit_and_await_next(page)
    dab(page, 200.3, 60.4)  # on the second image; it is there again afterwards
    page.keyboard.press("Shift+B")
    expect(page.get_by_role("button", name="Submit changes")).to_be_enabled()
    expect(page.get_by_role("button", name="Decline")).to_be_hidden()
    dab(page, 100.3, 60.4)
    submit_and_await_next(page)
    expect(page.locator(".message")).to_have_text("Your earlier work on this image was restored.")
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    first, second = portal_job.masks()
    assert np.array_equal(first, dots((60.3, 60.4), (100.3, 60.4)))
    assert np.array_equal(second, dots((200.3, 60.4)))
    assert len(portal_job.answers()) == 2
    page.keyboard.press("Shift+B")  # without an editor the key does nothing
    page.get_by_role("button", name="Back", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Your submitted answers can no longer be changed")


def test_submitted_answers_are_listed_and_can_be_opened(shared_aws: Any, open_page: Any) -> None:
    portal_job, page = start(shared_aws, open_page, "listed", "ab")
    dab(page, 60.3, 60.4)
    submit_and_await_next(page)
    page.get_by_role("link", name="gtseg").click()
    card = page.locator("article", has_text="1 done by you")
    card.get_by_role("link", name="What you submitted").click()
    expect(page.get_by_role("heading", name="a.png")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Change a.png").click()
    wait_ready(page)
    expect(page.locator(".share").first).not_to_have_text("0%")
    dab(page, 100.3, 60.4)
    page.get_by_role("button", name="Keep as it was").click()
    wait_ready(page)
    expect(page.get_by_role("button", name="Submit", exact=True)).to_be_enabled()
    dab(page, 60.3, 60.4)
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    assert np.array_equal(portal_job.masks()[0], dots((60.3, 60.4)))
    page.goto(f"{shared_aws.url}/_portal/submitted/listed")
    expect(page.get_by_text("Done: it cannot be changed any more")).to_have_count(2)


def test_a_returned_answer_is_shown_with_the_owners_comment_and_the_drawing(shared_aws: Any, open_page: Any) -> None:
    portal_job, page = start(shared_aws, open_page, "returned", "ab")
    dab(page, 60.3, 60.4)
    submit_and_await_next(page)
    owner = open_page()
    own(owner, shared_aws, "returned")
    owner.get_by_role("button", name="Review", exact=True).click()
    owner.keyboard.press("s")
    expect(owner.get_by_role("dialog").get_by_role("status")).to_contain_text("Write what to change")
    owner.keyboard.type("the ear, please")
    owner.keyboard.press("Control+Enter")
    expect(owner.get_by_text("0 was sent back").or_(owner.get_by_text("None."))).to_be_visible()
    dab(page, 200.3, 60.4)
    submit_and_await_next(page)
    expect(page.locator(".said")).to_contain_text("Sent back by the owner: the ear, please")
    expect(page.locator(".share").first).not_to_have_text("0%")
    dab(page, 100.3, 60.4)
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    first, second = portal_job.masks()
    assert np.array_equal(first, dots((60.3, 60.4), (100.3, 60.4)))
    assert np.array_equal(second, dots((200.3, 60.4)))


def test_a_question_is_pinned_answered_and_read_while_the_image_is_skipped(shared_aws: Any, open_page: Any) -> None:
    portal_job, page = start(shared_aws, open_page, "asked", "ab")
    page.keyboard.press("Shift+M")
    Pointer(page, 320, 240).click(160, 120)
    page.get_by_label("Your question about this place").fill("Cat or fox?")
    page.get_by_role("button", name="Ask", exact=True).last.click()
    pin = page.get_by_role("button", name="Your question: Cat or fox?")
    expect(pin).to_be_visible()
    box, stage = pin.bounding_box(), Pointer(page, 320, 240).at(160, 120)
    assert abs(box["x"] + box["width"] / 2 - stage[0]) < 2
    page.keyboard.press("Shift+N")
    expect(pin).to_have_count(0)  # the other image
    owner = open_page(bypass_csp=True)
    own(owner, shared_aws)
    expect(owner.get_by_text("1 question to answer")).to_be_visible()
    own(owner, shared_aws, "asked")
    question = owner.locator(".question")
    expect(question).to_contain_text("Cat or fox?")
    assert question.locator(".pin").evaluate("(pin) => pin.style.left") == "50%"
    assert violations(owner) == []
    question.get_by_role("textbox").fill("A fox: leave it out")
    question.get_by_role("button", name="Answer").click()
    expect(question).to_contain_text("Your answer: A fox: leave it out")
    wait_ready(page)
    dab(page, 60.3, 60.4)
    submit_and_await_next(page)
    expect(page.locator(".said")).to_contain_text("You asked: Cat or fox?: A fox: leave it out")
    assert violations(page) == []
    page.keyboard.press("Shift+N")
    expect(page.get_by_role("alert")).to_contain_text("the only image available to you")
    dab(page, 60.3, 60.4)
    submit(page)
    leave_empty_handed(page)
    assert portal_job.await_status()["LabelCounters"]["FailedNonRetryableError"] == 0


def test_a_reviewers_comment_is_shown_beside_the_image_to_correct(shared_aws: Any, open_page: Any) -> None:
    review = {
        "type": "groundtruth/label-verification",
        "class-name": "bad",
        "worker-feedback": [{"comment": "<b>The left ear</b> is missing"}],
    }
    _, page = start(shared_aws, open_page, "remark", "a", entry={"review": "1", "review-metadata": review})
    expect(page.locator(".said")).to_have_text("A reviewer says: <b>The left ear</b> is missing")
