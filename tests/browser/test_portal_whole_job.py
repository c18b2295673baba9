"""Whole jobs in a browser by pointer, keyboard and touch; checked by the PNG in S3."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import expect
from portal_helpers import COLORS, Pointer, begin, draw_photo, encode, enter, make_job, png_of


def disc(mask: np.ndarray, x: float, y: float, r: float, *, value: int) -> None:
    """Pixels whose center is within r of (x, y)."""
    ys, xs = np.mgrid[: mask.shape[0], : mask.shape[1]]
    mask[(xs + 0.5 - x) ** 2 + (ys + 0.5 - y) ** 2 <= r * r] = value


def hull(mask: np.ndarray, start: tuple[float, float], end: tuple[float, float], r: float, *, value: int) -> None:
    """Pixels whose center is within r of the segment."""
    ys, xs = np.mgrid[: mask.shape[0], : mask.shape[1]] + 0.5
    along = np.array(end) - start
    t = np.clip(((xs - start[0]) * along[0] + (ys - start[1]) * along[1]) / max(along @ along, 1e-9), 0, 1)
    mask[np.hypot(xs - start[0] - t * along[0], ys - start[1] - t * along[1]) <= r] = value


def colors_of(mask: np.ndarray) -> np.ndarray:
    """(H, W) indices -> the (H, W, 4) that a worker's PNG must hold."""
    rgba = np.zeros((*mask.shape, 4), np.uint8)
    for value, color in COLORS.items():
        rgba[mask == value] = (*color, 255)
    return rgba


def submit(page: Any) -> None:
    page.keyboard.press("Control+Enter")


def submit_and_await_next(page: Any) -> None:
    with page.expect_response(lambda answer: answer.url.endswith("/page")):  # the next task's template
        submit(page)
    page.locator("#work:not([inert]) [data-ready]").wait_for()


def leave_empty_handed(page: Any) -> None:
    expect(page.get_by_role("heading", name="Nothing left to do here")).to_be_visible()


