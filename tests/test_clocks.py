"""No test sleeps or measures time; tests wait for conditions and check counts, order and events."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "sleep", "thread_time"}
ALLOWED = {
    "polling.py": "waits for conditions",
    "local/labeling/portal_load.py": "reports times to scripts/benchmark_portal.py; no test reads them",
    "local/test_local_connections.py": "the server's limits for slow senders are in seconds",
}


def clocks_of(code: str) -> set[str]:
    """Return the functions of `time` that the code uses, except those that only read the date."""
    tree = ast.parse(code)
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
    }
    called = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time"
    }
    return (imported | called) & CLOCKS


def test_no_test_sleeps_or_measures_time() -> None:
    using = {str(path.relative_to(TESTS)) for path in TESTS.rglob("*.py") if clocks_of(path.read_text())}
    assert using == ALLOWED.keys()


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import time\ntime.sleep(1)", {"sleep"}),
        ("from time import perf_counter as now", {"perf_counter"}),
        ("import time\nexpires = time.time() + 60", set()),
    ],
)
def test_clock_functions_are_found_in_every_form_of_import(code: str, found: set[str]) -> None:
    assert clocks_of(code) == found
