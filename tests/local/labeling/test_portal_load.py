"""A short load test with kills of the server."""

from __future__ import annotations

from typing import Any

from labeling_fixture import Labeling
from portal_load import check_load, run_load


def test_no_answer_is_lost_or_duplicated_while_the_server_is_killed(local_aws: Any) -> None:
    labeling = Labeling(local_aws)
    job = labeling.create(24, workers=3)
    load = run_load(labeling, job, people=7, answers=72, kills=2)
    check_load(labeling, job, load, objects=24, per_object=3)
    assert load.kills == 2
    assert load.repeated > 0