def test_a_job_done_by_mouse_and_keyboard_writes_exactly_the_drawn_masks(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.jpg": encode(draw_photo(), quality=95)}, job="whole")
    page = open_page()
    enter(page, portal_job.links["Ada"])
    assert "#" not in page.url
    begin(page, instructions=False)
    expect(page.get_by_role("dialog", name="Segmentation instructions")).to_contain_text("Outline every animal")
    page.keyboard.press("Escape")
    pointer = Pointer(page, 320, 240)

    page.get_by_role("button", name="Four points").click()
    for point in ((160.5, 61), (160.5, 179), (101, 120.5), (219, 120.5)):  # auto-segment, label 1
        pointer.click(*point)
    expect(page.locator(".hint")).to_contain_text("missing")
    share = page.get_by_role("button", name="cat").locator(".share")
    expect(share).not_to_have_text("0%")
    page.keyboard.press("Enter")

    page.keyboard.press("2")
    page.keyboard.press("p")  # a polygon, label 2
    corners = [(10.25, 10.25), (60.25, 12.75), (40.25, 70.25)]
    for corner in corners:
        pointer.click(*corner)
    page.keyboard.press("Enter")

    page.keyboard.press("3")
    page.keyboard.press("b")  # a stroke, taken back; another that stays
    pointer.drag((250.3, 30.4), (300.3, 60.4))
    page.keyboard.press("Control+z")
    page.keyboard.press("+")
    page.keyboard.press("r")
    pointer.drag((280.3, 200.4), (280.3, 200.4))
    submit(page)
    leave_empty_handed(page)

    portal_job.await_status()
    (mask,) = portal_job.masks()
    (answer,) = portal_job.answers()
    rgba = png_of(answer)
    assert np.array_equal(rgba, colors_of(mask))
    expected = np.zeros_like(mask)
    ys, xs = np.mgrid[:240, :320] + 0.5
    inside = np.ones_like(mask, bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        inside &= (bx - ax) * (ys - ay) - (by - ay) * (xs - ax) > 0
    expected[inside] = 2
    disc(expected, 280.3, 200.4, 4, value=3)
    found = mask.copy()
    found[mask == 1] = 0
    # A browser rounds a press to a whole pixel of the screen: 0.4 of the image.
    assert (found != expected).sum() <= 6
    assert np.array_equal(found == 3, expected == 3)
    true = np.zeros_like(mask)
    disc(true, 160.5, 120.5, 60, value=1)
    assert ((mask == 1) & (true == 1)).sum() / ((mask == 1) | (true == 1)).sum() > 0.9
    value = answer["answerContent"]["crowd-semantic-segmentation"]
    assert value["inputImageProperties"] == {"height": 240, "width": 320}
    assert value["labelMappings"]["sea turtle"] == {"color": "#ff7f0e"}


def test_a_reload_loses_nothing_and_keeps_the_undo_history(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="reload")
    page = open_page()
    enter(page, portal_job.links["Ada"])
    begin(page)
    pointer = Pointer(page, 320, 240)
    page.keyboard.press("b")
    pointer.drag((50.3, 50.4), (50.3, 50.4))
    pointer.drag((100.3, 50.4), (100.3, 50.4))
    expect(page.locator("#saved")).to_have_text("Saved")
    page.reload()
    expect(page.locator(".message")).to_have_text("Your earlier work on this image was restored.")
    page.keyboard.press("Control+z")
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    expected = np.zeros((240, 320), np.uint8)
    disc(expected, 50.3, 50.4, 4, value=1)
    assert np.array_equal(portal_job.masks()[0], expected)


def test_work_is_kept_during_a_network_failure_and_then_submitted(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="cut")
    page = open_page(expect_errors=True)
    enter(page, portal_job.links["Ada"])
    begin(page)
    page.context.set_offline(True)
    page.keyboard.press("b")
    Pointer(page, 320, 240).drag((50.3, 50.4), (50.3, 50.4))
    submit(page)
    expect(page.get_by_role("alert")).to_contain_text("Not sent yet")
    assert portal_job.describe()["LabelingJobStatus"] == "InProgress"
    page.context.set_offline(False)
    leave_empty_handed(page)
    portal_job.await_status()
    expected = np.zeros((240, 320), np.uint8)
    disc(expected, 50.3, 50.4, 4, value=1)
    assert np.array_equal(portal_job.masks()[0], expected)


def test_two_concurrent_workers_never_answer_the_same_object_twice(shared_aws: Any, open_page: Any) -> None:
    images = {f"{n}.png": encode(draw_photo(), "PNG") for n in "ab"}
    portal_job = make_job(shared_aws, images, job="two", workers=("Ada", "Bob"), per_object=2)
    pages = [open_page(), open_page()]
    for page, name in zip(pages, ("Ada", "Bob"), strict=True):
        enter(page, portal_job.links[name])
        begin(page)
    for turn in range(2):
        for page in pages:
            page.keyboard.press("b")
            Pointer(page, 320, 240).drag((60.3, 60.4), (60.3, 60.4))
            submit_and_await_next(page) if turn == 0 else submit(page)
    for page in pages:
        leave_empty_handed(page)
    portal_job.await_status()
    answers = portal_job.answers()
    assert len(answers) == 4
    assert len({answer["workerId"] for answer in answers}) == 2
    expected = np.zeros((240, 320), np.uint8)
    disc(expected, 60.3, 60.4, 4, value=1)
    assert all(np.array_equal(png_of(answer), colors_of(expected)) for answer in answers)


def test_an_exif_rotated_photograph_is_shown_upright_and_labeled_in_stored_pixels(
    shared_aws: Any, open_page: Any
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    portal_job = make_job(shared_aws, {"turned.jpg": encode(draw_photo(), exif=exif.tobytes())}, job="exif")
    page = open_page()
    enter(page, portal_job.links["Ada"])
    begin(page)
    expect(page.locator(".place")).to_contain_text("240 × 320, shown upright")
    page.keyboard.press("b")
    upright = (240 - 20.4, 300.3)  # of the stored (300.3, 20.4)
    Pointer(page, 240, 320).drag(upright, upright)
    expect(page.locator(".place")).to_contain_text("219, 300: cat")
    for key, place in (("ArrowRight", "220, 300"), ("ArrowDown", "220, 301"), ("ArrowLeft", "219, 301")):
        page.keyboard.press(key)  # the crosshair goes where the arrow points on the upright picture
        expect(page.locator(".place")).to_contain_text(place)
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    expected = np.zeros((240, 320), np.uint8)
    disc(expected, 300.3, 20.4, 4, value=1)
    assert np.array_equal(portal_job.masks()[0], expected)


def test_a_high_density_screen_draws_the_same_pixels(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="dense")
    page = open_page(device_scale_factor=2.5, viewport={"width": 1111, "height": 777})
    enter(page, portal_job.links["Ada"])
    begin(page)
    page.keyboard.press("b")
    Pointer(page, 320, 240).drag((50.3, 50.4), (90.3, 50.4))
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    expected = np.zeros((240, 320), np.uint8)
    hull(expected, (50.3, 50.4), (90.3, 50.4), 4, value=1)
    assert np.array_equal(portal_job.masks()[0], expected)


def test_a_phone_labels_by_touch(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="phone")
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, device_scale_factor=3)
    enter(page, portal_job.links["Ada"])
    begin(page)
    pointer = Pointer(page, 320, 240)
    for name in ("sea turtle", "Polygon"):
        page.get_by_role("button", name=name).tap()  # a tap is a click only a moment later
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    for corner in ((20.25, 20.25), (80.25, 20.25), (80.25, 80.25), (20.25, 80.25), (20.25, 20.25)):
        page.touchscreen.tap(*pointer.at(*corner))
    page.get_by_role("button", name="Submit").tap()
    leave_empty_handed(page)
    portal_job.await_status()
    (mask,) = portal_job.masks()
    ys, xs = np.nonzero(mask == 3)
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (20, 20, 79, 79)
    assert len(xs) == 3600


def test_a_task_can_be_done_by_keyboard_alone(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="keys")
    page = open_page()
    enter(page, portal_job.links["Ada"])
    begin(page)
    page.mouse.move(2, 2)  # off the drawing area: the crosshair starts in its middle
    page.keyboard.press("2")
    page.keyboard.press("b")
    page.locator(".stage").focus()
    for key in ["ArrowRight", "ArrowLeft", "Enter", *["ArrowRight"] * 10, "Enter"]:
        page.keyboard.press(key)
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    (mask,) = portal_job.masks()
    ys, xs = np.nonzero(mask)
    x, y = xs.min() + 4.5, ys.min() + 4.5  # where the crosshair was: in the middle, give or take a pixel
    assert abs(x - 160) <= 1
    assert abs(y - 120) <= 1
    expected = np.zeros((240, 320), np.uint8)
    hull(expected, (x, y), (x + 10, y), 4, value=2)
    assert np.array_equal(mask, expected)


def decline(page: Any, reason: str) -> None:
    page.get_by_role("button", name="Decline").click()
    dialog = page.get_by_role("dialog", name="Decline this image")
    dialog.get_by_label("Why can it not be labeled?").fill(reason)
    dialog.get_by_role("button", name="Decline").click()


def decline_the_only_image(page: Any, reason: str) -> None:
    page.get_by_role("link", name="Start").click()
    page.locator("[data-ready]").wait_for()
    page.get_by_role("button", name="Close", exact=True).click()
    decline(page, reason)
    leave_empty_handed(page)


def test_a_declined_image_is_offered_to_a_teammate_and_the_owner_sees_the_reasons(
    local_aws: Any, open_page: Any
) -> None:
    portal_job = make_job(local_aws, {"a.png": encode(draw_photo(), "PNG")}, job="decline", workers=("Ada", "Bob"))
    pages = {name: open_page() for name in ("Ada", "Bob")}
    for name, page in pages.items():
        enter(page, portal_job.links[name])
    decline_the_only_image(pages["Ada"], "No animal in it")
    assert portal_job.describe()["LabelCounters"]["FailedNonRetryableError"] == 0
    pages["Bob"].reload()
    decline_the_only_image(pages["Bob"], "Nothing but fog")
    assert portal_job.await_status()["LabelCounters"]["FailedNonRetryableError"] == 1
    owner = open_page()
    owner.goto(f"{local_aws.url}/_portal/signin#{local_aws.owner_token}")
    owner.get_by_role("link", name="decline").click()
    expect(owner.get_by_text("declined: No animal in it")).to_be_visible()
    expect(owner.get_by_text("declined: Nothing but fog")).to_be_visible()
