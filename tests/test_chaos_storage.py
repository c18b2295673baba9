"""scripts/chaos_storage: one cell, and the completeness of the matrix."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "chaos_storage.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("chaos_storage", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["chaos_storage"] = module
    spec.loader.exec_module(module)
    return module


chaos_storage = load()


def test_a_storage_that_is_killed_during_a_jobs_creation_leads_to_one_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chaos_storage.chaos, "FAULTS", chaos_storage.FAULTS)
    bench = chaos_storage.FarBench(tmp_path, seconds=1.0)
    try:
        bench.walk_undisturbed(("label",), tell=lambda words: None)
        cell = chaos_storage.chaos.Cell("label", "away")
        chaos_storage.chaos.try_cell(bench, cell)
        assert cell.outcome == "ok", cell.outcome
        assert cell.fired > 0
    finally:
        bench.close()


def test_the_storage_matrix_has_every_fault_for_every_stage() -> None:
    assert {"away", "throttled", "wrong-bytes", "expired", "labeling-killed", "both-killed", "two-clients"} == set(
        chaos_storage.FAULTS
    )
    matrix = chaos_storage.chaos.generate(chaos_storage.chaos.STAGES, tuple(chaos_storage.FAULTS))
    assert len(matrix.wrong) == len(matrix.cells) == 8 * len(chaos_storage.FAULTS)
    page = chaos_storage.render(matrix, seconds=60)
    assert page.count("| not run") == len(matrix.cells)
