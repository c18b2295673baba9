"""predict --batch and evaluate --batch on a real server: same masks as the endpoint, one job each, losses named."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_channels import draw_scene, train_artifact
from labeling_project import point_at
from PIL import Image
from scripted_transforms import ScriptedContext, ScriptedTransforms
from trained import Trained, created

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3, split_uri
from gtseg.core.hosting.transform import MAX_PICTURE
from gtseg.errors import GtsegError, Interrupted, SettingsError, StageError
from gtseg.pipeline.commands.predict import Predicted, predict, predict_in_batch
from gtseg.pipeline.run.cost import planned_rows, spent_rows
from gtseg.pipeline.run.events import Consent
from gtseg.pipeline.stages.cleanup import Sweep, sweep
from gtseg.pipeline.stages.deploy import deploy
from gtseg.pipeline.stages.evaluate import evaluate
from gtseg.pipeline.stages.order import standings


@pytest.fixture(scope="module")
def clients(shared_aws: Any) -> Iterator[Clients]:
    with pytest.MonkeyPatch.context() as patch:
        point_at(shared_aws, patch)
        yield Clients()


def new_project(folder: Path, clients: Clients) -> Trained:
    """Return a project with a model and thirty images of several sizes below `images/city/` in S3."""
    project = Trained(folder, clients, f"b{uuid.uuid4().hex[:8]}")
    bucket = f"bucket-{project.name}"
    S3(clients).ensure_bucket(bucket)
    S3(clients).write(f"s3://{bucket}/model.tar.gz", train_artifact())
    project.tables["deploy"] = f'model_data = "s3://{bucket}/model.tar.gz"'
    project.tables["predict"] = "max_side = 64"
    for number in range(30):
        name = f"s3://{bucket}/images/city/{number % 3}/{number}.jpg"
        S3(clients).write(name, draw_scene(number, size=40 + number)[0])
    return project


@pytest.fixture(scope="module")
def city(clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return new_project(tmp_path_factory.mktemp("city"), clients)


def in_batch(project: Trained, output: Path | str, *sources: str, **options: Any) -> Predicted:
    given = sources or (f"s3://bucket-{project.name}/images/city/",)
    context = project.context(**options)
    return predict_in_batch(project.run, context, sources=list(given), output=str(output))


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a JPEG sent unchanged, a PNG, an image that is scaled down, and a file that is no image."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "plain.jpg").write_bytes(draw_scene(40)[0])
    Image.open(io.BytesIO(draw_scene(41)[0])).save(folder / "drawn.png")
    (folder / "wide.jpg").write_bytes(draw_scene(42, size=150)[0])
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def predicted(city: Trained, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with masks of two batch containers, and in `endpoint/` the same from an endpoint."""
    folder = tmp_path_factory.mktemp("predicted")
    city.tables["batch"] = "instances = 2"
    sources = [f"s3://bucket-{city.name}/images/city/", str(photographs)]
    result = in_batch(city, folder / "batch", *sources)
    assert [Path(image).name for image, _ in result.failed] == ["broken.jpg"]
    city.run_stage(deploy)
    predict(city.run, city.context(), sources=sources, output=str(folder / "endpoint"))
    return folder


def test_masks_of_a_batch_equal_those_of_the_endpoint_byte_for_byte(predicted: Path) -> None:
    batch, endpoint = files_of(predicted / "batch"), files_of(predicted / "endpoint")
    assert len(batch) == 33
    assert batch == endpoint
    assert any(np.asarray(Image.open(io.BytesIO(body))).max() for body in batch.values())


def test_one_job_is_created_and_a_second_command_has_nothing_to_do(
    city: Trained, predicted: Path, photographs: Path, shared_aws: Any
) -> None:
    again = in_batch(city, predicted / "batch", f"s3://bucket-{city.name}/images/city/", str(photographs))
    assert (again.requested, again.there) == (1, 33)  # the one that is no image is looked at again
    assert created(shared_aws, "CreateTransformJob", city.name) == [f"{city.name}-transform-1"]


def test_another_output_folder_uses_the_existing_outputs(
    city: Trained, predicted: Path, tmp_path: Path, shared_aws: Any
) -> None:
    assert in_batch(city, tmp_path / "masks").requested == 30
    assert files_of(tmp_path / "masks").items() <= files_of(predicted / "batch").items()
    assert len(created(shared_aws, "CreateTransformJob", city.name)) == 1


