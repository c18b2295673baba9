"""Common parts of the commands of stages."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from gtseg.cli.options import Session, Spending
from gtseg.cli.stage_command import answer, run_stage
from gtseg.pipeline.run import Context, LabelingJobSection, Run

RUN = Run(name="r", root="s3://bucket/r/", account="1" * 12, region="us-east-1", created=datetime.now(UTC))
JOB = LabelingJobSection(name="j", arn="a", label_attribute="j-ref", workforce="private", objects=3)


@dataclass
class Saves:
    """Stand-in for RunFile."""

    saved: list[Run] = field(default_factory=list)

    def save(self, run: Run) -> Run:
        self.saved.append(run)
        return run.update(etag="new")


def stage(run: Run, context: Context) -> Run:
    context.of("label").note("heard")
    return run if context.dry_run else run.update(labeling_job=JOB)


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_run_is_saved_unless_it_is_a_dry_run(dry_run: bool, capsys: pytest.CaptureFixture[str]) -> None:
    saves = Saves()
    session = Session(None, SimpleNamespace(is_aws=lambda service: False), saves, RUN)  # type: ignore[arg-type]
    run = run_stage(session, stage, Spending(yes=True, dry_run=dry_run))
    assert [kept.labeling_job for kept in saves.saved] == ([] if dry_run else [JOB])
    assert run.etag == (None if dry_run else "new")
    assert capsys.readouterr().err == "label: heard\n"


def test_the_section_is_printed_as_json_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    answer(JOB, as_json=False)
    answer(None, as_json=True)
    assert capsys.readouterr().out == ""
    answer(JOB, as_json=True)
    assert json.loads(capsys.readouterr().out)["name"] == "j"
