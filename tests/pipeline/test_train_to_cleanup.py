"""train -> deploy -> predict -> evaluate -> report -> cleanup on a real server, one after the other on one run."""

from __future__ import annotations

import csv
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from labeling_project import point_at
from PIL import Image
from trained import CLASSES, COUNTS, Killer, Trained, created, small_scene

import gtseg
from gtseg.aws.clients import Clients
from gtseg.aws.hosting import Hosting, Resource
from gtseg.aws.s3 import S3
from gtseg.core.hosting.endpoint_images import read_mask
from gtseg.core.scores.metrics import Counts, confusion_matrix, miou
from gtseg.errors import AWSError, GtsegError, SettingsError, StageError
from gtseg.pipeline.commands.figures import export_report
from gtseg.pipeline.commands.predict import predict
from gtseg.pipeline.run import LabelingJobSection
from gtseg.pipeline.stages.cleanup import Sweep, Sweeper, sweep
from gtseg.pipeline.stages.deploy import deploy
from gtseg.pipeline.stages.evaluate import evaluate
from gtseg.pipeline.stages.order import run_stages, standings, until_stage
from gtseg.pipeline.stages.report import report
from gtseg.pipeline.stages.train import train


@pytest.fixture(scope="module")
def clients(training_aws: Any) -> Iterator[Clients]:
    with pytest.MonkeyPatch.context() as patch:
        point_at(training_aws, patch)
        yield Clients()


