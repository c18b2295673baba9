"""Server failures and expired leases during a task."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from playwright.sync_api import expect
from portal_helpers import Pointer, begin, draw_photo, encode, enter, make_job
from test_portal_whole_job import disc, leave_empty_handed, submit

BACK = "Your earlier work on this image was restored."


def dab(page: Any, x: float, y: float) -> None:
    """Draw a dot of eight pixels, and wait until the page reports it as saved."""
    page.keyboard.press("b")
    Pointer(page, 320, 240).drag((x, y), (x, y))
    expect(page.locator("#saved")).to_have_text("Saved")


def dots(*places: tuple[float, float]) -> np.ndarray:
    mask = np.zeros((240, 320), np.uint8)
    for x, y in places:
        disc(mask, x, y, 4, value=1)
    return mask


def restart_later(aws: Any, sql: str = "") -> None:
    """Restart the server on its port and data folder; `sql` changes times in its database before."""
    if sql:
        aws.change_state(sql, time.time() - 1)
    aws.start(port=aws.port)


def test_a_killed_server_loses_nothing_drawn(local_aws: Any, open_page: Any) -> None:
    portal_job = make_job(local_aws, {"a.png": encode(draw_photo(), "PNG")}, job="killed")
    page = open_page(expect_errors=True)
    enter(page, portal_job.links["Ada"])
    begin(page)
    dab(page, 50.3, 50.4)
    local_aws.kill9()
    dab(page, 100.3, 50.4)  # nobody is there, and drawing goes on
    restart_later(local_aws)
    page.reload()
    expect(page.locator(".message")).to_have_text(BACK)
    dab(page, 150.3, 50.4)
    local_aws.kill9()
    submit(page)
    expect(page.get_by_role("alert")).to_contain_text("Not sent yet")
    restart_later(local_aws)
    leave_empty_handed(page)
    portal_job.await_status()
    assert np.array_equal(portal_job.masks()[0], dots((50.3, 50.4), (100.3, 50.4), (150.3, 50.4)))
    assert len(portal_job.answers()) == 1


def test_an_expired_lease_is_reported_at_submit_and_its_drawing_restored_later(local_aws: Any, open_page: Any) -> None:
    portal_job = make_job(local_aws, {"a.png": encode(draw_photo(), "PNG")}, job="late")
    page = open_page(expect_errors=True)
    enter(page, portal_job.links["Ada"])
    begin(page)
    dab(page, 50.3, 50.4)
    local_aws.kill9()
    restart_later(local_aws, "UPDATE labeling_tasks SET expires = ?")
    submit(page)
    expect(page.get_by_role("alert")).to_contain_text("Its time limit has passed")
    page.get_by_role("button", name="Take it again").click()
    expect(page.locator(".message")).to_have_text(BACK)
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    assert np.array_equal(portal_job.masks()[0], dots((50.3, 50.4)))


def test_an_object_labeled_by_another_worker_meanwhile_is_not_labeled_twice(local_aws: Any, open_page: Any) -> None:
    portal_job = make_job(local_aws, {"a.png": encode(draw_photo(), "PNG")}, job="overtaken", workers=("Ada", "Bob"))
    slow, quick = open_page(expect_errors=True), open_page(expect_errors=True)
    enter(slow, portal_job.links["Ada"])
    begin(slow)
    dab(slow, 50.3, 50.4)
    local_aws.kill9()
    restart_later(local_aws, "UPDATE labeling_tasks SET expires = ?")
    enter(quick, portal_job.links["Bob"])
    begin(quick)
    dab(quick, 200.3, 50.4)
    submit(quick)
    leave_empty_handed(quick)
    portal_job.await_status()
    submit(slow)
    expect(slow.get_by_role("alert")).to_contain_text("The answer was not taken")
    slow.get_by_role("button", name="Take it again").click()
    expect(slow.get_by_role("alert")).to_contain_text(
        "The image cannot be taken again: The labeling job no longer takes answers."
    )
    slow.get_by_role("button", name="Next image").click()
    leave_empty_handed(slow)
    assert np.array_equal(portal_job.masks()[0], dots((200.3, 50.4)))
    assert len(portal_job.answers()) == 1
