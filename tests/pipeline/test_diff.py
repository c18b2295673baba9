"""Differences of two runs, from records and by the command on a real server."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from trained import Trained

import gtseg
from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.cli.diff import lines_of
from gtseg.errors import StageError
from gtseg.pipeline.commands.diff import by_name, compare_records, diff, same_photographs
from gtseg.pipeline.run import EvaluationSection, TrainingJobSection, provenance


def record(split: str = "train", *, image: str = "i", mask: str = "m", status: str = "accepted") -> dict[str, Any]:
    return {"split": split, "status": status, "image_etag": image, "annotation_etag": mask}


def test_every_kind_of_change_of_the_data_is_distinguished() -> None:
    one = {
        "gone": record(),
        "same": record("test"),
        "moved": record("train"),
        "bytes": record(image="1"),
        "label": record(mask="1"),
        "refused": record(status="accepted"),
    }
    other = {
        "new": record(),
        "same": record("test"),
        "moved": record("validation"),
        "bytes": record(image="2"),
        "label": record(mask="2"),
        "refused": record(status="rejected"),
    }
    found = compare_records(one, other)
    assert (found.added, found.removed) == (("new",), ("gone",))
    assert (found.image_changed, found.label_changed) == (("bytes",), ("label",))
    assert [(c.what, c.before, c.after) for c in found.moved] == [("moved", "train", "validation")]
    assert [(c.what, c.before, c.after) for c in found.judged] == [("refused", "accepted", "rejected")]
    assert found.same_test


def test_a_labeled_and_an_imported_run_of_the_same_images_differ_in_labels_only() -> None:
    """The import renames its copies and converts a PNG."""
    size = {"width": 4, "height": 3}
    labeled = {
        "s3://photos/deep/a.jpg": record(image="a", mask="1"),
        "s3://photos/b.png": record(image="b", mask="1") | size,
        "s3://photos/gone.jpg": record(image="gone") | size,
    }
    imported = {
        "labeling/x/images/deep-a.jpg": record(image="a", mask="2"),
        "labeling/x/images/B.jpg": record(image="jpeg of b", mask="2") | size,
        "labeling/x/images/new.jpg": record(image="new") | size,
    }
    found = compare_records(labeled, same_photographs(labeled, imported))
    assert (found.added, found.removed) == (("labeling/x/images/new.jpg",), ("s3://photos/gone.jpg",))
    assert found.label_changed == ("s3://photos/deep/a.jpg", "s3://photos/b.png")
    assert found.image_changed == ("s3://photos/b.png",)


def test_ambiguous_images_are_not_paired() -> None:
    twice = {"x/a.jpg": record(image="a"), "y/a.jpg": record(image="a")}
    assert same_photographs(twice, {"z/a.jpg": record(image="a")}).keys() == {"z/a.jpg"}


@pytest.mark.parametrize("other", [{}, {"a": record("test", mask="2")}, {"a": record("test"), "b": record("test")}])
def test_scores_are_comparable_only_on_the_same_images_with_the_same_labels(other: dict[str, Any]) -> None:
    assert not compare_records({"a": record("test")}, other).same_test


def test_a_run_that_reads_another_runs_images_has_equal_images() -> None:
    """`gtseg dataset --run other --job ...`: its objects.jsonl has URIs below the first run."""
    own, copied = {"image": "s3://b/one/images/a.jpg"}, {"image": "s3://b/other/images/a.jpg"}
    one = by_name([own], ("s3://b/one/", "s3://b/other/"))
    assert one.keys() == by_name([own], ("s3://b/other/", "s3://b/one/")).keys() == {"images/a.jpg"}
    assert by_name([copied], ("s3://b/other/", "s3://b/one/")).keys() == one.keys()
    both = by_name([own, copied], ("s3://b/one/", "s3://b/other/"))
    assert both == {"images/a.jpg": own, "s3://b/other/images/a.jpg": copied}


@pytest.fixture
def pair(clients: Clients, tmp_path: Path) -> tuple[Trained, Trained]:
    """Return two runs of one bucket that differ in one image's label, one setting and the score."""
    name = f"d{uuid.uuid4().hex[:8]}"
    projects = []
    for number, (miou, rate) in enumerate([(0.5, 0.01), (0.75, 0.1)]):
        project = Trained(tmp_path, clients, name)
        project.tables["train.hyperparameters"] = f"epochs = 2\nlearning_rate = {rate}"
        settings = project.settings
        root = f"s3://bucket-{name}/{name}-{number}/"
        S3(clients).ensure_bucket(f"bucket-{name}")
        run = project.run_file.__class__(clients, root).load()
        lines = [
            {"line": 0, "image": f"{root}images/a.jpg", **record("test", mask=f"m{number}")},
            {"line": 1, "image": f"{root}images/b.jpg", **record("train")},
        ]
        S3(clients).write(f"{root}objects.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        job = TrainingJobSection(
            name="t",
            arn="a",
            image_uri="i",
            instance_type="m",
            hyperparameters={"learning_rate": str(rate)},
            made_from=provenance(settings, "train", dataset="f"),
        )
        scored = EvaluationSection(
            split="test",
            images=1,
            miou=miou,
            miou_builtin=miou,
            miou_per_image=miou,
            miou_foreground=miou,
            pixel_accuracy=0.9,
        )
        project.run_file.__class__(clients, root).save(run.update(training_job=job, evaluation=scored))
        projects.append(project)
    return projects[0], projects[1]


