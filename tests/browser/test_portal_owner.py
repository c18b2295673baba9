"""The owner's pages: workers, figures, answers; a worker's progress."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from portal_helpers import Pointer, begin, draw_photo, encode, enter, make_job
from test_portal_pages import violations
from test_portal_whole_job import leave_empty_handed, submit, submit_and_await_next


def own(page: Any, aws: Any, job: str = "") -> None:
    page.goto(f"{aws.url}/_portal/signin#{aws.owner_token}")
    page.get_by_role("heading", name="Labeling jobs").wait_for()
    if job:
        page.get_by_role("link", name=job, exact=True).click()
        page.get_by_role("heading", name=job).wait_for()


def dab(page: Any, x: float = 60.3, y: float = 60.4) -> None:
    page.keyboard.press("b")
    Pointer(page, 320, 240).drag((x, y), (x, y))


def test_a_worker_can_be_added_and_paused_on_the_page(local_aws: Any, open_page: Any) -> None:
    make_job(local_aws, {f"{n}.png": encode(draw_photo(), "PNG") for n in "ab"}, job="staff", workers=())
    owner, person = open_page(), open_page(expect_errors=True)
    own(owner, local_aws)
    owner.get_by_label("Name").fill("Zoë Quick")
    owner.get_by_role("button", name="Add a person").click()
    link = owner.locator(".given code").text_content()
    assert violations_of(owner) == []
    enter(person, link)
    begin(person)
    own(owner, local_aws, "staff")
    owner.get_by_role("button", name="Pause Zoë Quick").click()
    expect(owner.get_by_role("rowheader", name="Zoë Quick (paused)")).to_be_visible()
    dab(person)
    submit(person)  # a leased task can still be submitted
    expect(person.get_by_text("Zoë Quick is paused")).to_be_visible()
    owner.get_by_role("button", name="Resume Zoë Quick").click()
    expect(owner.get_by_role("rowheader", name="Zoë Quick", exact=True)).to_be_visible()
    person.get_by_role("button", name="Try again").click()
    person.locator("#work:not([inert]) [data-ready]").wait_for()


def violations_of(page: Any) -> list[str]:
    """Run the accessibility checker in a copy of the page whose content security policy allows it."""
    context = page.context.browser.new_context(bypass_csp=True, storage_state=page.context.storage_state())
    other = context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Add a person").wait_for()
    found = violations(other)
    context.close()
    return found


def test_nothing_can_be_pressed_before_the_pages_script_runs(shared_aws: Any, open_page: Any) -> None:
    page, held = open_page(), []
    page.route("**/static/owner.js", lambda route: held.append(route))
    page.goto(f"{shared_aws.url}/_portal/signin#{shared_aws.owner_token}")
    body = page.locator("body:has(#add)")
    expect(body).to_have_attribute("inert", "")
    held[0].continue_()
    expect(page.locator("body:has(#add):not([inert])")).to_be_attached()


def test_a_duplicate_name_is_reported_beside_the_field(local_aws: Any, open_page: Any) -> None:
    make_job(local_aws, {"a.png": encode(draw_photo(), "PNG")}, job="twice")
    owner = open_page(expect_errors=True)
    own(owner, local_aws)
    owner.get_by_label("Name").fill("Ada twice")
    owner.get_by_role("button", name="Add a person").click()
    expect(owner.locator("#problem")).to_contain_text("already has a worker 'Ada twice'")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_answers_can_be_zoomed_and_compared_with_keys(local_aws: Any, open_page: Any, scheme: str) -> None:
    job = f"close-{scheme}"
    portal_job = make_job(
        local_aws, {"a.png": encode(draw_photo(), "PNG")}, job=job, workers=("Ada", "Bob"), per_object=2
    )
    for name, x in (("Ada", 60.3), ("Bob", 64.3)):
        page = open_page()
        enter(page, portal_job.links[name])
        begin(page)
        dab(page, x)
        submit(page)
        leave_empty_handed(page)
    portal_job.await_status()
    owner = open_page(bypass_csp=True, color_scheme=scheme)
    own(owner, local_aws, job)
    owner.get_by_role("button", name=f"Ada {job},").click()
    dialog = owner.get_by_role("dialog", name="0 · a.png")
    pressed = dialog.locator("[aria-pressed=true]")
    expect(pressed).to_contain_text("Ada")
    owner.keyboard.press("3")
    expect(pressed).to_contain_text("Bob")
    owner.keyboard.press("4")
    expect(pressed).to_contain_text("Consolidated")
    dialog.locator("img").nth(1).evaluate("(image) => image.decode()")
    assert violations(owner) == []
    owner.keyboard.press("1")
    expect(dialog.locator("img").nth(1)).to_be_hidden()


def test_the_figures_of_each_worker_can_be_downloaded_as_csv(local_aws: Any, open_page: Any, tmp_path: Path) -> None:
    portal_job = make_job(
        local_aws, {"a.png": encode(draw_photo(), "PNG")}, job="sheet", workers=("=Ada", "Bob"), per_object=2
    )
    for name in ("=Ada", "Bob"):
        page = open_page()
        enter(page, portal_job.links[name])
        begin(page)
        dab(page)
        submit(page)
        leave_empty_handed(page)
    portal_job.await_status()
    owner = open_page(accept_downloads=True)
    own(owner, local_aws, "sheet")
    with owner.expect_download() as download:
        owner.get_by_role("link", name="Download as CSV").click()
    download.value.save_as(tmp_path / "people.csv")
    with (tmp_path / "people.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert download.value.suggested_filename == "sheet-people.csv"
    assert [row["name"] for row in rows] == ["'=Ada sheet", "Bob sheet"]  # a spreadsheet runs no name
    assert [(row["answers"], row["iou"], row["declined"]) for row in rows] == [("1", "1.0", "0")] * 2


def test_a_worker_sees_their_progress_and_returns_to_the_leased_task(local_aws: Any, open_page: Any) -> None:
    portal_job = make_job(local_aws, {f"{n}.png": encode(draw_photo(), "PNG") for n in "ab"}, job="far")
    page = open_page()
    enter(page, portal_job.links["Ada"])
    begin(page)
    expect(page.locator("#progress")).to_have_text("0 done · 2 left")
    dab(page)
    page.keyboard.press("Control+z")
    expect(page.locator(".message")).to_have_text("Undone: a brush stroke. 0 of 1 steps.")
    page.keyboard.press("Control+y")
    submit_and_await_next(page)
    expect(page.locator("#progress")).to_have_text("1 done · 1 left")
    page.get_by_role("link", name="gtseg").click()  # the last image is leased by this worker
    page.get_by_role("link", name="Continue").click()
    page.locator("[data-ready]").wait_for()


def test_the_time_left_is_correct_on_a_computer_with_a_wrong_clock(local_aws: Any, open_page: Any) -> None:
    portal_job = make_job(local_aws, {"a.png": encode(draw_photo(), "PNG")}, job="clock")
    page = open_page()
    page.clock.install(time="2031-01-01T12:00:00Z")
    enter(page, portal_job.links["Ada"])
    begin(page)
    page.clock.run_for(2000)
    expect(page.locator("#timer")).to_contain_text("59:")
    expect(page.get_by_role("button", name="Submit", exact=True)).to_be_enabled()
