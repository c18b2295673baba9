"""Outlines from a click, a box or four points, corrective clicks, and other area tools; checked by the mask in S3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect
from portal_helpers import Pointer, begin, draw_photo, encode, enter, make_job
from test_portal_touch import Fingers, take
from test_portal_whole_job import disc, leave_empty_handed, submit

ANSWERED = "() => !document.querySelector('crowd-semantic-segmentation').tools.auto.pending.size"
MAP = "() => document.querySelector('crowd-semantic-segmentation').map.data.join('')"
EMPTIED = """() => { const editor = document.querySelector("crowd-semantic-segmentation");
  while (editor.history.cursor) editor.history.undo();
  editor.map.data.fill(0); editor.map.recount(); editor.refresh(); editor.view.redraw(); }"""
DOTS = ".marks .click, .marks .corner"


@pytest.fixture(scope="module")
def task(shared_aws: Any, chromium: Any) -> Iterator[Any]:
    """(portal_job, page): a photograph of a disc of radius 60 around (160.5, 120.5), for tests that do not submit."""
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="outlines")
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(60_000)
    page = context.new_page()
    enter(page, portal_job.links["Ada"])
    begin(page)
    yield portal_job, page
    context.close()


@pytest.fixture
def work(task: Any) -> Any:
    """(page, pointer) with nothing drawn and auto-segment selected."""
    page = task[1]
    page.unroute_all()
    page.keyboard.press("Escape")
    page.evaluate(EMPTIED)
    page.keyboard.press("a")
    return page, Pointer(page, 320, 240)


def true_disc() -> np.ndarray:
    mask = np.zeros((240, 320), np.uint8)
    disc(mask, 160.5, 120.5, 60, value=1)
    return mask


def drawn(page: Any) -> np.ndarray:
    """The page's label map, after all requested outlines have arrived."""
    page.wait_for_function(ANSWERED)
    return (np.frombuffer(page.evaluate(MAP).encode(), np.uint8) - ord("0")).reshape(240, 320)


def iou(mask: np.ndarray, true: np.ndarray) -> float:
    return float(((mask > 0) & (true > 0)).sum() / ((mask > 0) | (true > 0)).sum())


def finish(portal_job: Any, page: Any) -> np.ndarray:
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    (mask,) = portal_job.masks()
    return mask  # type: ignore[no-any-return]


def right_click(page: Any, pointer: Pointer, x: float, y: float) -> None:
    page.mouse.click(*pointer.at(x, y), button="right")


def test_one_click_gives_an_outline_and_starting_the_next_object_accepts_it(work: Any) -> None:
    page, pointer = work
    pointer.click(160, 120)
    first = drawn(page)
    assert iou(first, true_disc()) > 0.8
    pointer.drag((20, 20), (50, 40))  # a box far from it
    expect(page.locator(".marks .corner")).to_have_count(2)
    drawn(page)
    page.keyboard.press("Escape")
    assert np.array_equal(drawn(page), first)


def test_corrective_clicks_are_shown_as_dots_and_undone_one_by_one(work: Any) -> None:
    page, pointer = work
    pointer.drag((98, 58), (223, 183))
    states = [drawn(page)]
    for x, y in ((160, 80), (200, 120)):
        right_click(page, pointer, x, y)
        states.append(drawn(page))
        assert states[-1][y, x] == 0
    page.keyboard.down("Alt")
    pointer.click(130, 120)
    page.keyboard.up("Alt")
    states.append(drawn(page))
    expect(page.locator(".marks .outside")).to_have_count(3)
    for state in states[-2::-1]:
        page.keyboard.press("Control+z")
        assert np.array_equal(drawn(page), state)
    page.keyboard.press("Control+Shift+z")
    assert np.array_equal(drawn(page), states[1])
    for _ in range(2):
        page.keyboard.press("Backspace")
    expect(page.locator(DOTS)).to_have_count(0)
    assert not drawn(page).any()


def test_a_dot_can_be_dragged_and_deleted_by_a_click(work: Any) -> None:
    page, pointer = work
    pointer.drag((98, 58), (223, 183))
    whole = drawn(page)
    right_click(page, pointer, 160, 80)
    removed = drawn(page)
    page.mouse.move(*pointer.at(160, 80))
    expect(page.locator(".hint")).to_contain_text("delete")
    pointer.drag((160, 80), (160, 160))
    moved = drawn(page)
    assert moved[160, 160] == 0
    assert moved[80, 160] == 1
    page.keyboard.press("Control+z")
    assert np.array_equal(drawn(page), removed)
    pointer.click(160, 80)
    expect(page.locator(".marks .outside")).to_have_count(0)
    assert np.array_equal(drawn(page), whole)


def test_clicks_are_accepted_during_a_request_and_a_failed_request_undoes_one_click(
    work: Any,
) -> None:
    page, pointer = work
    pointer.drag((98, 58), (223, 183))
    right_click(page, pointer, 160, 80)  # before the answer
    before = drawn(page)
    assert before[80, 160] == 0
    page.route("**/autosegment", lambda route: route.fulfill(status=500, json={"message": "no"}))
    right_click(page, pointer, 160, 160)
    expect(page.locator(".message")).to_contain_text("Auto-segment failed")
    expect(page.locator(".marks .outside")).to_have_count(1)
    assert np.array_equal(drawn(page), before)


def test_submitting_waits_for_a_requested_outline(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="at-once")
    page = open_page()
    enter(page, portal_job.links["Ada"])
    begin(page)
    Pointer(page, 320, 240).drag((98, 58), (223, 183))
    assert iou(finish(portal_job, page), true_disc()) > 0.8