@pytest.fixture(scope="module")
def trained(clients: Clients, training_aws: Any, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a run with a finished training job whose command was killed at every step."""
    project = Trained(tmp_path_factory.mktemp("project"), clients, f"r{uuid.uuid4().hex[:8]}")
    _ = project.settings
    project.give_dataset()
    killer = Killer(training_aws)
    for step in (
        ("CreateTrainingJob", "before"),
        ("CreateTrainingJob", "after"),
        ("DescribeLogStreams", "after"),
        ("GetLogEvents", "after"),
    ):
        code = killer.command(project.folder, "train", at=step)
        assert code == -9, f"not killed {step}: {killer.stderr[-2000:]}"
    assert killer.command(project.folder, "train", "--json") == 0, killer.stderr[-2000:]
    project.killer = killer  # type: ignore[attr-defined]
    return project


@pytest.fixture(scope="module")
def deployed(trained: Trained) -> Trained:
    """Return the same run with its endpoint; the command was killed after each creating call."""
    killer = trained.killer  # type: ignore[attr-defined]
    for name in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint"):
        assert killer.command(trained.folder, "deploy", at=(name, "after")) == -9, killer.stderr[-2000:]
    assert killer.command(trained.folder, "deploy") == 0, killer.stderr[-2000:]
    return trained


@pytest.fixture(scope="module")
def evaluated(deployed: Trained) -> Trained:
    deployed.run_stage(evaluate)
    return deployed


# ---- train -----------------------------------------------------------------------------------------------------------


def test_train_before_dataset_names_the_command_to_run(clients: Clients, tmp_path: Path) -> None:
    project = Trained(tmp_path, clients, "nothing-yet")
    with pytest.raises(StageError, match="gtseg dataset"):
        train(project.run, project.context(clients=clients))


def test_train_killed_at_every_step_creates_one_training_job(trained: Trained, training_aws: Any) -> None:
    assert created(training_aws, "CreateTrainingJob", trained.name) == [f"{trained.name}-train-1"]
    assert [a.outcome for a in trained.run.attempts_of("train")] == ["adopted"]


def test_the_run_records_every_epoch_and_the_best_one(trained: Trained) -> None:
    job = trained.run.training_job
    assert job is not None
    assert job.status == "Completed"
    assert [epoch.number for epoch in job.epochs] == list(range(len(job.epochs)))
    assert len(job.epochs) >= 1
    assert job.best is not None
    assert job.best.miou == max(e.miou for e in job.epochs if e.miou is not None)
    assert job.model_artifact == f"{trained.run.root}training/{job.name}/output/model.tar.gz"


def test_counts_are_those_of_the_dataset_and_unset_hyperparameters_are_not_sent(trained: Trained) -> None:
    answer = trained.clients.sagemaker.describe_training_job(TrainingJobName=f"{trained.name}-train-1")
    assert answer["HyperParameters"] == {
        "epochs": "2",
        "mini_batch_size": "2",
        "num_classes": "3",
        "num_training_samples": "6",
    }


def test_train_reports_log_lines_and_one_row_per_epoch(trained: Trained) -> None:
    stderr = trained.killer.stderr  # type: ignore[attr-defined]
    assert trained.killer.command(trained.folder, "train") == 0  # type: ignore[attr-defined]
    stderr = trained.killer.stderr  # type: ignore[attr-defined]
    assert "#quality_metric. host: algo-1, epoch: 0, validation mIOU:" in stderr
    assert re.search(r"epoch +train loss +mIoU +pixel acc\. +images/s", stderr)
    assert re.search(r"^ +0 +\d+\.\d{4} +\d\.\d{4} +\d\.\d{4}", stderr, re.MULTILINE)


def test_other_settings_for_a_finished_training_job_are_an_error(trained: Trained) -> None:
    changed = trained.settings.train.model_copy(update={"volume_gb": 77})
    settings = trained.settings.model_copy(update={"train": changed})
    with pytest.raises(StageError, match=rf"other settings.*gtseg train --run {trained.name}-2"):
        train(trained.run, trained.context(settings=settings))


def test_a_dry_run_shows_the_request_and_creates_nothing(trained: Trained, training_aws: Any, tmp_path: Path) -> None:
    project = Trained(tmp_path, trained.clients, f"dry{uuid.uuid4().hex[:6]}")
    S3(trained.clients).ensure_bucket(f"bucket-{project.name}")
    project.give_dataset()
    before = len(training_aws.calls())
    train(project.run, project.context(dry_run=True))
    plan = next(event for event in project.events if event.kind == "plan")
    assert plan.fields["TrainingJobName"] == f"{project.name}-train-1"
    assert {c["ChannelName"] for c in plan.fields["InputDataConfig"]} == {
        "train",
        "train_annotation",
        "validation",
        "validation_annotation",
    }
    assert len(training_aws.calls()) == before


def test_an_incompatible_initial_model_is_refused_with_the_differences(trained: Trained) -> None:
    settings = trained.settings
    hyperparameters = settings.train.hyperparameters.model_copy(update={"crop_size": 480})
    wanted = settings.train.model_copy(
        update={"initial_model": f"{trained.name}-train-1", "hyperparameters": hyperparameters}
    )
    changed = settings.model_copy(update={"train": wanted})
    with pytest.raises(SettingsError, match="crop_size is 480, the earlier model has 240"):
        train(trained.run, trained.context(settings=changed, dry_run=True))


# ---- deploy ----------------------------------------------------------------------------------------------------------


def test_deploy_killed_after_each_creating_call_creates_one_endpoint(deployed: Trained, training_aws: Any) -> None:
    for operation in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint"):
        assert len(created(training_aws, operation, deployed.name)) == 1
    section = deployed.run.endpoint
    assert section is not None
    assert (section.status, section.instance_type) == ("InService", "ml.c5.xlarge")
    assert section.training_job == f"{deployed.name}-train-1"


def test_deploying_another_model_requires_a_cleanup(deployed: Trained) -> None:
    artifact = deployed.run.training_job.model_artifact  # type: ignore[union-attr]
    copy = f"s3://bucket-{deployed.name}/copy/model.tar.gz"
    S3(deployed.clients).copy(artifact, copy)
    with pytest.raises(StageError, match="`gtseg cleanup`, then `gtseg deploy`") as caught:
        deploy(deployed.run, deployed.context(), model=copy)
    assert "--run" not in str(caught.value)


def test_deploying_a_missing_model_is_an_error(deployed: Trained) -> None:
    with pytest.raises(StageError, match=r"no model at s3://nowhere-at-all/model.tar.gz"):
        deploy(
            deployed.run,
            deployed.context(),
            model="s3://nowhere-at-all/model.tar.gz",
        )
    with pytest.raises(StageError, match="no training job 'ghost'"):
        deploy(deployed.run, deployed.context(), job="ghost")


def test_any_training_job_or_model_can_be_deployed_in_another_run(deployed: Trained, tmp_path: Path) -> None:
    other = Trained(tmp_path, deployed.clients, f"o{uuid.uuid4().hex[:8]}")
    S3(deployed.clients).ensure_bucket(f"bucket-{other.name}")
    other.tables["deploy"] = 'time_to_live = "60s"\nenvironment = { MXNET_X = "1" }'
    artifact = deployed.run.training_job.model_artifact  # type: ignore[union-attr]
    run = other.run_stage(deploy, model=artifact)
    assert run.endpoint is not None
    assert run.endpoint.expires is not None
    model = deployed.clients.sagemaker.describe_model(ModelName=run.endpoint.model)
    assert model["PrimaryContainer"]["Environment"] == {"MXNET_X": "1"}

    hosting = Hosting(deployed.clients)
    _, swept = sweep(run, other.context(), Sweep(expired=True))
    assert swept.deleted == []
    past = run.model_copy(update={"endpoint": run.endpoint.model_copy(update={"expires": None})})
    arn = hosting.describe("endpoint", run.endpoint.name).arn
    deployed.clients.sagemaker.add_tags(
        ResourceArn=arn, Tags=[{"Key": "gtseg:expires", "Value": "2020-01-01T00:00:00+00:00"}]
    )
    _, swept = sweep(past, other.context(), Sweep(expired=True))
    assert swept.deleted == [
        f"endpoint {run.endpoint.name}",
        f"endpoint config {run.endpoint.config}",
        f"model {run.endpoint.model}",
    ]
    assert hosting.find("endpoint", deployed.run.endpoint.name) is not None  # type: ignore[union-attr]


# ---- predict ---------------------------------------------------------------------------------------------------------


def test_predict_writes_masks_of_the_images_size_and_requests_missing_ones_only(
    deployed: Trained, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    (photos / "a").mkdir(parents=True)
    for number, name in enumerate(("one.jpg", "a/two.jpg")):
        (photos / name).write_bytes(small_scene(number)[0])
    Image.open(photos / "one.jpg").convert("RGBA").resize((91, 47)).save(photos / "three.png")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xffnothing")
    options = {"sources": [str(photos)], "output": str(tmp_path / "out")}
    result = predict(deployed.run, deployed.context(), **options)
    assert [Path(name).name for name, _ in result.failed] == ["broken.jpg"]
    assert read_mask((tmp_path / "out/three.png").read_bytes()).shape == (47, 91)
    assert read_mask((tmp_path / "out/a/two.png").read_bytes()).max() < len(CLASSES)
    (tmp_path / "out/one.png").unlink()
    again = predict(deployed.run, deployed.context(), **options)
    assert (again.there, again.requested) == (2, 2)


def test_predictions_with_other_options_are_not_mixed(deployed: Trained, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(small_scene(0)[0])
    options = {
        "sources": [str(tmp_path / "one.jpg")],
        "output": str(tmp_path / "out"),
    }
    predict(deployed.run, deployed.context(), **options)
    tiled = deployed.settings.model_copy(
        update={"predict": deployed.settings.predict.model_copy(update={"large_images": "tile"})}
    )
    with pytest.raises(SettingsError, match="another --output"):
        predict(deployed.run, deployed.context(settings=tiled), **options)


def test_probabilities_overlays_and_tiles_match_the_mask(deployed: Trained, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(small_scene(3)[0])
    wanted = {"overlays": True, "probabilities": True}
    settings = deployed.settings.model_copy(update={"predict": deployed.settings.predict.model_copy(update=wanted)})
    options = {"sources": [str(tmp_path / "one.jpg")]}
    predict(deployed.run, deployed.context(settings=settings), **options, output=str(tmp_path / "p"))
    predict(deployed.run, deployed.context(), **options, output=str(tmp_path / "m"))
    values = np.load(tmp_path / "p/one.npz")["probabilities"].astype(np.float32)
    plain = read_mask((tmp_path / "m/one.png").read_bytes())
    assert values.shape == (len(CLASSES), *plain.shape)
    assert np.allclose(values.sum(0), 1, atol=0.02)
    chosen = np.take_along_axis(values, plain[None].astype(np.intp), 0)[0]
    assert (chosen >= values.max(0) - 0.002).all()  # half precision ties what is closer
    assert Image.open(tmp_path / "p/one_overlay.jpg").size == plain.shape[::-1]
    tiled = {"large_images": "tile", "max_side": 64, "tile_size": 64, "tile_overlap": 16}
    small = deployed.settings.model_copy(update={"predict": deployed.settings.predict.model_copy(update=tiled)})
    predict(deployed.run, deployed.context(settings=small), **options, output=str(tmp_path / "t"))
    assert read_mask((tmp_path / "t/one.png").read_bytes()).shape == plain.shape


def test_outputs_requested_later_are_written_for_existing_masks(deployed: Trained, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(small_scene(4)[0])
    out = tmp_path / "out"
    for flags, asked in (
        ({}, 1),
        ({"overlays": True}, 1),
        ({"overlays": True}, 0),
        ({"probabilities": True}, 1),
    ):
        wanted = deployed.settings.predict.model_copy(update=flags)
        result = predict(
            deployed.run,
            deployed.context(settings=deployed.settings.model_copy(update={"predict": wanted})),
            sources=[str(tmp_path / "one.jpg")],
            output=str(out),
        )
        assert result.requested == asked, flags
    assert {path.name for path in out.iterdir()} == {
        "predictions.json",
        "one.png",
        "one_overlay.jpg",
        "one.npz",
    }


def test_s3_prefixes_are_read_and_written(deployed: Trained) -> None:
    root = deployed.run.root
    result = predict(
        deployed.run,
        deployed.context(),
        sources=[f"{root}channels/test/"],
        output=f"{root}predicted/",
    )
    assert (result.requested, result.failed) == (COUNTS["test"], ())
    names = {item.key.rsplit("/", 1)[1] for item in S3(deployed.clients).list_objects(f"{root}predicted/")}
    assert names == {"predictions.json", "scene-8.png", "scene-9.png", "scene-10.png"}


def test_the_error_for_no_images_lists_the_readable_formats(deployed: Trained, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"No image to predict.*\.jpg"):
        predict(
            deployed.run,
            deployed.context(),
            sources=[str(tmp_path)],
            output=str(tmp_path / "o"),
        )


# ---- evaluate --------------------------------------------------------------------------------------------------------


def test_the_score_is_computed_from_the_kept_predictions_of_the_whole_test_split(evaluated: Trained) -> None:
    section = evaluated.run.evaluation
    assert section is not None
    assert (section.split, section.images, len(section.classes)) == ("test", COUNTS["test"], 3)
    s3, matrix = S3(evaluated.clients), np.zeros((3, 3), np.int64)
    for number in (8, 9, 10):
        prediction = read_mask(s3.read(f"{section.predictions}scene-{number}.png")[0])
        matrix += confusion_matrix(small_scene(number)[2], prediction, 3)
    assert section.confusion == tuple(map(tuple, matrix.tolist()))
    assert section.miou == pytest.approx(float(miou(Counts.of(matrix))))
    assert section.void_pixels == sum(int((small_scene(n)[2] == 255).sum()) for n in (8, 9, 10))
    details = json.loads(s3.read(section.details)[0])
    assert len(details["images"]) == COUNTS["test"]


def test_a_second_evaluation_sends_no_request_to_the_endpoint(evaluated: Trained) -> None:
    first = evaluated.run.evaluation
    again = evaluate(evaluated.run, evaluated.context()).evaluation
    assert first is not None
    assert again is not None
    ignored = {"made", "seconds"}
    assert again.model_dump(exclude=ignored) == first.model_dump(exclude=ignored)


def test_without_a_test_split_there_is_no_score(evaluated: Trained) -> None:
    data = evaluated.run.dataset
    assert data is not None
    none = data.model_copy(update={"counts": data.counts | {"test": 0}})
    with pytest.raises(StageError, match="no test images"):
        evaluate(
            evaluated.run.update(dataset=none),
            evaluated.context(),
        )


def test_a_test_image_without_its_mask_is_an_error(evaluated: Trained) -> None:
    s3, root = S3(evaluated.clients), evaluated.run.root
    body, _ = s3.read(f"{root}channels/test_annotation/scene-9.png")
    s3.delete([f"{root}channels/test_annotation/scene-9.png"])
    try:
        with pytest.raises(GtsegError, match="not both, like scene-9"):
            evaluate(evaluated.run, evaluated.context())
    finally:
        s3.write(f"{root}channels/test_annotation/scene-9.png", body)


# ---- report, cleanup -------------------------------------------------------------------------------------------------


def test_the_report_loads_nothing_from_the_network_and_has_the_headline_score(evaluated: Trained) -> None:
    run = evaluated.run_stage(report)
    page = (evaluated.folder / "report.html").read_text()
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", page)
    assert "url(" not in page
    assert "<script" not in page
    assert f"{run.evaluation.miou:.3f}" in page  # type: ignore[union-attr]
    assert page.count("data:image/jpeg;base64,") == 4 * COUNTS["test"]
    assert "its mask has 1 color without a label" in page
    assert len(page) < 2_000_000
    facts = json.loads((evaluated.folder / "report.json").read_text())
    assert (facts["evaluation"]["split"], facts["evaluation"]["images"]) == ("test", COUNTS["test"])
    assert facts["evaluation"]["miou"] == run.evaluation.miou  # type: ignore[union-attr]
    assert S3(evaluated.clients).read(f"{run.root}report.html")[0].decode() == page


def test_every_chart_panel_and_table_is_exported_as_a_file(evaluated: Trained, tmp_path: Path) -> None:
    names = export_report(evaluated.run, evaluated.context(), str(tmp_path))
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()} == set(names)
    charts = {"confusion.svg", "iou.svg", "training-loss.svg", "validation.svg"}
    assert charts == {name for name in names if name.endswith(".svg")}
    assert all(ElementTree.parse(tmp_path / name).getroot().tag.endswith("}svg") for name in charts)
    assert len([name for name in names if name.startswith("panels/")]) == 4 * COUNTS["test"]
    with (tmp_path / "classes.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == list(CLASSES)
    with (tmp_path / "images.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == COUNTS["test"]


def test_names_with_markup_are_escaped_in_the_report(evaluated: Trained) -> None:
    from gtseg.pipeline.stages.report.facts import gather_facts, read_files
    from gtseg.pipeline.stages.report.stage import render

    run, evil = evaluated.run, "<img src=x onerror=alert(1)>"
    assert run.evaluation is not None
    assert run.dataset is not None
    classes = (
        run.evaluation.classes[0],
        run.evaluation.classes[1].model_copy(update={"name": evil}),
        run.evaluation.classes[2],
    )
    run = run.update(
        evaluation=run.evaluation.model_copy(update={"classes": classes}),
        dataset=run.dataset.model_copy(update={"classes": ("BACKGROUND", evil, "boat")}),
    )
    files = read_files(run, evaluated.context())
    page = render(
        gather_facts(run, files, evaluated.context(), made=run.created), files, panels=[], colors=["#000"] * 3
    )
    assert evil not in page
    assert "&lt;img src=x" in page


def test_a_report_without_worker_answers_has_a_note(evaluated: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    from gtseg.pipeline.stages.report import labeling
    from gtseg.pipeline.stages.report.facts import gather_facts, read_files
    from gtseg.pipeline.stages.report.stage import render

    def refuse(*_: Any) -> None:
        raise AWSError("ListObjectsV2", "AccessDenied", "not for you")

    monkeypatch.setattr(labeling, "_responses", refuse)
    job = LabelingJobSection(name="j", arn="a", label_attribute="j-ref", workforce="private", objects=3)
    run = evaluated.run.update(labeling_job=job)
    files = read_files(run, evaluated.context())
    facts = gather_facts(run, files, evaluated.context(), made=run.created)
    page = render(facts, files, panels=[], colors=["#000"] * len(CLASSES))
    assert "could not be read: ListObjectsV2" in page


def test_every_result_and_resource_has_its_provenance(evaluated: Trained) -> None:
    run, client = evaluated.run, evaluated.clients.sagemaker
    job, endpoint, scored = run.training_job, run.endpoint, run.evaluation
    assert job
    assert job.made_from
    assert endpoint
    assert endpoint.made_from
    assert scored
    assert scored.made_from
    data = {
        "gtseg:dataset": "f" * 32,
        "gtseg:run": run.name,
        "gtseg:root": run.root,
        "gtseg:version": gtseg.__version__,
    }
    arns = {job.arn: data, endpoint.arn: data | {"gtseg:training-job": job.name}}
    arns[client.describe_model(ModelName=endpoint.model)["ModelArn"]] = arns[endpoint.arn]
    for arn, expected in arns.items():
        tags = {tag["Key"]: tag["Value"] for tag in client.list_tags(ResourceArn=arn)["Tags"]}
        assert expected.items() <= tags.items()
        assert tags["gtseg:fingerprint"]
    assert job.made_from.sources["dataset"] == "f" * 32
    assert job.made_from.settings["train"]["hyperparameters"]["epochs"] == 2
    assert endpoint.made_from.sources == {
        "model_data": job.model_artifact,
        "training_job": job.name,
        "dataset": "f" * 32,
        "run_model": job.name,
    }
    assert scored.made_from.sources["split"] == "test"
    evaluated.run_stage(report)
    facts = json.loads((evaluated.folder / "report.json").read_text())
    assert {"training_job", "endpoint", "evaluation"} <= facts["lineage"].keys()
    assert facts["lineage"]["evaluation"]["sources"]["model_data"] == job.model_artifact


def test_a_new_dataset_is_trained_deployed_and_scored_and_replaces_the_endpoint(
    clients: Clients, tmp_path: Path
) -> None:
    """The run's dataset changes between two training jobs of one epoch."""
    project = Trained(tmp_path, clients, f"a{uuid.uuid4().hex[:8]}")
    project.tables["train.hyperparameters"] = "epochs = 1\nmini_batch_size = 2"
    _ = project.settings
    project.give_dataset()
    run = run_stages(project.run, project.context(), until_stage("evaluate"))
    assert run.dataset
    changed = project.run_file.save(run.update(dataset=run.dataset.model_copy(update={"fingerprint": "e" * 32})))
    reasons = {name: one.reason for name, one in standings(changed, project.settings).items()}
    assert reasons["train"] == "the dataset has changed since the model was trained"
    assert reasons["deploy"] == "train comes first"
    assert reasons["evaluate"] == "the dataset has changed since the evaluation"
    project.events.clear()
    again = run_stages(changed, project.context(), until_stage("evaluate"))
    assert again.training_job
    assert again.endpoint
    assert again.training_job.name == f"{project.name}-train-2"
    assert again.endpoint.training_job == again.training_job.name
    assert again.evaluation
    assert again.evaluation.dataset == "e" * 32
    hosting = Hosting(project.clients)
    kinds = (("endpoint", "endpoint"), ("endpoint-config", "config"), ("model", "model"))
    for kind, stage in kinds:
        earlier = hosting.find(kind, f"{project.name}-{stage}-1")
        assert earlier is None or earlier.status == "Deleting"
        assert hosting.find(kind, f"{project.name}-{stage}-2") is not None
    assert "repeated: the dataset has changed" in project.messages("note")
    sweep(again, project.context())


def test_cleanup_deletes_endpoint_config_and_model_in_order_and_no_data(evaluated: Trained, training_aws: Any) -> None:
    objects = {item.key for item in S3(evaluated.clients).list_objects(evaluated.run.root)}
    run, swept = sweep(evaluated.run, evaluated.context())
    deletes = [
        c["operation"]
        for c in training_aws.calls()
        if c["operation"].startswith("Delete") and c["name"].startswith(evaluated.name)
    ]
    assert deletes == ["DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"]
    assert len(swept.deleted) == 3
    assert run.endpoint is not None
    assert run.endpoint.deleted is not None
    assert objects <= {item.key for item in S3(evaluated.clients).list_objects(evaluated.run.root)}
    assert any("S3 below" in words for words in swept.costs)
    found = standings(run, evaluated.settings)
    assert all(found[name].is_done for name in ("train", "deploy", "evaluate", "report"))
    _, again = sweep(run, evaluated.context())
    assert again.deleted == []


@pytest.mark.parametrize("status", ["Deleting", None, "InService"])
def test_a_second_cleanup_has_nothing_to_delete(
    evaluated: Trained, monkeypatch: pytest.MonkeyPatch, status: str | None
) -> None:
    endpoint = Resource("endpoint", "e", "arn", "InService")
    sweeper = Sweeper(evaluated.run, evaluated.context().of("cleanup"))

    def refuse(kind: str, name: str) -> bool:
        raise AWSError("DeleteEndpoint e", "ValidationException", "Cannot update in-progress endpoint")

    monkeypatch.setattr(sweeper.hosting, "delete", refuse)
    monkeypatch.setattr(sweeper.hosting, "find", lambda *_: status and replace(endpoint, status=status))
    if status == "InService":
        with pytest.raises(AWSError, match="in-progress"):
            sweeper._delete(endpoint)
    else:
        sweeper._delete(endpoint)
        assert sweeper.swept.deleted == []


def test_a_resource_without_a_run_is_an_orphan(evaluated: Trained) -> None:
    tags = [{"Key": "gtseg:root", "Value": evaluated.run.root}, {"Key": "gtseg:run", "Value": evaluated.name}]
    strange = [{"Key": "gtseg:root", "Value": "s3://somebody-else/x/"}]
    image = "811284229777.dkr.ecr.us-east-1.amazonaws.com/semantic-segmentation:1"
    artifact = evaluated.run.training_job.model_artifact  # type: ignore[union-attr]
    for name, its in ((f"{evaluated.name}-lost", tags), (f"{evaluated.name}-strange", strange)):
        evaluated.clients.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn="arn:aws:iam::123456789012:role/gtseg",
            Tags=its,
            PrimaryContainer={"Image": image, "ModelDataUrl": artifact},
        )
    _, dry = sweep(evaluated.run, evaluated.context(dry_run=True), Sweep(orphans=True))
    _, swept = sweep(evaluated.run, evaluated.context(), Sweep(orphans=True))
    assert dry.deleted == swept.deleted == [f"model {evaluated.name}-lost"]
    assert Hosting(evaluated.clients).find("model", f"{evaluated.name}-strange") is not None


def test_cleanup_deletes_all_data_only_when_requested(evaluated: Trained) -> None:
    run = evaluated.run
    assert run.endpoint is not None
    root = run.root
    _, swept = sweep(run, evaluated.context(), Sweep(data=True))
    assert swept.data > 10
    assert list(S3(evaluated.clients).list_objects(root)) == []