def test_large_images_are_tiled_and_joined_as_with_the_endpoint(city: Trained, predicted: Path, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "a.jpg").write_bytes(draw_scene(7, size=180)[0])
    before, city.tables["predict"] = (
        city.tables["predict"],
        'max_side = 64\nlarge_images = "tile"\ntile_size = 64\ntile_overlap = 16',
    )
    try:
        in_batch(city, tmp_path / "batch", str(tmp_path / "large"))
        predict(city.run, city.context(), sources=[str(tmp_path / "large")], output=str(tmp_path / "endpoint"))
    finally:
        city.tables["predict"] = before
    assert files_of(tmp_path / "batch") == files_of(tmp_path / "endpoint") != {}


def test_evaluate_in_batch_has_the_scores_of_the_endpoint(city: Trained, predicted: Path, shared_aws: Any) -> None:
    city.give_dataset()
    run = city.run_stage(evaluate, in_batch=True)
    assert run.evaluation is not None
    assert (run.evaluation.images, run.evaluation.in_batch, run.evaluation.endpoint) == (3, True, None)
    assert standings(run, city.settings)["evaluate"].cause in ("", "earlier")
    S3(city.clients).delete(
        f"s3://{split_uri(run.evaluation.predictions)[0]}/{item.key}"
        for item in S3(city.clients).list_objects(run.evaluation.predictions)
    )
    by_endpoint = city.run_stage(evaluate).evaluation
    assert by_endpoint is not None
    assert by_endpoint.confusion == run.evaluation.confusion


def test_an_image_over_10_mb_is_refused_by_name_before_the_job(city: Trained, tmp_path: Path) -> None:
    (tmp_path / "huge.jpg").write_bytes(draw_scene(1)[0] + b"\0" * MAX_PICTURE)
    result = in_batch(city, tmp_path / "masks", str(tmp_path / "huge.jpg"))
    assert "10.0 MB exceed the 10 MB" in result.failed[0][1]
    assert "huge.jpg" in city.messages("warning")
    assert not files_of(tmp_path / "masks")


def test_a_dry_run_shows_the_job_and_writes_nothing(city: Trained, tmp_path: Path, shared_aws: Any) -> None:
    (tmp_path / "new.jpg").write_bytes(draw_scene(77)[0])
    before = len(shared_aws.calls())
    in_batch(city, tmp_path / "masks", str(tmp_path / "new.jpg"), dry_run=True)
    shown = next(dict(event.fields) for event in reversed(city.events) if event.kind == "plan")
    assert (shown["BatchStrategy"], shown["MaxConcurrentTransforms"], shown["MaxPayloadInMB"]) == (
        "SingleRecord",
        1,
        10,
    )
    assert len(shared_aws.calls()) == before
    assert not (tmp_path / "masks").exists()


