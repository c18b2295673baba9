"""Keyboard shortcuts: the same table of actions for keys, buttons, hints and the key sheet."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect
from portal_helpers import Pointer, begin, draw_photo, encode, enter, make_job

LOOK_UP = """async () => {
  const { drawingActions, labelKey, verdictActions } = await import("/_portal/static/annotate/actions.js");
  const { Actions } = await import("/_portal/static/annotate/keys.js");
  const many = Array.from({ length: 255 }, (_, i) => `label ${i}`);
  const tables = [
    new Actions({ active: {} }, drawingActions(many)),
    new Actions({ active: {} }, verdictActions(["good", "bad"])),
  ];
  return {
    keys: many.map((_, i) => labelKey(i + 1)),
    shared: tables.map((table) => [...table.byKey].filter(([, actions]) => actions.length > 1).map(([key]) => key)),
    ids: tables.map((table) => table.list.map(({ id }) => id)),
    unknown: tables.flatMap((table) =>
      table.list.filter(({ run, label, group }) => !(run && label && group)).map(({ id }) => id)),
  };
}"""


def open_task(aws: Any, open_page: Any, job: str, **settings: Any) -> Any:
    """A worker's page with one image of 320 x 240."""
    portal_job = make_job(aws, {"a.png": encode(draw_photo(), "PNG")}, job=job)
    page = open_page(**settings)
    enter(page, portal_job.links["Ada"])
    begin(page)
    return page


def test_keys_are_unique_and_each_of_255_labels_has_one(shared_aws: Any, open_page: Any) -> None:
    page = open_page()
    page.goto(f"{shared_aws.url}/_portal/signin")
    found = page.evaluate(LOOK_UP)  # the tables refuse a key that is given twice
    assert len(set(found["keys"])) == 255
    assert all(key.count(" then ") == (n > 10) for n, key in enumerate(found["keys"], start=1))
    assert found["shared"] == [["Enter"], []]  # the crosshair's press or "done": the hint says which
    assert found["unknown"] == []
    assert {"brush", "commit", "submit", "sheet"} <= set(found["ids"][0])


def test_a_hint_names_the_current_key(shared_aws: Any, open_page: Any) -> None:
    page = open_task(shared_aws, open_page, "hints")
    pointer, hint = Pointer(page, 320, 240), page.locator(".hint")
    page.keyboard.press("p")
    for corner in ((20.25, 20.25), (80.25, 20.25), (80.25, 80.25)):
        pointer.click(*corner)
    expect(hint).to_contain_text("3 corners. Close with Enter,")
    page.keyboard.press("ArrowLeft")  # with the crosshair on the image, Enter sets a corner
    expect(hint).to_contain_text("Close with C,")
    page.keyboard.press("Enter")
    expect(hint).to_contain_text("4 corners.")
    page.keyboard.press("c")
    expect(hint).to_contain_text("Drag corners")
    page.keyboard.press("c")
    expect(hint).to_contain_text("corner after corner")
    expect(page.get_by_role("button", name="cat").locator(".share")).not_to_have_text("0%")


def test_the_key_sheet_and_the_buttons_show_the_same_keys(shared_aws: Any, open_page: Any) -> None:
    page = open_task(shared_aws, open_page, "sheet")
    titles = page.locator(".tool:visible").evaluate_all("(tools) => tools.map((tool) => tool.title)")
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys")
    rows = sheet.locator("dt").evaluate_all(
        "(terms) => terms.map((term) => [...term.querySelectorAll('kbd')].map((key) => key.textContent))"
    )
    assert all(
        title.partition("(")[2].rstrip(")").split()[-1] in {key for row in rows for key in row} for title in titles
    )
    expect(sheet).to_contain_text("Press at the crosshair")
    page.keyboard.press("Escape")
    assert "Brush (B)" in titles
    page.keyboard.press("b")
    expect(page.get_by_role("button", name="Brush", exact=True)).to_have_attribute("aria-pressed", "true")


def test_enter_presses_the_focused_button(shared_aws: Any, open_page: Any) -> None:
    page = open_task(shared_aws, open_page, "focused")
    page.keyboard.press("p")
    Pointer(page, 320, 240).click(20.25, 20.25)
    page.get_by_role("button", name="Brush", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Brush", exact=True)).to_have_attribute("aria-pressed", "true")


def test_an_open_shape_can_be_ended_by_buttons_beside_the_hint(shared_aws: Any, open_page: Any) -> None:
    page = open_task(shared_aws, open_page, "offers", has_touch=True, viewport={"width": 390, "height": 844})
    pointer, hint = Pointer(page, 320, 240), page.locator(".hint")
    page.get_by_role("button", name="Polygon").tap()
    page.touchscreen.tap(*pointer.at(20.25, 20.25))
    expect(hint).to_contain_text("1 corner. Tap the first one")
    for corner in ((80.25, 20.25), (80.25, 80.25), (20.25, 80.25)):
        page.touchscreen.tap(*pointer.at(*corner))
    page.get_by_role("button", name="Remove point").tap()
    expect(hint).to_contain_text("3 corners.")
    page.get_by_role("button", name="Done", exact=True).tap()
    expect(hint).to_contain_text("Drag corners")
    page.get_by_role("button", name="Done", exact=True).tap()
    expect(hint).to_have_text("Tap corner after corner around the object.")
    expect(page.get_by_role("button", name="cat").locator(".share")).not_to_have_text("0%")
