"""Short form of scripts/chaos: five cells of its matrix, and the checks of the matrix itself."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "chaos.py"
SHORT = [
    ("label", "cli-killed"),
    ("label", "drop"),
    ("watch", "server-killed"),
    ("dataset", "corrupt"),
    ("dataset", "two-at-once"),
]


def load() -> Any:
    spec = importlib.util.spec_from_file_location("chaos", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["chaos"] = module
    spec.loader.exec_module(module)
    return module


chaos = load()


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    with chaos.bench_in() as bench:
        bench.walk_undisturbed(("label", "watch", "dataset"), tell=lambda words: None)
        yield bench


@pytest.mark.parametrize(("stage", "fault"), SHORT)
def test_a_command_repeated_after_a_fault_has_the_undisturbed_result(bench: Any, stage: str, fault: str) -> None:
    cell = chaos.Cell(stage, fault)
    chaos.try_cell(bench, cell)
    assert cell.outcome == "ok", cell.outcome
    assert cell.fired > 0


class ScriptedBench:
    """Bench whose commands all succeed, with given calls and results."""

    said = ""

    def __init__(self, *, calls: list[tuple[str, str]], result: Any, code: int = 0) -> None:
        self._calls, self._result, self.code = calls, result, code
        self.expected = {"label": ([("CreateLabelingJob", "c-label-1")], ["c-label-1"])}
        self.proxy = self

    def calls(self) -> list[tuple[str, str]]:
        return self._calls

    def result(self, stage: str) -> Any:
        return self._result

    def put_back(self, stage: str) -> None: ...

    def arm(self, at: int, action: Any) -> None: ...

    def command(self, stage: str) -> int:
        return self.code


ONE, TWO = (
    [("CreateLabelingJob", "c-label-1")],
    [("CreateLabelingJob", "c-label-1"), ("CreateLabelingJob", "c-label-2")],
)


@pytest.mark.parametrize(
    ("fired", "pretended", "words"),
    [
        (1, ScriptedBench(calls=ONE, result=["c-label-1"]), "ok"),
        (0, ScriptedBench(calls=ONE, result=["c-label-1"]), "did not fire"),
        (1, ScriptedBench(calls=TWO, result=["c-label-1"]), "2 instead of 1"),
        (1, ScriptedBench(calls=[], result=["c-label-1"]), "0 instead of 1"),
        (1, ScriptedBench(calls=ONE, result=["other"]), "instead of"),
        (1, ScriptedBench(calls=ONE, result=["c-label-1"], code=1), "exit code 1"),
    ],
)
def test_a_cell_holds_only_if_its_fault_fired_and_calls_result_and_exit_code_are_right(
    fired: int, pretended: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = chaos.Cell("label", "cli-killed")
    monkeypatch.setitem(chaos.FAULTS, "cli-killed", lambda bench, stage: fired)
    chaos.try_cell(pretended, cell)
    assert words in cell.outcome
    assert (cell.outcome == "ok") == (words == "ok")


def test_the_matrix_has_every_fault_for_every_stage_and_no_empty_cell() -> None:
    from gtseg.pipeline.stages.order import STAGES

    assert set(chaos.STAGES) == {stage.name for stage in STAGES} | {"cleanup"}
    matrix = chaos.generate()
    assert len(matrix.cells) == len(chaos.STAGES) * len(chaos.FAULTS)
    impossible = [cell for cell in matrix.cells if cell.outcome]
    assert {(cell.fault, cell.stage) for cell in impossible} == set(chaos.IMPOSSIBLE)
    assert len(matrix.wrong) == len(matrix.cells) - len(impossible)
