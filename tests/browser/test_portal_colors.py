"""Label colors on the page: defaults, the owner's choice, and the colors in files."""

from __future__ import annotations

import io
import os
import urllib.error
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from portal_helpers import Pointer, PortalJob, ask, begin, draw_photo, encode, enter, make_job, png_of
from test_portal_owner import own
from test_portal_pages import violations
from test_portal_whole_job import colors_of, disc, leave_empty_handed, submit, submit_and_await_next

SAFE = ["rgb(230, 159, 0)", "rgb(86, 180, 233)", "rgb(0, 158, 115)"]  # Okabe and Ito's first three
INK = """([x, y]) => {
  const canvas = document.querySelectorAll(".stage canvas")[1];
  const box = canvas.getBoundingClientRect();
  const at = [(x - box.left) * devicePixelRatio, (y - box.top) * devicePixelRatio];
  const [r, g, b] = canvas.getContext("2d").getImageData(...at, 1, 1).data;
  return [r, g, b];
}"""


def swatches(page: Any) -> list[str]:
    script = "found => found.slice(0, 3).map((swatch) => getComputedStyle(swatch).backgroundColor)"
    return page.locator(".labels .swatch").evaluate_all(script)  # type: ignore[no-any-return]


def paint_dog(page: Any) -> list[int]:
    """Draw a dot of the second label; return its color on the canvas."""
    pointer = Pointer(page, 320, 240)
    page.keyboard.press("2")
    page.keyboard.press("b")
    pointer.drag((160.3, 120.4), (160.3, 120.4))
    page.wait_for_function(f"(at) => ({INK})(at).some((part) => part > 0)", arg=list(pointer.at(160.3, 120.4)))
    return page.evaluate(INK, list(pointer.at(160.3, 120.4)))  # type: ignore[no-any-return]


def written(portal_job: PortalJob) -> list[bytes]:
    """The consolidated PNGs."""
    return [body for body in portal_job.read(".png") if Image.open(io.BytesIO(body)).mode == "P"]


def test_a_color_chosen_by_the_owner_applies_from_the_next_image_and_is_in_no_file(
    shared_aws: Any, open_page: Any
) -> None:
    image = encode(draw_photo(), "PNG")
    portal_job = make_job(shared_aws, {"a.png": image, "b.png": image}, job="chosen")
    person, owner = open_page(), open_page()
    enter(person, portal_job.links["Ada"])
    begin(person)
    assert swatches(person) == SAFE
    assert paint_dog(person) == pytest.approx([86, 180, 233], abs=3)
    own(owner, shared_aws, "chosen")
    owner.get_by_text("Colors of labels").click()
    with owner.expect_response(lambda answer: answer.url.endswith("/colors")):
        owner.get_by_label("Color of dog", exact=True).fill("#aa00ff")
    expect(owner.get_by_role("button", name="Reset the color of dog")).to_be_visible()
    assert swatches(person) == SAFE  # the open task stays as it is
    submit_and_await_next(person)
    assert swatches(person) == [SAFE[0], "rgb(170, 0, 255)", SAFE[2]]
    assert paint_dog(person) == pytest.approx([170, 0, 255], abs=3)
    submit(person)
    leave_empty_handed(person)
    portal_job.await_status()
    drawn = np.zeros((240, 320), np.uint8)
    disc(drawn, 160.3, 120.4, 4, value=2)
    one, other = (png_of(answer) for answer in portal_job.answers())
    assert np.array_equal(one, other)
    assert {tuple(pixel) for pixel in one.reshape(-1, 4)} == {tuple(p) for p in colors_of(drawn).reshape(-1, 4)}
    first, second = written(portal_job)
    assert first == second
    assert Image.open(io.BytesIO(first)).getpalette()[:9] == [
        255,
        255,
        255,
        0x2C,
        0xA0,
        0x2C,
        0x1F,
        0x77,
        0xB4,
    ]  # type: ignore[index]
    (manifest,) = portal_job.read("output.manifest")
    assert b"#1f77b4" in manifest
    assert b"#aa00ff" not in manifest


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colors_are_read_from_the_jobs_tags_chosen_and_reset(shared_aws: Any, open_page: Any, scheme: str) -> None:
    job = f"tagged-{scheme}"
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job=job)
    arn = portal_job.describe()["LabelingJobArn"]
    tags = [{"Key": "gtseg:colors", "Value": "1=56b4e9 9=000000 nonsense"}]
    shared_aws.client("sagemaker").add_tags(ResourceArn=arn, Tags=tags)
    owner = open_page(bypass_csp=True, color_scheme=scheme, expect_errors=True)
    own(owner, shared_aws, job)
    owner.get_by_text("Colors of labels").click()
    cat, dog = owner.get_by_label("Color of cat", exact=True), owner.get_by_label("Color of dog", exact=True)
    expect(cat).to_have_value("#56b4e9")
    expect(dog).to_have_value("#e69f00")  # its own is taken
    assert violations(owner) == []
    dog.fill("#56b4e9")
    expect(owner.get_by_text("'cat' and 'dog' have the same color #56b4e9")).to_be_visible()
    expect(dog).to_have_value("#e69f00")
    owner.get_by_role("button", name="Reset the color of cat").click()
    expect(cat).to_have_value("#e69f00")
    person = open_page(color_scheme=scheme)
    enter(person, portal_job.links["Ada"])
    begin(person)
    assert swatches(person) == SAFE
    owner.get_by_role("button", name="Reset all").click()
    expect(cat).to_have_value("#56b4e9")
    if folder := os.environ.get("GTSEG_SHOTS"):
        paint_dog(person)
        person.screenshot(path=f"{folder}/task-{scheme}.png")
        owner.screenshot(path=f"{folder}/owner-{scheme}.png")


def test_an_invalid_choice_of_colors_is_refused(shared_aws: Any) -> None:
    make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="refused", workers=())
    for body in ({}, {"colors": {"cow": "#000000"}}, {"colors": {"cat": "black"}}):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask(shared_aws, "POST", "/_portal/api/owner/jobs/refused/colors", body)


def test_255_labels_have_distinct_colors_with_any_choice(shared_aws: Any, open_page: Any) -> None:
    page = open_page()
    page.goto(f"{shared_aws.url}/_portal/signin")
    shown = page.evaluate(
        """async () => {
          const { shownColors } = await import("/_portal/static/annotate/shown_colors.js");
          const labels = Array.from({ length: 255 }, (_, i) => `${i}`);
          const own = shownColors(labels);
          const chosen = { 0: own[254], 1: own[0], 2: "#123456", constructor: own[3], 300: own[4] };
          return [own, shownColors(labels, chosen), shownColors(["constructor", "__proto__"], {})];
        }"""
    )
    own, chosen, odd = shown
    assert len(set(own)) == len(set(chosen)) == 255
    assert chosen[:5] == [own[254], own[0], "#123456", own[3], own[4]]
    assert chosen[5:254] == own[5:254]
    assert odd == own[:2]
