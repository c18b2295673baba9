"""Context of a stage, and begin(), which creates resources that cost money."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import gtseg
from gtseg.errors import GtsegError
from gtseg.pipeline.run import Context
from gtseg.pipeline.run.events import Consent, Event

TOGETHER = {"run", "settings", "clients", "notify", "consent", "dry_run", "sleep"}
"""What travels in Context, and its run."""


def test_few_functions_take_a_contexts_fields_as_separate_arguments() -> None:
    found = []
    for path in Path(gtseg.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                names = {arg.arg for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]}
                found += [node.name] if len(names & TOGETHER) >= 3 else []
    assert len(found) <= 2, found


def test_a_contexts_clients_are_created_once_without_requests(project: Any) -> None:
    context = project.context()
    assert context.s3 is context.s3
    assert context.labeling is context.labeling


def test_events_name_their_stage(project: Any) -> None:
    context = project.context().of("label")
    context.note("one", {"arn": "a"})
    context.progress("two", 1, 2)
    assert project.events[-2:] == [
        Event("label", "note", "one", fields={"arn": "a"}),
        Event("label", "progress", "two", 1, 2),
    ]


def test_nothing_is_created_without_consent(project: Any) -> None:
    weighed: list[Any] = []
    consent = Consent(spend=lambda words: False, check_cost=lambda *of: weighed.append(of))
    context: Context = project.context(consent=consent).of("train")
    context.agree(project.run, "Train?")  # nobody bills what is not AWS's
    assert not weighed
    project.clients.__dict__["is_aws"] = lambda service: service == "sagemaker"
    with pytest.raises(GtsegError, match="Nothing was started"):
        context.agree(project.run, "Train?")
    assert weighed == [("train", project.run, None)]