def test_a_refused_price_creates_no_transform_job(
    city: Trained, tmp_path: Path, shared_aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(city.clients.__dict__, "is_aws", lambda service: True)
    (tmp_path / "new.jpg").write_bytes(draw_scene(78)[0])
    asked: list[str] = []

    def refuse(words: str) -> bool:
        asked.append(words)
        return False

    count = len(created(shared_aws, "CreateTransformJob", city.name))
    with pytest.raises(GtsegError, match="Nothing was started"):
        in_batch(city, tmp_path / "masks", str(tmp_path / "new.jpg"), consent=Consent(spend=refuse))
    assert asked == ["Predict 1 image by batch transform on 2 x ml.c5.xlarge?"]
    assert len(created(shared_aws, "CreateTransformJob", city.name)) == count


def test_probabilities_are_refused_in_batch(city: Trained, tmp_path: Path) -> None:
    city.tables["predict"] += "\nprobabilities = true"
    try:
        with pytest.raises(SettingsError, match="needs an endpoint"):
            in_batch(city, tmp_path / "masks")
    finally:
        city.tables["predict"] = city.tables["predict"].replace("\nprobabilities = true", "")


def test_the_planned_cost_is_per_image_and_the_spent_cost_per_instance_hour(city: Trained, predicted: Path) -> None:
    (row,) = planned_rows("batch", city.context(), objects=2000)
    assert float(row.quantity) == pytest.approx((2000 * 3 + 2 * 300) / 3600)
    rows = [row for row in spent_rows(city.run, city.context()) if row.stage == "batch"]
    assert rows
    assert all(row.quantity > Decimal(0) for row in rows)


def test_a_batch_without_a_model_names_train(clients: Clients, tmp_path: Path) -> None:
    project = Trained(tmp_path / "project", clients, "nothing-yet")
    with pytest.raises(StageError, match="gtseg train"):
        in_batch(project, tmp_path / "masks", "s3://x/")


def test_cleanup_deletes_the_model_of_transform_jobs(city: Trained, predicted: Path) -> None:
    assert city.clients.sagemaker.list_models(NameContains=f"{city.name}-batch-model")["Models"]
    sweep(city.run, city.context(), Sweep(everything=True))
    assert not city.clients.sagemaker.list_models(NameContains=city.name)["Models"]


# ---- jobs that hang, fail or are interrupted: the transform jobs are scripted, S3 is real ---------------------------


@dataclass
class ScriptedBatch:
    """A project of six tiny photographs with scripted transform jobs."""

    project: Trained
    jobs: ScriptedTransforms
    folder: Path
    consent: Consent = field(default_factory=Consent)

    def predict(self) -> Predicted:
        project = self.project
        context = ScriptedContext(
            project.settings,
            project.clients,
            project.events.append,
            self.consent,
            lambda seconds: None,
            jobs=self.jobs,
        )
        return predict_in_batch(
            project.run, context, sources=[str(self.folder / "in")], output=str(self.folder / "masks")
        )

    @property
    def masks(self) -> int:
        return len(files_of(self.folder / "masks"))


@pytest.fixture
def scripted(clients: Clients, tmp_path: Path) -> Callable[..., ScriptedBatch]:
    def make(*script: tuple[int, str], consent: Consent | None = None) -> ScriptedBatch:
        project = Trained(tmp_path / "project", clients, f"p{uuid.uuid4().hex[:8]}")
        s3, bucket = S3(clients), f"bucket-{project.name}"
        s3.ensure_bucket(bucket)
        s3.write(f"s3://{bucket}/model.tar.gz", b"model")
        project.tables["deploy"] = f'model_data = "s3://{bucket}/model.tar.gz"'
        project.tables["batch"] = 'stalled_after = "10m"'
        (tmp_path / "in").mkdir()
        for number in range(6):
            Image.new("RGB", (4, 4), (40 * number, 0, 0)).save(tmp_path / "in" / f"{number}.jpg")
        return ScriptedBatch(project, ScriptedTransforms(s3, list(script)), tmp_path, consent or Consent())

    return make


def test_a_job_without_progress_is_stopped_with_consent_and_another_does_the_rest(scripted: Any) -> None:
    asked: list[str] = []
    consent = Consent(stop=lambda words: not asked.append(words))
    one = scripted((2, "InProgress"), (4, "Completed"), consent=consent)
    assert one.predict().failed == ()
    assert (one.masks, one.jobs.stopped) == (6, [f"{one.project.name}-transform-1"])
    assert asked[0].endswith("-transform-1 has written nothing for 10 minutes. Stop it?")
    assert "1284" in one.project.messages("warning")


def test_without_consent_the_job_continues_and_the_command_to_stop_it_is_shown(scripted: Any) -> None:
    one = scripted((2, "InProgress"), consent=Consent(stop=lambda words: False))
    one.jobs.polls = 100
    with pytest.raises(Interrupted, match="gtseg predict --batch"):
        one.predict()
    assert one.jobs.stopped == []
    assert "stop-transform-job" in one.project.messages("warning")


def test_images_left_by_a_failed_job_are_done_by_the_next(scripted: Any) -> None:
    one = scripted((3, "Failed"), (1, "Failed"), (2, "Completed"))
    assert one.predict().failed == ()
    assert (one.masks, len(one.jobs.jobs)) == (6, 3)


def test_no_job_follows_one_without_outputs(scripted: Any) -> None:
    one = scripted((4, "Failed"), (0, "Failed"), (9, "Completed"))
    result = one.predict()
    assert (one.masks, len(result.failed), len(one.jobs.jobs)) == (4, 2, 2)
    assert "transform-2 failed without a mask of it: a picture" in result.failed[0][1]


def test_an_interrupted_command_follows_the_same_job_when_repeated(scripted: Any) -> None:
    one = scripted((6, "Completed"))
    one.jobs.polls = 1
    with pytest.raises(Interrupted, match="gtseg predict --batch"):
        one.predict()
    assert one.predict().failed == ()
    assert (one.masks, len(one.jobs.jobs)) == (6, 1)


def test_after_a_kill_the_running_job_is_followed_to_its_end_first(scripted: Any) -> None:
    one = scripted((6, "InProgress"))
    one.jobs.polls = 1
    with pytest.raises(Interrupted):
        one.predict()
    one.jobs.completes_when_described = True
    (one.folder / "in" / "6.jpg").write_bytes((one.folder / "in" / "0.jpg").read_bytes())  # the same picture again
    assert one.predict().failed == ()
    assert (one.masks, len(one.jobs.jobs)) == (7, 1)
