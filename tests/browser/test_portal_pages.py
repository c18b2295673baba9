"""All pages of the portal: accessibility, hostile templates, time limits, earlier masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from portal_helpers import TEMPLATE, Pointer, begin, draw_photo, encode, enter, make_job, png_of
from test_portal_whole_job import disc, leave_empty_handed, submit, submit_and_await_next

AXE = Path(__file__).resolve().parents[1] / "data" / "axe-core" / "axe.min.js"


def violations(page: Any) -> list[str]:
    page.add_script_tag(path=str(AXE))
    found = page.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
    )
    return [f"{v['id']}: {v['help']}: {[n['html'][:120] for n in v['nodes']]}" for v in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_accessibility_checker_finds_no_violation_on_any_page(shared_aws: Any, open_page: Any, scheme: str) -> None:
    images = {f"{n}.png": encode(draw_photo(), "PNG") for n in "ab"}
    portal_job = make_job(shared_aws, images, job=f"axe-{scheme}")
    page = open_page(bypass_csp=True, color_scheme=scheme)
    page.goto(f"{shared_aws.url}/_portal/signin")
    assert violations(page) == []
    enter(page, portal_job.links["Ada"])
    page.get_by_role("link", name="Start").wait_for()
    assert violations(page) == []
    page.get_by_role("link", name="Start").click()
    page.get_by_role("dialog").wait_for()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    Pointer(page, 320, 240).drag((60, 60), (120, 80))
    expect(page.locator("#saved")).to_have_text("Saved")
    assert violations(page) == []
    page.keyboard.press("?")
    assert violations(page) == []
    page.keyboard.press("Escape")
    submit(page)
    expect(page.locator("#saved")).to_have_text("")
    owner = open_page(bypass_csp=True, color_scheme=scheme)
    owner.goto(f"{shared_aws.url}/_portal/signin#{shared_aws.owner_token}")
    owner.get_by_role("link", name=f"axe-{scheme}").wait_for()
    assert violations(owner) == []
    owner.get_by_role("link", name=f"axe-{scheme}").click()
    owner.locator(".object").first.wait_for()
    assert violations(owner) == []


EVIL = """<script>window.pwned = 1</script><style>body { display: none }</style>
<crowd-form onmouseover="window.pwned = 2"><iframe src="/_portal/owner"></iframe>
  <img src="x" onerror="window.pwned = 3">
  <crowd-semantic-segmentation name="annotatedResult" src="{{ task.input.taskObject | grant_read_access }}"
    labels="{{ task.input.labels | to_json | escape }}"
    onclick="window.pwned = 4" style="display: none">
    <short-instructions><p onclick="window.pwned = 5">Mind the <a href="javascript:window.pwned = 6">link</a>
      <img src="https://collector.invalid/steal.png" alt="outside"></p>
      <svg onload="window.pwned = 7"></svg></short-instructions>
  </crowd-semantic-segmentation><form action="https://collector.invalid"><button>Go</button></form>
</crowd-form>"""


def test_a_templates_scripts_do_not_run_and_it_loads_nothing_external(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="evil", template=EVIL)
    page = open_page(expect_errors=True)
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    enter(page, portal_job.links["Ada"])
    begin(page, instructions=False)
    page.get_by_text("Mind the").click()
    page.get_by_text("link", exact=True).hover()
    assert page.evaluate("window.pwned") is None
    assert (
        page.locator(
            "#work script, #work style, #work iframe, #work form, #work [onclick], #work [style*=none]"
        ).count()
        == 0
    )
    assert all(url.startswith((shared_aws.url, "blob:", "data:")) for url in asked), asked
    page.keyboard.press("b")
    Pointer(page, 320, 240).drag((60.3, 60.4), (60.3, 60.4))
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    assert "annotatedResult" in portal_job.answers()[0]["answerContent"]


def test_the_error_of_a_template_that_cannot_be_shown_is_displayed(shared_aws: Any, open_page: Any) -> None:
    template = TEMPLATE.replace("crowd-semantic-segmentation", "crowd-bounding-box")
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="other", template=template)
    page = open_page()
    enter(page, portal_job.links["Ada"])
    page.get_by_role("link", name="Start").click()
    expect(page.get_by_text("has no <crowd-semantic-segmentation>")).to_be_visible()


def test_the_page_warns_before_the_time_limit_and_restores_the_drawing(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_job(shared_aws, {"a.png": encode(draw_photo(), "PNG")}, job="time", time_limit=400)
    page = open_page()
    page.clock.install()
    enter(page, portal_job.links["Ada"])
    begin(page)
    page.keyboard.press("b")
    Pointer(page, 320, 240).drag((60.3, 60.4), (60.3, 60.4))
    expect(page.locator("#saved")).to_have_text("Saved")
    page.clock.fast_forward("02:30")
    expect(page.get_by_role("alert")).to_contain_text("5 minutes left")
    page.clock.fast_forward("04:20")
    expect(page.get_by_role("alert")).to_contain_text("time for this image is over")
    expect(page.get_by_role("button", name="Submit", exact=True)).to_be_disabled()
    page.get_by_role("button", name="Next image").click()
    expect(page.locator(".message")).to_have_text("Your earlier work on this image was restored.")


ADJUST = TEMPLATE.replace(
    'header="Please',
    "initial-value=\"{ 'src':'{{ 's3://labels/prior.png' | grant_read_access }}', 'labelMappings': "
    "{ &quot;cat&quot;: {'color': '#1f77b4'}, 'dog': {'color': \"#2ca02c\"}, } }\" header=\"Please",
).replace('"#2ca02c"', "'#2ca02c'")


def test_an_earlier_mask_is_loaded_and_changes_to_it_are_reported(shared_aws: Any, open_page: Any) -> None:
    prior = np.zeros((240, 320), np.uint8)
    disc(prior, 100.3, 100.4, 30, value=1)
    disc(prior, 200.3, 100.4, 30, value=2)
    image = Image.fromarray(prior, "P")
    image.putpalette([255, 255, 255, 0x1F, 0x77, 0xB4, 0x2C, 0xA0, 0x2C])
    shared_aws.client("s3").create_bucket(Bucket="labels")
    shared_aws.client("s3").put_object(Bucket="labels", Key="prior.png", Body=encode(image, "PNG"))
    images = {f"{n}.png": encode(draw_photo(), "PNG") for n in "ab"}
    portal_job = make_job(shared_aws, images, job="adjust", template=ADJUST)
    page = open_page()
    enter(page, portal_job.links["Ada"])
    begin(page)
    submit_and_await_next(page)  # the first as it is
    page.keyboard.press("3")
    page.keyboard.press("b")
    Pointer(page, 320, 240).drag((20.3, 20.4), (20.3, 20.4))
    submit(page)
    leave_empty_handed(page)
    portal_job.await_status()
    first, second = portal_job.masks()
    assert np.array_equal(first, prior)
    disc(prior, 20.3, 20.4, 4, value=3)
    assert np.array_equal(second, prior)
    values = [answer["answerContent"]["crowd-semantic-segmentation"] for answer in portal_job.answers()]
    assert sorted(value["initialValueModified"] for value in values) == [False, True]
    assert json.dumps(values[0]["labelMappings"]["cat"]) == '{"color": "#1f77b4"}'
    assert png_of(portal_job.answers()[0]).shape == (240, 320, 4)
