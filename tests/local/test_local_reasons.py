"""FailureReason: container paths instead of local ones, length limit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gtseg.local.jobs.reasons import failure_reason

DATA = Path("/srv/people's data/aws")
CASES = {
    f"ClientError: {DATA}/training/job-1/ml/input/data/train/a.png is damaged": (
        "ClientError: /opt/ml/input/data/train/a.png is damaged"
    ),
    f"cannot open '{DATA}/endpoints/e/1/AllTraffic/ml/.model.partial/x.params'": "cannot open '/opt/ml/model/x.params'",
    f"{DATA}/endpoints/e/1/v/ml: no model": "/opt/ml: no model",
    f"No space left on device: '{DATA}/objects/ab/cd'": "No space left on device: 'cd'",
    f'File "{sys.prefix}/lib/python3.11/json/decoder.py", line 1': 'File "decoder.py", line 1',
    "s3://bucket/ml/model.tar.gz has no model": "s3://bucket/ml/model.tar.gz has no model",
    "AlgorithmError: out of memory, exit code: 1": "AlgorithmError: out of memory, exit code: 1",
}  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_failure_reasons_name_files_as_in_the_container(text: str) -> None:
    assert failure_reason(text, DATA) == CASES[text]


def test_a_failure_reason_is_truncated_to_awss_limit() -> None:
    assert len(failure_reason("x" * 5000, DATA)) == 1024
