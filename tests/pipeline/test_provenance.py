"""Provenance of results: in run.json, in tags, and not in fingerprints."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from labeling_project import Project
from trained import Trained

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.pipeline.run import lineage_tags, provenance, with_tags
from gtseg.pipeline.run.events import Event
from gtseg.pipeline.stages.train import train

MANY = {f"key-{number}": "v" for number in range(40)}
AWS_LIMIT = 50


def plan_of(events: list[Event]) -> dict[str, Any]:
    return dict(next(event for event in events if event.kind == "plan").fields)


def test_another_version_of_gtseg_adopts_the_existing_job(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.image("a.jpg")
    first = project.label()
    S3(project.clients).delete([f"{first.root}run.json"])
    monkeypatch.setattr(import_module("gtseg.pipeline.run.provenance"), "__version__", "99.0")
    again = project.label()
    assert again.labeling_job is not None
    assert first.labeling_job is not None
    assert again.labeling_job.arn == first.labeling_job.arn
    assert again.attempts[0].outcome == "adopted"
    assert again.labeling_job.made_from is not None
    assert again.labeling_job.made_from.gtseg == "99.0"


def test_a_labeling_jobs_provenance_has_manifest_settings_and_request(project: Project) -> None:
    project.image("a.jpg")
    run = project.label()
    assert run.labeling_job is not None
    origin = run.labeling_job.made_from
    assert origin is not None
    _, etag = S3(project.clients).read(run.labeling_job.input_manifest)
    assert origin.sources == {
        "manifest": run.labeling_job.input_manifest,
        "manifest_etag": etag,
        "request": run.attempts[0].fingerprint,
    }
    assert origin.settings["labeling"]["labels"] == ["cat"]
    assert origin.settings["images"]["source"] == "images"


def test_the_maximum_of_tags_with_gtsegs_own_is_within_awss_limit(
    project: Project, clients: Clients, tmp_path: Path
) -> None:
    project.image("a.jpg")
    project.set("labeling", tags=MANY)
    project.label(dry_run=True)
    trained = Trained(tmp_path / "t", clients, project.name)
    trained.give_dataset()
    trained.tables["train"] = "tags = { " + ", ".join(f'"{k}" = "{v}"' for k, v in MANY.items()) + " }"
    train(trained.run, trained.context(dry_run=True))
    for request in (plan_of(project.events)["request"], plan_of(trained.events)):
        keys = [tag["Key"] for tag in request["Tags"]]
        assert len(keys) == len(set(keys))
        assert set(MANY) < set(keys)
        assert len(keys) <= AWS_LIMIT
    deployed = {
        "gtseg:run",
        "gtseg:fingerprint",
        "gtseg:expires",
        *lineage_tags("s3://b/r/", training_job="t", dataset="d"),
    }
    assert len(MANY) + len(deployed) <= AWS_LIMIT


def test_existing_tags_stay_and_long_values_are_cut_to_awss_limit() -> None:
    tags = lineage_tags("s3://b/" + "x" * 300 + "/", manifest="m", nothing=None)
    assert len(tags["gtseg:root"]) == 256
    assert "gtseg:nothing" not in tags
    request = with_tags({"Tags": [{"Key": "gtseg:manifest", "Value": "mine"}]}, {"gtseg:manifest": "other", "b": "c"})
    assert request["Tags"] == [{"Key": "gtseg:manifest", "Value": "mine"}, {"Key": "b", "Value": "c"}]


def test_a_snapshot_has_the_named_tables_only(project: Project) -> None:
    made = provenance(project.settings, "dataset", manifest=None, job="j")
    assert set(made.settings) == {"dataset"}
    assert made.sources == {"job": "j"}