def test_diff_names_the_changed_label_setting_and_score(pair: Any, shared_aws: Any) -> None:
    project = pair[0]
    command = [sys.executable, "-m", "gtseg", "diff", f"{project.name}-0", f"{project.name}-1"]
    done = subprocess.run(command, cwd=project.folder, env=shared_aws.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 other labels: images/a.jpg" in done.stdout
    assert "train.hyperparameters.learning_rate 0.0100 -> 0.1000 (+0.0900)" in done.stdout
    assert "test miou 0.5000 -> 0.7500 (+0.2500)" in done.stdout
    assert "the test splits differ" in done.stdout
    asked = subprocess.run([*command, "--json"], cwd=project.folder, env=shared_aws.environment, capture_output=True)
    found = json.loads(asked.stdout)
    assert found["data"]["label_changed"] == ["images/a.jpg"]
    assert {change["what"] for change in found["settings"]} == {
        "train.hyperparameters.learning_rate",
        "sent learning_rate",
    }


def test_a_run_does_not_differ_from_itself(pair: Any, clients: Clients) -> None:
    name = pair[0].name
    run = pair[0].run_file.__class__(clients, f"s3://bucket-{name}/{name}-0/").load()
    found = diff(run, run, S3(clients))
    assert list(lines_of(found))[1:] == [
        "data: the same images, labels, split and classes",
        "settings: the same",
        "results: the same",
    ]


def test_a_missing_run_is_named(pair: Any, clients: Clients) -> None:
    name = pair[0].name
    ghost = pair[0].run_file.__class__(clients, f"s3://bucket-{name}/ghost/").load()
    with pytest.raises(StageError, match="no run 'ghost'"):
        diff(ghost, ghost, S3(clients))


def test_a_snapshot_has_no_secrets_but_shows_that_one_has_changed(tmp_path: Path, clients: Clients) -> None:
    project = Trained(tmp_path, clients, "secrets")
    kept = []
    for secret in ("hunter2", "hunter3"):
        project.tables["deploy"] = f'environment = {{ TOKEN = "{secret}" }}'
        kept.append(provenance(project.settings, "deploy", model_data="s3://b/m", nothing=None))
    assert "hunter" not in kept[0].model_dump_json()
    assert kept[0].settings["deploy"]["environment"] != kept[1].settings["deploy"]["environment"]
    assert (kept[0].gtseg, kept[0].sources) == (gtseg.__version__, {"model_data": "s3://b/m"})
