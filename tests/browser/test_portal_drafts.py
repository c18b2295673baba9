"""Drafts of a task in two tabs and two browsers, and active time."""

from __future__ import annotations

import sqlite3
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect
from portal_helpers import begin, draw_photo, encode, enter, make_job
from test_portal_outages import BACK, dab, dots
from test_portal_verdict import make_verification, open_verdict
from test_portal_whole_job import decline, leave_empty_handed, submit

ON_SERVER = "On this computer and on the server"


def shared(page: Any) -> None:
    """Wait until the drawing is stored on the server."""
    expect(page.locator("#saved")).to_have_attribute("title", ON_SERVER)


def test_a_drawing_continues_in_another_browser_and_in_the_first_again(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="moved")
    first, second = open_page(expect_errors=True), open_page(expect_errors=True)
    enter(first, portal_job.links["Ada"])
    begin(first)
    dab(first, 50.3, 50.4)
    dab(first, 100.3, 50.4)
    shared(first)
    enter(second, portal_job.links["Ada"])
    second.get_by_role("link", name="Start").click()
    expect(second.get_by_role("heading", name="This image is open elsewhere")).to_be_visible()
    second.get_by_role("button", name="Take over here").click()
    expect(second.locator(".message")).to_have_text(BACK)
    second.get_by_role("button", name="Close", exact=True).click()
    second.keyboard.press("Control+z")  # steps can be undone where they were not drawn
    dab(second, 150.3, 50.4)
    shared(second)
    dab(first, 200.3, 50.4)  # two seconds later it is told, and stops
    expect(first.get_by_role("alert")).to_contain_text("taken over in another tab")
    expect(first.get_by_role("button", name="Submit", exact=True)).to_be_disabled()
    first.get_by_role("button", name="Take it back").click()
    expect(first.get_by_role("alert")).to_contain_text("This computer has another drawing")
    expect(first.locator("#work:not([inert]) [data-ready]")).to_be_visible()
    first.get_by_role("button", name="Keep this one").click()
    submit(first)
    leave_empty_handed(first)
    portal_job.await_status()
    assert np.array_equal(portal_job.masks()[0], dots((50.3, 50.4), (150.3, 50.4)))


def decline_as_dark(page: Any) -> None:
    decline(page, "too dark")


@pytest.mark.parametrize("end", [submit, decline_as_dark])
def test_ending_a_task_cancels_a_draft_that_is_being_saved(local_aws: Any, open_page: Any, end: Any) -> None:
    """The server would refuse the draft of a task that has ended, which the browser's console shows as an error."""
    portal_job = make_job(local_aws, {"a.png": encode(draw_photo(), "PNG")}, job="late-draft")
    page, canceled = open_page(), []
    page.route("**/draft?*", lambda route: None)  # no response
    page.on("requestfailed", lambda request: canceled.append(request.url))
    enter(page, portal_job.links["Ada"])
    begin(page)
    with page.expect_request("**/draft?*") as draft:
        dab(page, 50.3, 50.4)
    end(page)
    leave_empty_handed(page)
    assert draft.value.url in canceled


def test_a_drawing_stored_only_in_this_browser_is_offered_and_restored(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="aside")
    first, second = open_page(expect_errors=True), open_page()
    enter(first, portal_job.links["Ada"])
    begin(first)
    first.context.set_offline(True)
    dab(first, 50.3, 50.4)
    enter(second, portal_job.links["Ada"])
    second.get_by_role("link", name="Start").click()
    second.get_by_role("button", name="Take over here").click()
    second.locator("[data-ready]").wait_for()
    second.get_by_role("button", name="Close", exact=True).click()
    dab(second, 150.3, 50.4)
    shared(second)
    first.context.set_offline(False)
    first.get_by_role("button", name="Take it back").click()
    first.get_by_role("button", name="Use this computer's").click()
    expect(first.locator(".message")).to_have_text(BACK)
    submit(first)
    leave_empty_handed(first)
    portal_job.await_status()
    assert np.array_equal(portal_job.masks()[0], dots((50.3, 50.4)))


def test_a_reload_of_the_same_tab_shows_no_question(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="reloaded")
    page = open_page()
    enter(page, portal_job.links["Ada"])
    begin(page)
    dab(page, 50.3, 50.4)
    page.reload()
    expect(page.locator(".message")).to_have_text(BACK)
    shared(page)


def test_a_verdict_continues_in_another_browser(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_verification(shared_aws, "moved-verdict")
    first, second = open_page(), open_page()
    open_verdict(first, portal_job.links["Judge"])
    first.keyboard.press("2")
    first.keyboard.press("n")
    first.keyboard.type("the ears")
    shared(first)
    second.goto(portal_job.links["Judge"])
    second.get_by_role("link", name="Start").click()
    second.get_by_role("button", name="Take over here").click()
    expect(second.get_by_role("radio", name="bad")).to_be_checked()
    expect(second.get_by_label("What is wrong?")).to_have_value("the ears")


def test_time_without_input_is_not_active_time(local_aws: Any, open_page: Any) -> None:
    portal_job = make_job(local_aws, {"a.png": encode(draw_photo(), "PNG")}, job="pause")
    page = open_page()
    page.clock.install()
    enter(page, portal_job.links["Ada"])
    begin(page)
    with sqlite3.connect(local_aws.folder / "state.sqlite3") as connection:  # it was taken half an hour ago
        connection.execute("UPDATE labeling_tasks SET accepted = accepted - 1800")
    page.clock.run_for(40_000)
    dab(page, 50.3, 50.4)
    page.clock.run_for(1_380_000)  # 23 minutes away
    dab(page, 60.3, 50.4)
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    (answer,) = portal_job.answers()
    assert 100 <= answer["timeSpentInSeconds"] < 160


def test_a_drawing_with_very_many_runs_is_stored_as_one_small_step(shared_aws: Any, open_page: Any) -> None:
    make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="many")
    page = open_page(bypass_csp=True)
    page.goto(f"{shared_aws.url}/_portal/signin")
    found = page.evaluate("""async () => {
        const { pack, unpack } = await import("/_portal/static/annotate/draft.js");
        const { LabelMap, Stroke } = await import("/_portal/static/annotate/raster.js");
        const map = new LabelMap(1200, 900);
        const ops = [];
        for (let n = 0; n < 600; n += 1) {
            const stroke = new Stroke(map, 1 + (n % 3));
            for (let y = 0; y < 900; y += 1) stroke.span(y, (n * 7 + y) % 1190, ((n * 7 + y) % 1190) + 9);
            ops.push(stroke.finish());
        }
        const blob = await pack({ width: 1200, height: 900 }, { ops, cursor: ops.length, map });
        const back = await unpack(new Uint8Array(await blob.arrayBuffer()));
        const other = new LabelMap(1200, 900);
        for (const op of back.ops.slice(0, back.cursor)) other.replay(op);
        const few = await pack({}, { ops: ops.slice(0, 3), cursor: 2, map });
        const steps = await unpack(new Uint8Array(await few.arrayBuffer()));
        return {
            same: other.data.every((value, i) => value === map.data[i]), steps: back.ops.length, size: blob.size,
            kept: steps.ops.length, cursor: steps.cursor,
            runs: steps.ops[1].runs.every((value, i) => value === ops[1].runs[i]),
        };
    }""")
    assert found["same"]
    assert found["steps"] <= 3
    assert found["size"] < 4 << 20
    assert (found["kept"], found["cursor"], found["runs"]) == (3, 2, True)
