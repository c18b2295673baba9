"""Touch and pen input, sent as device events (CDP); checked by the PNG in S3."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect
from portal_helpers import Pointer, begin, draw_photo, encode, enter, make_job
from test_portal_whole_job import disc, hull, leave_empty_handed, submit

Point = tuple[float, float]
TABLET = {"viewport": {"width": 1024, "height": 768}, "has_touch": True}


class Fingers:
    """Touch events: each call gives the positions of all touching fingers."""

    def __init__(self, page: Any) -> None:
        self.cdp = page.context.new_cdp_session(page)

    def touch(self, kind: str, *points: Point) -> None:
        where = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        self.cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})

    def drag(self, *points: Point) -> None:
        self.touch("touchStart", points[0])
        for point in points[1:]:
            self.touch("touchMove", point)
        self.touch("touchEnd")

    def spread(self, middle: Point, start: float, end: float, *, to: Point | None = None, steps: int = 8) -> None:
        """Pinch from `start` pixels apart around `middle` to `end` pixels apart around `to`, one finger first."""
        to = to or middle
        self.touch("touchStart", (middle[0] - start / 2, middle[1]))
        for step in range(steps + 1):
            share = step / steps
            x, y = (middle[i] + (to[i] - middle[i]) * share for i in (0, 1))
            half = (start + (end - start) * share) / 2
            self.touch("touchMove" if step else "touchStart", (x - half, y), (x + half, y))
        self.touch("touchEnd")


class Pen:
    """Pen events with pressure (pointerType pen)."""

    def __init__(self, page: Any) -> None:
        self.cdp = page.context.new_cdp_session(page)

    def send(self, kind: str, at: Point, *, down: bool, force: float = 0.0) -> None:
        button = {"button": "left", "buttons": 1, "clickCount": 1} if down else {"button": "none", "buttons": 0}
        if kind == "mouseReleased":
            button = {"button": "left", "buttons": 0, "clickCount": 1}
        event = {"type": kind, "x": at[0], "y": at[1], "pointerType": "pen", "force": force, **button}
        self.cdp.send("Input.dispatchMouseEvent", event)

    def drag(self, *points: Point) -> None:
        self.send("mouseMoved", points[0], down=False)
        self.send("mousePressed", points[0], down=True, force=0.1)
        for n, point in enumerate(points[1:], start=1):
            self.send("mouseMoved", point, down=True, force=min(1.0, 0.1 + 0.3 * n))
        self.send("mouseReleased", points[-1], down=False)


@pytest.fixture
def tablet(shared_aws: Any, open_page: Any, request: pytest.FixtureRequest) -> Any:
    """(portal_job, page, pointer): a task on a tablet with the brush selected."""
    job = request.node.name[:50].replace("_", "-").rstrip("-")
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job=job)
    page = open_page(**TABLET)
    enter(page, portal_job.links["Ada"])
    begin(page)
    take(page, "Brush")
    return portal_job, page, Pointer(page, 320, 240)


def take(page: Any, tool: str) -> None:
    """Tap a tool until it is selected.

    A tap becomes a click with a delay, and no click at all right after a two-finger gesture on a slow machine.
    """
    button = page.get_by_role("button", name=tool, exact=True)
    for patience in (5_000, 10_000, 20_000):
        button.tap()
        with suppress(AssertionError):
            return expect(button).to_have_attribute("aria-pressed", "true", timeout=patience)
    raise AssertionError(f"{tool} was tapped three times and is not in pointer")


def finish(portal_job: Any, page: Any) -> np.ndarray:
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    (mask,) = portal_job.masks()
    return mask  # type: ignore[no-any-return]


def test_a_pinch_zooms_at_the_fingers_and_strokes_are_at_the_right_place(tablet: Any) -> None:
    portal_job, page, pointer = tablet
    fingers = Fingers(page)
    whole = page.locator(".place").text_content()
    middle, to = pointer.at(160, 120), pointer.at(150, 130)
    fingers.spread(middle, 120, 300, to=to)  # 2.5 times closer, and a little to the left and down
    expect(page.locator(".place")).not_to_have_text(whole)

    def at(x: float, y: float) -> Point:
        (px, py), (mx, my) = pointer.at(x, y), middle
        return to[0] + 2.5 * (px - mx), to[1] + 2.5 * (py - my)

    fingers.drag(at(140.3, 110.4), at(150.3, 110.4), at(180.3, 110.4))
    expected = np.zeros((240, 320), np.uint8)
    hull(expected, (140.3, 110.4), (180.3, 110.4), 4, value=1)
    assert np.array_equal(finish(portal_job, page), expected)


def test_the_first_finger_of_a_pinch_draws_nothing_and_sets_no_point(tablet: Any) -> None:
    portal_job, page, pointer = tablet
    fingers = Fingers(page)
    fingers.spread(pointer.at(160, 120), 150, 150, to=pointer.at(170, 120))
    take(page, "Polygon")
    fingers.spread(pointer.at(160, 120), 150, 150, to=pointer.at(150, 120))
    expect(page.locator(".hint")).to_contain_text("corner after corner")
    page.keyboard.press("r")
    take(page, "Brush")
    at = pointer.at(60.3, 60.4)
    fingers.drag(at, at)
    expect(page.get_by_role("button", name="Undo")).to_be_enabled()
    expected = np.zeros((240, 320), np.uint8)
    disc(expected, 60.3, 60.4, 4, value=1)
    assert np.array_equal(finish(portal_job, page), expected)


def test_a_pen_draws_and_a_touching_palm_does_not(tablet: Any) -> None:
    portal_job, page, pointer = tablet
    Pen(page).drag(pointer.at(50.3, 50.4), pointer.at(60.3, 50.4), pointer.at(90.3, 50.4))
    Fingers(page).drag(pointer.at(200, 200), pointer.at(215, 190))  # moves the image, as the pen has been seen
    page.keyboard.press("r")
    Pen(page).drag(pointer.at(120.3, 150.4), pointer.at(150.3, 150.4))
    expected = np.zeros((240, 320), np.uint8)
    hull(expected, (50.3, 50.4), (90.3, 50.4), 4, value=1)  # as wide under any pressure
    hull(expected, (120.3, 150.4), (150.3, 150.4), 4, value=1)
    assert np.array_equal(finish(portal_job, page), expected)


def test_auto_segment_uses_taps_as_points(tablet: Any) -> None:
    portal_job, page, pointer = tablet
    take(page, "Auto-segment")
    take(page, "Four points")
    for point in ((160.5, 61), (160.5, 179), (101, 120.5), (219, 120.5)):
        page.touchscreen.tap(*pointer.at(*point))
    expect(page.locator(".hint")).to_contain_text("missing")
    true = np.zeros((240, 320), np.uint8)
    disc(true, 160.5, 120.5, 60, value=1)
    mask = finish(portal_job, page)
    assert (mask & true).sum() / (mask | true).sum() > 0.9
