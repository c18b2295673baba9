"""Printed JSON."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gtseg.cli.console import JsonLines, print_json
from gtseg.pipeline.run.events import Event

MOMENT = datetime(2026, 11, 29, 21, 49, 24, tzinfo=UTC)


def test_times_are_iso_8601_in_json_documents_and_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"created": MOMENT, "cost": Decimal("1.50")})
    assert json.loads(capsys.readouterr().out) == {"created": "2026-11-29T21:49:24+00:00", "cost": "1.50"}
    stream = io.StringIO()
    JsonLines(stream)(Event("label", "finished", "done", fields={"created": MOMENT}))
    assert json.loads(stream.getvalue())["created"] == "2026-11-29T21:49:24+00:00"
