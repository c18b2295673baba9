"""The drawing page: zoom, labels, settings, display of dark images, phones."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from playwright.sync_api import expect
from portal_helpers import Pointer, begin, draw_photo, encode, enter, make_job
from test_portal_pages import violations
from test_portal_whole_job import disc, hull, leave_empty_handed, submit

PHOTO = encode(draw_photo(), "PNG")
MANY = tuple(
    [f"class {n}" for n in range(1, 40)]
    + ["an uncommonly long name of a label that no line of the list could ever hold"]
)


def open_job(aws: Any, open_page: Any, job: str, *, images: int = 1, **settings: Any) -> tuple[Any, Any, Pointer]:
    """(portal_job, page, pointer) with the first of some images of 320 x 240 open."""
    errors = settings.pop("expect_errors", False)
    portal_job = make_job(
        aws,
        {f"{n}.png": settings.get("photo", PHOTO) for n in range(images)},
        job=job,
        **{k: v for k, v in settings.items() if k != "photo"},
    )
    page = open_page(expect_errors=errors)
    enter(page, portal_job.links["Ada"])
    begin(page)
    return portal_job, page, Pointer(page, 320, 240)


def finish(portal_job: Any, page: Any) -> np.ndarray:
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    return portal_job.masks()[-1]  # type: ignore[no-any-return]


def pixels(page: Any) -> np.ndarray:
    """The page's screenshot as (H, W, 3), one value per CSS pixel."""
    return np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))


def color_at(page: Any, pointer: Pointer, x: float, y: float) -> tuple[int, ...]:
    left, top = pointer.at(x, y)
    return tuple(int(v) for v in pixels(page)[round(top), round(left)])


def test_a_notice_during_a_stroke_moves_neither_the_image_nor_the_stroke(shared_aws: Any, open_page: Any) -> None:
    portal_job, page, pointer = open_job(shared_aws, open_page, "still", expect_errors=True)
    page.keyboard.press("b")
    stage = page.locator(".stage").bounding_box()
    ends = (50.3, 50.4), (250.3, 200.4)
    start, end = pointer.at(*ends[0]), pointer.at(*ends[1])
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=5)
    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("no network connection")
    page.mouse.move(*end, steps=5)
    page.mouse.up()
    assert page.locator(".stage").bounding_box() == stage
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_be_hidden()
    expected = np.zeros((240, 320), np.uint8)
    hull(expected, *ends, 4, value=1)
    assert np.array_equal(finish(portal_job, page), expected)


def test_each_of_40_labels_has_a_key_and_the_chosen_one_is_scrolled_into_view(shared_aws: Any, open_page: Any) -> None:
    _, page, _ = open_job(shared_aws, open_page, "forty", labels=MANY)
    chosen = page.locator(".label[aria-pressed=true]")
    for keys, name in (
        (("j", "t"), "class 30"),
        ((",",), "class 29"),
        (("1",), "class 1"),
        (("J", "Shift+D"), "class 1"),
    ):
        for key in keys:
            page.keyboard.press(key)
        expect(chosen.locator(".name")).to_have_text(name)
        expect(chosen).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="class 30").locator("kbd")).to_have_text(["J", "T"])
    page.keyboard.press("j")
    expect(page.locator(".message")).to_contain_text("then the second key")
    page.keyboard.press("x")
    expect(chosen.locator(".name")).to_have_text("class 34")
    expect(page.locator(".message")).to_be_empty()


def test_a_label_is_found_by_name_and_a_long_name_is_shown_completely(shared_aws: Any, open_page: Any) -> None:
    _, page, _ = open_job(shared_aws, open_page, "find", labels=MANY)
    page.keyboard.press("/")
    page.keyboard.type("long uncommon")
    expect(page.locator(".row:visible")).to_have_count(1)
    page.keyboard.press("Enter")
    chosen = page.locator(".label[aria-pressed=true] .name")
    expect(chosen).to_have_text(MANY[-1])
    expect(page.locator(".row:visible")).to_have_count(40)
    assert chosen.evaluate("(name) => name.scrollWidth <= name.clientWidth && name.scrollHeight <= name.clientHeight")
    page.keyboard.press("b")  # the page handles keys again
    expect(page.get_by_role("button", name="Brush", exact=True)).to_have_attribute("aria-pressed", "true")