def test_add_and_remove_can_be_chosen_by_touch_beside_the_hint(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="finger-outlines")
    page = open_page(viewport={"width": 1024, "height": 768}, has_touch=True)
    enter(page, portal_job.links["Ada"])
    begin(page)
    pointer = Pointer(page, 320, 240)
    take(page, "Auto-segment")
    Fingers(page).drag(pointer.at(98, 58), pointer.at(150, 100), pointer.at(223, 183))
    whole = drawn(page)
    assert iou(whole, true_disc()) > 0.8
    Fingers(page).spread(pointer.at(160, 120), 120, 120, to=pointer.at(170, 120))  # sets no dot
    page.keyboard.press("r")
    take(page, "Remove")
    page.touchscreen.tap(*pointer.at(160, 90))
    assert drawn(page)[90, 160] == 0
    page.touchscreen.tap(*pointer.at(160, 90))  # on the dot
    assert np.array_equal(drawn(page), whole)


def test_a_polygon_can_subtract_and_its_corners_can_be_moved_after_closing(work: Any) -> None:
    page, pointer = work
    page.keyboard.press("p")
    for corner in ((40.25, 40.25), (120.25, 40.25), (120.25, 100.25), (40.25, 100.25)):
        pointer.click(*corner)
    page.keyboard.press("Enter")
    pointer.drag((120.25, 100.25), (140.25, 100.25))
    pointer.drag((80.25, 40.25), (80.25, 30.25))  # a side gets a corner
    pointer.click(80.25, 30.25)  # which is deleted again
    page.keyboard.press("Enter")
    page.keyboard.down("Alt")
    pointer.click(60.25, 60.25)
    page.keyboard.up("Alt")
    for corner in ((80.25, 60.25), (80.25, 80.25), (60.25, 80.25)):
        pointer.click(*corner)
    page.keyboard.press("Enter")
    expected = np.zeros((240, 320), np.uint8)
    ys, xs = np.mgrid[:240, :320] + 0.5
    expected[(ys > 40.25) & (ys < 100.25) & (xs > 40.25) & (xs < 120.25 + 20 * (ys - 40.25) / 60)] = 1
    expected[60:80, 60:80] = 0
    assert np.array_equal(drawn(page), expected)


def test_scissors_follow_an_edge_between_the_clicked_points(work: Any) -> None:
    page, pointer = work
    page.keyboard.press("Shift+P")
    for place in ((160.5, 60.5), (220.5, 120.5), (160.5, 180.5), (100.5, 120.5)):
        with page.expect_response("**/scissors"):
            pointer.click(*place)
            page.mouse.move(*pointer.at(place[0] + 1, place[1] + 1))
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => document.querySelector('crowd-semantic-segmentation').tools.scissors.paths.filter((p) => "
        "p.length > 8).length === 4"
    )
    page.keyboard.press("Enter")
    assert iou(drawn(page), true_disc()) > 0.95  # four straight lines: 0.64


def test_a_shift_click_draws_a_straight_line_from_the_last_stroke(work: Any) -> None:
    page, pointer = work
    page.keyboard.press("b")
    pointer.drag((40.3, 40.4), (40.3, 40.4))
    page.keyboard.down("Shift")
    page.mouse.move(*pointer.at(150, 100))
    expect(page.locator(".marks polyline")).to_have_count(2)
    pointer.click(200.3, 40.4)
    page.keyboard.up("Shift")
    expected = np.zeros((240, 320), np.uint8)
    ys, xs = np.mgrid[:240, :320] + 0.5
    nearest = np.clip(xs, 40.3, 200.3)
    expected[np.hypot(xs - nearest, ys - 40.4) < 4] = 1
    assert (drawn(page) != expected).sum() < 30


def test_a_region_can_grow_shrink_and_lose_holes_and_specks_without_changing_others(
    work: Any,
) -> None:
    page, pointer = work
    page.evaluate(
        """() => { const { map } = document.querySelector("crowd-semantic-segmentation");
        const put = (x0, y0, x1, y1, v) => {
          for (let y = y0; y < y1; y += 1) map.data.fill(v, y * 320 + x0, y * 320 + x1);
        };
        put(50, 50, 100, 100, 1); put(70, 70, 80, 80, 0); put(100, 50, 130, 100, 2); put(200, 200, 202, 202, 1);
        map.recount(); }"""
    )
    page.keyboard.press("g")
    start = drawn(page)
    pointer.click(60, 60)  # grow by 1
    grown = drawn(page)
    assert (grown[49, 50:100] == 1).all()
    assert (grown[50:100, 100] == 2).all()
    assert grown[49, 49] == 0  # a disc, no square
    page.keyboard.press("Control+z")
    assert np.array_equal(drawn(page), start)
    for option in ("Fill holes", "Remove specks", "Shrink"):
        page.get_by_role("button", name=option).click()
        pointer.click(60, 60)
    page.keyboard.press("]")
    expect(page.locator(".hint")).to_contain_text("2 px narrower")
    expected = np.zeros_like(start)
    expected[51:99, 51:99], expected[50:100, 100:130] = 1, 2
    assert np.array_equal(drawn(page), expected)
    page.get_by_role("button", name="Smooth").click()
    pointer.click(60, 60)
    smooth = drawn(page)
    assert smooth[51, 51] == 0
    page.keyboard.press("Control+z")
    assert np.array_equal(drawn(page), expected)
