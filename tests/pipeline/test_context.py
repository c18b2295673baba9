"""The stage contract: what a stage needs travels in one Context, and begin() makes what costs money."""

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


def test_hardly_a_function_takes_apart_what_travels_in_a_context() -> None:
    found = []
    for path in Path(gtseg.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                names = {arg.arg for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]}
                found += [node.name] if len(names & TOGETHER) >= 3 else []
    assert len(found) <= 2, found


def test_doors_are_made_once_and_ask_nobody(project: Any) -> None:
    context = project.context()
    assert context.s3 is context.s3
    assert context.labeling is context.labeling


def test_events_are_signed_with_the_stage(project: Any) -> None:
    context = project.context().of("label")
    context.note("one", {"arn": "a"})
    context.progress("two", 1, 2)
    assert project.events[-2:] == [
        Event("label", "note", "one", fields={"arn": "a"}),
        Event("label", "progress", "two", 1, 2),
    ]


def test_without_consent_nothing_is_started(project: Any) -> None:
    weighed: list[Any] = []
    consent = Consent(spend=lambda words: False, check_cost=lambda *of: weighed.append(of))
    context: Context = project.context(consent=consent).of("train")
    context.agree(project.run, "Train?")  # nobody bills what is not AWS's
    assert not weighed
    project.clients.__dict__["is_aws"] = lambda service: service == "sagemaker"
    with pytest.raises(GtsegError, match="Nothing was started"):
        context.agree(project.run, "Train?")
    assert weighed == [("train", project.run, None)]