def test_tool_settings_are_kept_between_images_and_after_a_reload(shared_aws: Any, open_page: Any) -> None:
    _, page, _ = open_job(shared_aws, open_page, "stays", images=2)
    for key in ("b", "2", "]", "]", "o", "q", "l", "t", "Shift+S"):
        page.keyboard.press(key)

    def seen() -> list[Any]:
        names = ("Brush size", "Label strength", "Contrast", "Gamma")
        switches = ("Auto tone", "Paint only unlabeled", "Show labels")
        page.locator("#work:not([inert]) [data-ready]").wait_for()
        return [
            page.locator(".tool[aria-pressed=true]").get_attribute("data-action"),
            page.locator(".label[aria-pressed=true] .name").text_content(),
            *[page.get_by_label(name, exact=True).input_value() for name in names],
            *[page.get_by_role("checkbox", name=name).is_checked() for name in switches],
            page.locator(".hidden-label").all_text_contents(),
        ]

    before = seen()
    assert before[:2] == ["brush", "dog"]
    page.keyboard.press("e")
    page.keyboard.press("b")
    with page.expect_response(lambda answer: answer.url.endswith("/page")):
        submit(page)
        page.get_by_role("button", name="Submit without labels").click()
    assert seen() == before
    page.reload()
    assert seen() == before


def flat(low: int, high: int) -> bytes:
    """An image with a gray ramp from `low` to `high`, left to right."""
    ramp = np.linspace(low, high, 320).round().astype(np.uint8)
    return encode(Image.fromarray(np.repeat(np.tile(ramp, (240, 1))[..., None], 3, 2)), "PNG")


@pytest.mark.parametrize(("low", "high"), [(0, 24), (225, 255)])
def test_display_settings_make_dark_and_overexposed_images_readable(
    shared_aws: Any, open_page: Any, low: int, high: int
) -> None:
    _, page, pointer = open_job(shared_aws, open_page, f"tone-{low}", photo=flat(low, high))
    page.keyboard.press("b")
    for _ in range(6):
        page.keyboard.press("w")
    pointer.drag((50.3, 50.4), (50.3, 50.4))
    page.mouse.move(2, 2)
    stage = page.locator(".stage").bounding_box()

    def look() -> tuple[float, float, tuple[int, ...], tuple[int, ...]]:
        """Median gray, 10-90 % spread, color beside the image, color of the labeled area."""
        (left, top), (right, bottom) = pointer.at(5, 100), pointer.at(315, 230)
        shown = pixels(page)
        picture = shown[round(top) : round(bottom), round(left) : round(right)].mean(2)
        beside = tuple(int(v) for v in shown[round(stage["y"]) + 8, round(stage["x"]) + 8])
        ends = np.percentile(picture, [10, 90])
        return float(np.median(picture)), float(ends[1] - ends[0]), beside, color_at(page, pointer, 50, 50)

    median, spread, beside, ink = look()
    for _ in range(8):
        page.keyboard.press("l")  # contrast turns about the picture's own gray: it becomes neither black nor white
    assert look()[1] > 2 * spread
    assert 2 < look()[0] < 253
    page.keyboard.press("t")
    assert 90 < look()[0] < 150
    assert look()[1] > 150
    assert look()[2:] == (beside, ink)
    assert ink == (0xE6, 0x9F, 0x00)
    page.keyboard.press("Shift+T")
    assert look() == (median, spread, beside, ink)


def test_locked_and_hidden_labels_keep_their_pixels(shared_aws: Any, open_page: Any) -> None:
    portal_job, page, pointer = open_job(shared_aws, open_page, "states")
    page.keyboard.press("b")
    places = [(60.3, 60.4), (120.3, 60.4), (180.3, 60.4)]
    for n, place in enumerate(places, start=1):
        page.keyboard.press(str(n))
        pointer.drag(place, place)
    page.keyboard.press("1")
    page.keyboard.press("Shift+D")
    row = page.locator(".row").filter(has_text="dog")
    row.hover()
    row.get_by_role("button", name="Hide: dog").click()
    page.mouse.move(2, 2)
    shown = color_at(page, pointer, 120, 60)
    pointer.drag((40.3, 60.4), (50.3, 60.4))
    expect(page.locator(".message")).to_have_text("“cat” is locked: unlock it to change it.")
    page.keyboard.press("3")
    pointer.drag((30.3, 60.4), (200.3, 60.4))  # over all three
    page.mouse.move(2, 2)
    assert color_at(page, pointer, 120, 60) == shown != (0x1F, 0x77, 0xB4)
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+z")
    expected = np.zeros((240, 320), np.uint8)
    hull(expected, (30.3, 60.4), (200.3, 60.4), 4, value=3)
    disc(expected, *places[0], 4, value=1)
    disc(expected, *places[1], 4, value=2)
    assert np.array_equal(finish(portal_job, page), expected)


def test_one_label_can_be_shown_alone(shared_aws: Any, open_page: Any) -> None:
    _, page, pointer = open_job(shared_aws, open_page, "alone")
    page.keyboard.press("b")
    for key, place in (("1", (60.3, 60.4)), ("2", (120.3, 60.4))):
        page.keyboard.press(key)
        pointer.drag(place, place)
    page.mouse.move(2, 2)
    both = color_at(page, pointer, 60, 60), color_at(page, pointer, 120, 60)
    page.keyboard.press("Shift+S")
    assert color_at(page, pointer, 120, 60) == both[1]
    assert color_at(page, pointer, 60, 60) != both[0]
    expect(page.locator(".hidden-label .name")).to_have_text(["cat", "sea turtle"])
    page.keyboard.press("Shift+S")
    assert (color_at(page, pointer, 60, 60), color_at(page, pointer, 120, 60)) == both


