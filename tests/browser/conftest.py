"""Fixtures: a Chromium with a profile per user."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from local_aws import LocalAWS

playwright = pytest.importorskip("playwright.sync_api")
PATIENCE = 60_000  # milliseconds: the machine's load is no property of the page
playwright.expect.set_options(timeout=PATIENCE)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def shared_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """A server per test file, because a worker's home page lists every job."""
    server = LocalAWS(tmp_path_factory.mktemp("portal") / "aws")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


OpenPage = Callable[..., Any]


@pytest.fixture
def open_page(chromium: Any) -> Iterator[OpenPage]:
    """Factory of pages in new browser profiles; console errors of a page fail the test.

    Motion is reduced, so that no check samples a color in the middle of a transition.
    """
    contexts, problems = [], []

    def start(*, expect_errors: bool = False, **settings: Any) -> Any:
        context = chromium.new_context(
            **{"viewport": {"width": 1280, "height": 720}, "reduced_motion": "reduce", **settings}
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        if not expect_errors:
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        return page

    yield start
    for context in contexts:
        context.close()
    assert not problems, problems