def test_nothing_is_sent_after_the_time_limit_and_the_image_can_be_taken_again(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"0.png": PHOTO}, job="over", time_limit=400)
    page = open_page()
    page.clock.install()
    enter(page, portal_job.links["Ada"])
    begin(page)
    pointer = Pointer(page, 320, 240)
    page.keyboard.press("b")
    pointer.drag((60.3, 60.4), (60.3, 60.4))
    expect(page.locator("#saved")).to_have_text("Saved")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/answer" in request.url else None)
    page.clock.fast_forward("06:50")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The time for this image is over. Your drawing is kept.")
    submit(page)
    page.keyboard.press("Control+z")
    pointer.drag((160.3, 60.4), (160.3, 60.4))
    for name in ("Submit", "Decline"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_disabled()
    assert sent == []
    alert.get_by_role("button", name="Take it again").click()
    expect(page.locator(".message")).to_have_text("Your earlier work on this image was restored.")
    expected = np.zeros((240, 320), np.uint8)
    disc(expected, 60.3, 60.4, 4, value=1)
    assert np.array_equal(finish(portal_job, page), expected)


TURN = """async ([orientation, width, height]) => {
  const { Orientation } = await import("/_portal/static/annotate/orientation.js");
  const turn = new Orientation(orientation, width, height);
  const { origin, across, down } = turn.strides;
  const rows = Array.from({ length: turn.height }, (_, v) =>
    Array.from({ length: turn.width }, (_, u) => origin + u * across + v * down));
  const back = rows.flatMap((row, v) => row.map((_, u) => turn.toUpright(...turn.toStored(u + 0.5, v + 0.5)))
    .map(([x, y], u) => Math.abs(x - u - 0.5) + Math.abs(y - v - 0.5)));
  return { rows, worst: Math.max(...back) };
}"""


def test_every_exif_orientation_is_shown_as_pillow_turns_it(shared_aws: Any, open_page: Any) -> None:
    page = open_page()
    page.goto(f"{shared_aws.url}/_portal/signin")
    stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.open(io.BytesIO(encode(Image.fromarray(stored), "PNG", exif=exif.tobytes())))
        found = page.evaluate(TURN, [orientation, 4, 3])
        assert np.array_equal(found["rows"], np.array(ImageOps.exif_transpose(image)))
        assert found["worst"] == 0


def test_all_tools_labels_and_settings_are_reachable_on_a_phone(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"0.png": PHOTO}, job="reach", labels=MANY)
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    enter(page, portal_job.links["Ada"])
    begin(page)
    tools = page.locator(".tool:visible")
    for n in range(tools.count()):
        expect(tools.nth(n)).to_be_in_viewport(ratio=1)
    stage = page.locator(".stage").bounding_box()
    page.get_by_role("button", name="More", exact=True).tap()
    for name in ("Instructions", "Back", "Ask", "Skip", "Decline"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_in_viewport(ratio=1)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Labels and settings").tap()
    page.get_by_label("Find a label").fill("class 33")
    page.get_by_role("button", name="Lock: class 33").tap()
    expect(page.get_by_label("Brush size")).to_be_in_viewport()
    page.get_by_role("button", name="class 33", exact=False).first.tap()
    expect(page.get_by_label("Brush size")).to_be_hidden()
    expect(page.locator(".label[aria-pressed=true]")).to_be_in_viewport(ratio=1)
    assert page.locator(".stage").bounding_box() == stage


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_accessibility_checker_finds_no_violation_on_a_phone(shared_aws: Any, open_page: Any, scheme: str) -> None:
    portal_job = make_job(shared_aws, {"0.png": PHOTO}, job=f"axe-{scheme}", labels=MANY, time_limit=400)
    page = open_page(bypass_csp=True, color_scheme=scheme, viewport={"width": 390, "height": 844}, has_touch=True)
    page.clock.install()
    enter(page, portal_job.links["Ada"])
    begin(page)
    page.get_by_role("button", name="Polygon").tap()
    for corner in ((20, 20), (80, 20), (80, 80)):
        page.touchscreen.tap(*Pointer(page, 320, 240).at(*corner))
    expect(page.get_by_role("button", name="Done", exact=True)).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Labels and settings").tap()
    page.get_by_text("Picture", exact=True).tap()
    page.get_by_role("button", name="Hide: class 2", exact=True).tap()
    assert violations(page) == []
    page.clock.fast_forward("06:50")
    expect(page.get_by_role("alert")).to_contain_text("The time for this image is over")
    assert violations(page) == []
    other = open_page(bypass_csp=True, color_scheme=scheme, expect_errors=True)
    other.goto(f"{shared_aws.url}/nothing")
    other.get_by_role("heading", name="There is nothing at this address").wait_for()
    assert violations(other) == []
