"""Follow-up labeling jobs on a real server with workers at its API."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from labeling_project import Project
from PIL import Image
from reviewing_worker import SIZE, Worker, paint, square

from gtseg.aws.groundtruth import GroundTruth
from gtseg.aws.hosting import Hosting, Resource
from gtseg.aws.s3 import S3
from gtseg.cli import main
from gtseg.errors import ManifestError, StageError
from gtseg.pipeline.commands.agreement import agreement
from gtseg.pipeline.commands.review import adjust, continue_labeling, label_next, prelabel, verify
from gtseg.pipeline.commands.review.findings import read_redo
from gtseg.pipeline.run import EndpointSection, LabelingJobSection, LabelSource, Run
from gtseg.pipeline.run.inference import Answer
from gtseg.pipeline.stages.dataset import dataset
from gtseg.pipeline.stages.report.labeling import labeling_facts
from gtseg.pipeline.stages.watch import watch

ENDPOINT = EndpointSection(
    name="cats",
    arn="arn:aws:sagemaker:us-east-1:111122223333:endpoint/cats",
    config="",
    model="",
    model_data="",
    image_uri="",
    instance_type="",
    content_type="image/jpeg",
    accept="image/png",
    status="InService",
    since=datetime(2026, 1, 1, tzinfo=UTC),
)


pytestmark = pytest.mark.usefixtures("no_workers")


@pytest.fixture
def worker(shared_aws: Any) -> Worker:
    return Worker(shared_aws)


def run_stage(project: Project, stage: Any, **options: Any) -> Run:
    run = stage(project.run, project.context(), **options)
    return project.run_file.save(run)


def lines_of(project: Project, uri: str) -> dict[str, Any]:
    body, _ = S3(project.clients).read(uri)
    return {json.loads(line)["source-ref"].rsplit("/", 1)[1]: json.loads(line) for line in body.splitlines()}


def mask_at(project: Project, uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(S3(project.clients).read(uri)[0])))


def name_of(task: dict[str, Any]) -> str:
    return str(task["input"]["taskObject"].rsplit("/", 1)[1])


def write_gold(project: Project, mask: np.ndarray) -> None:
    """Write known masks for a.jpg and b.jpg."""
    (project.folder / "gold").mkdir()
    Image.fromarray(mask).save(project.folder / "gold" / "a.png")
    Image.fromarray(square()).save(project.folder / "gold" / "b.png")


def label_but(project: Project, worker: Worker, *declined: str, images: str = "abc") -> Run:
    """Finish a labeling job for these images; the declined ones fail."""
    for number, name in enumerate(images):
        project.image(f"{name}.jpg", color=number)
    project.label()
    assert project.run.labeling_job
    worker.work(
        project.run.labeling_job.name,
        lambda task: "too dark" if name_of(task) in declined else paint(square(), ["cat"]),
    )
    return run_stage(project, watch)


def test_continue_labels_failed_objects_only_and_yields_one_manifest(project: Project, worker: Worker) -> None:
    first = label_but(project, worker, "b.jpg")
    before = lines_of(project, first.labeling_job.output_manifest)  # type: ignore[union-attr, arg-type]
    job = run_stage(project, continue_labeling).labeling_job
    assert job
    assert job.follows == first.labeling_job.name
    again = run_stage(project, continue_labeling).labeling_job
    assert again == job, "the second call finds it under way"
    given = worker.work(job.name, lambda task: paint(square(shift=3), ["cat"]))
    assert [name_of(task) for task in given] == ["b.jpg"]
    run = run_stage(project, watch)
    after = lines_of(project, run.labeling_job.output_manifest)  # type: ignore[union-attr, arg-type]
    attribute = job.label_attribute
    assert after["a.jpg"] == before["a.jpg"]
    assert attribute not in before["b.jpg"]
    assert np.array_equal(mask_at(project, after["b.jpg"][attribute]), square(shift=3))
    whole = run_stage(project, dataset).dataset
    assert whole
    assert (whole.counts["failed"], sum(whole.counts[part] for part in ("train", "validation", "test"))) == (
        0,
        3,
    )
    found = agreement(project.run, project.context())
    assert {image.image.rsplit("/", 1)[1]: image.answers for image in found.images} == {
        "a.jpg": 1,
        "b.jpg": 1,
        "c.jpg": 1,
    }
    assert [w.answers for w in found.workers] == [3], "the same person in both jobs"
    facts = labeling_facts(project.run, [], project.context())
    assert facts
    assert (facts["responses"], facts["answers"]) == (3, 3), "the report counts both jobs"
    assert run_stage(project, continue_labeling).labeling_job == run.labeling_job, "nothing is left to label"
    assert project.label().labeling_job == run.labeling_job, "label does not start over"


def test_continue_adopts_the_job_whose_creation_was_not_recorded(project: Project, worker: Worker) -> None:
    label_but(project, worker, "b.jpg", images="ab")
    before = project.run
    made = continue_labeling(before, project.context())
    project.run_file.save(made.update(labeling_job=before.labeling_job))  # as if killed before the section was saved
    again = run_stage(project, continue_labeling)
    assert again.labeling_job == made.labeling_job
    assert [a.outcome for a in again.attempts if a.stage.startswith("continue")] == ["created"]


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("S3://pets/a.jpg", "write s3://pets/a.jpg"),
        ("s3:/pets/a.jpg", "write s3://pets/a.jpg"),
        ("s3://b/a.jpg", "'b' is not a bucket name"),
        ("https://pets.s3.amazonaws.com/a.jpg", "write s3://pets/a.jpg"),
        ("images/a.jpg", "workers cannot see it$"),
    ],
)
@pytest.mark.parametrize("review", [adjust, verify])
def test_a_manifest_for_a_review_names_the_line_of_a_mistyped_uri(
    project: Project, review: Any, reference: str, words: str
) -> None:
    metadata = {"internal-color-map": {}, "type": "groundtruth/semantic-segmentation", "job-name": "labeling-job/x"}
    lines = [
        {"source-ref": image, "x-ref": "s3://pets/m.png", "x-ref-metadata": metadata}
        for image in ("s3://pets/ok.jpg", reference)
    ]
    s3, bucket = S3(project.clients), project.values["project"]["bucket"]
    s3.ensure_bucket(bucket)
    manifest = f"s3://{bucket}/mistyped.manifest"
    s3.write(manifest, "\n\n".join(map(json.dumps, lines)).encode())
    with pytest.raises(ManifestError, match=rf"mistyped\.manifest: line 3: {reference} is not an s3:// URI.*{words}"):
        review(project.run, project.context(), source=LabelSource(manifest=manifest))


def test_continue_refuses_while_the_job_runs(project: Project) -> None:
    project.image("a.jpg")
    project.label()
    with pytest.raises(StageError, match=r"still In"):
        run_stage(project, continue_labeling)


def test_adjust_shows_the_mask_and_the_dataset_uses_the_corrected_one(project: Project, worker: Worker) -> None:
    first = label_but(project, worker, "c.jpg")
    assert first.labeling_job
    run = run_stage(project, adjust)
    job = run.labeling_job
    assert job
    assert job.label_attribute == f"{job.name}-ref"
    assert job.objects == 2
    assert "1 object without a mask is left out" in project.messages("warning")
    pages: list[str] = []

    def correct(task: dict[str, Any]) -> dict[str, Any]:
        pages.append(worker.page(task))
        is_wrong = name_of(task) == "a.jpg"
        return paint(square(shift=4 if is_wrong else 0), ["cat"], initialValueModified=is_wrong)

    assert sorted(map(name_of, worker.work(job.name, correct))) == ["a.jpg", "b.jpg"]
    assert "initial-value=" in pages[0]
    assert "#2ca02c" in pages[0]
    assert "X-Amz-Signature" in pages[0]
    run = run_stage(project, watch)
    done = lines_of(project, run.labeling_job.output_manifest)  # type: ignore[union-attr, arg-type]
    status = {name: line[f"{job.label_attribute}-metadata"]["adjustment-status"] for name, line in done.items()}
    assert status == {"a.jpg": "adjusted", "b.jpg": "unadjusted"}
    assert first.labeling_job.label_attribute in done["a.jpg"]
    run = run_stage(project, dataset)
    records = [json.loads(line) for line in S3(project.clients).read(f"{run.root}objects.jsonl")[0].splitlines()]
    assert all(job.name in record["mask"] for record in records)
    with pytest.raises(StageError, match="is the adjustment of this run already"):
        run_stage(project, adjust)


def test_verify_lists_bad_masks_and_adjust_labels_only_these(project: Project, worker: Worker) -> None:
    first = label_but(project, worker).labeling_job
    assert first
    word = run_stage(project, verify).verification
    assert word
    assert not word.label_attribute.endswith("-ref")
    assert run_stage(project, verify).verification.name == word.name  # type: ignore[union-attr]

    def judge(task: dict[str, Any]) -> dict[str, Any]:
        assert "labelMappings" in worker.page(task)
        if name_of(task) != "b.jpg":
            return {"crowd-image-classifier": {"label": "good"}}
        return {"crowd-image-classifier": {"label": "bad", "workerComment": "no tail"}}

    assert len(worker.work(word.name, judge)) == 3
    run = run_stage(project, verify)
    assert run.verification
    assert (run.verification.good, run.verification.bad) == (2, 1)
    (redo,) = [json.loads(line) for line in S3(project.clients).read(run.verification.redo)[0].splitlines()]
    assert redo["source-ref"].endswith("/b.jpg")
    assert redo["comments"] == ["no tail"]
    assert run.labeling_job == first, "the run's own labels stay what they are"
    job = run_stage(project, adjust, bad=True).labeling_job
    assert job
    given = worker.work(job.name, lambda task: paint(square(shift=2), ["cat"], initialValueModified=True))
    assert [name_of(task) for task in given] == ["b.jpg"]
    said = given[0]["input"]["manifestLine"]["review-metadata"]
    assert (said["type"], said["worker-feedback"]) == (
        "groundtruth/label-verification",
        [{"comment": "no tail"}],
    )
    run = run_stage(project, watch)
    done = lines_of(project, run.labeling_job.output_manifest)  # type: ignore[union-attr, arg-type]
    assert np.array_equal(mask_at(project, done["b.jpg"][job.label_attribute]), square(shift=2))
    assert done["a.jpg"][job.label_attribute] == done["a.jpg"][first.label_attribute]


def test_adjust_labels_only_the_images_listed_in_a_file(project: Project, worker: Worker) -> None:
    first = label_but(project, worker).labeling_job
    assert first
    images = [line["source-ref"] for line in lines_of(project, first.output_manifest).values()]  # type: ignore[arg-type]
    body = (
        json.dumps({"source-ref": images[1], "comments": []}) + "\n\n" + json.dumps({"source-ref": "s3://b/gone.jpg"})
    )
    only = read_redo(body.encode(), "redo.jsonl")
    job = run_stage(project, adjust, only=only).labeling_job
    assert job
    assert "has no mask of 1 image, such as s3://b/gone.jpg" in project.messages()
    given = worker.work(job.name, lambda task: paint(square(), ["cat"], initialValueModified=False))
    assert [task["input"]["taskObject"] for task in given] == [images[1]]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"source-ref": 1}', '{"source-ref": "s3://b/k", "comments": "x"}'])
def test_an_invalid_line_of_a_list_of_images_is_named(text: str) -> None:
    with pytest.raises(ManifestError, match=r"redo\.jsonl, line 2"):
        read_redo(f'{{"source-ref": "s3://b/k"}}\n{text}'.encode(), "redo.jsonl")


def test_verifying_a_sample_of_a_models_labels_estimates_the_others(project: Project, worker: Worker) -> None:
    job = label_but(project, worker, images="abcd").labeling_job
    assert job
    assert job.output_manifest
    s3, source = S3(project.clients), job.output_manifest
    with pytest.raises(ManifestError, match="no label made by a model"):
        verify(project.run, project.context(), machine=2)
    lines = [json.loads(line) for line in s3.read(source)[0].splitlines()]
    for line in lines[1:]:
        line[f"{job.label_attribute}-metadata"]["human-annotated"] = "no"
    mixed = source.replace("output.manifest", "mixed.manifest")
    s3.write(mixed, "".join(json.dumps(line) + "\n" for line in lines).encode())
    chosen = LabelSource(manifest=mixed)
    word = run_stage(project, verify, source=chosen, machine=2).verification
    assert word
    assert (word.machine, word.objects) == (2, 2)
    assert run_stage(project, verify, source=chosen, machine=2).verification == word.model_copy(
        update={"status": project.run.verification.status}  # type: ignore[union-attr]
    )
    judged = worker.work(word.name, lambda task: {"crowd-image-classifier": {"label": "good"}})
    assert "a.jpg" not in [name_of(task) for task in judged], "people made that one"
    word = run_stage(project, verify, source=chosen, machine=2).verification
    assert word
    assert word.share_good is not None
    share, low, high = word.share_good
    assert (share, high) == (1, 1)
    assert low == pytest.approx(0.158, abs=0.001)


def test_continue_labels_rejected_masks_again(project: Project, worker: Worker) -> None:
    label_but(project, worker, images="ab")
    word = run_stage(project, verify).verification
    assert word
    worker.work(word.name, lambda task: {"c": {"label": "bad" if name_of(task) == "a.jpg" else "good"}})
    run_stage(project, verify)
    job = run_stage(project, continue_labeling).labeling_job
    assert job
    given = worker.work(job.name, lambda task: paint(square(shift=1), ["cat"]))
    assert [name_of(task) for task in given] == ["a.jpg"]
    run_stage(project, watch)
    write_gold(project, square(shift=1))
    gold = str(project.folder / "gold")
    found = agreement(project.run, project.context(), gold=gold)
    assert [(image.answers, image.gold) for image in found.images] == [(1, 1.0)] * 2, "the new answer counts"


def test_a_chain_of_three_jobs_yields_one_manifest(project: Project, worker: Worker) -> None:
    label_but(project, worker, "b.jpg", "c.jpg")
    names = [project.run.labeling_job.name]  # type: ignore[union-attr]
    for declined in ("c.jpg", ""):
        job = run_stage(project, continue_labeling).labeling_job
        assert job
        worker.work(
            job.name,
            lambda task, declined=declined: "blurred" if name_of(task) == declined else paint(square(), ["cat"]),
        )
        run_stage(project, watch)
        names.append(job.name)
    found = agreement(project.run, project.context())
    assert sorted(image.image.rsplit("/", 1)[1] for image in found.images) == ["a.jpg", "b.jpg", "c.jpg"]
    labeled = [GroundTruth(project.clients).describe_job(name).counters["TotalLabeled"] for name in names]
    assert labeled == [1, 1, 1], "each image is billed once"
    run = run_stage(project, dataset)
    assert run.dataset
    assert run.dataset.counts["failed"] == 0
    alone = dataset(project.run, project.context(), labels=LabelSource(job=names[1]))
    assert alone.dataset
    assert alone.dataset.counts["failed"] == 1
    assert (
        f"{names[2]} continues from {names[1]}: without --job the dataset has the labels of both" in project.messages()
    )


IN_SERVICE = Resource("endpoint", "cats", "arn:aws:sagemaker:us-east-1:1:endpoint/cats", status="InService")


class OneEndpoint(Hosting):
    """Account with the endpoint `cats`, which returns masks of the test."""

    def find(self, kind: Any, name: str) -> Resource | None:
        return IN_SERVICE if name == "cats" else None


def test_masks_of_a_model_are_adjusted_by_workers_and_predicted_once(project: Project, worker: Worker) -> None:
    hosting = OneEndpoint(project.clients)
    for number, name in enumerate("abc"):
        project.image(f"{name}.jpg", color=number)
    asked: list[bytes] = []

    def ask(body: bytes) -> np.ndarray:
        asked.append(body)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return square(shift=5)

    with pytest.raises(KeyboardInterrupt):
        run_stage(project, prelabel, endpoint="cats", predict=ask, hosting=hosting)
    job = run_stage(project, prelabel, endpoint="cats", predict=ask, hosting=hosting).labeling_job
    assert job
    assert len(asked) == 4, "three calls, and the one that was cut off"
    assert run_stage(project, prelabel, endpoint="cats", predict=ask, hosting=hosting).labeling_job == job

    def submit(task: dict[str, Any]) -> dict[str, Any]:
        line = task["input"]["manifestLine"]
        assert line["prelabel-ref-metadata"]["human-annotated"] == "no"
        return paint(mask_at(project, line["prelabel-ref"]), ["cat"], initialValueModified=False)

    assert len(worker.work(job.name, submit)) == 3
    run_stage(project, watch)
    run = run_stage(project, dataset)
    assert run.dataset
    assert run.dataset.counts["rejected"] == 0
    assert run.dataset.classes == ("BACKGROUND", "cat")


def test_the_most_uncertain_images_are_labeled_next_and_used_for_training_only(
    project: Project, worker: Worker
) -> None:
    label_but(project, worker, images="abc")
    for number, name in enumerate(("sure", "unsure", "twin", "other")):
        pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        pixels[:, : 8 + 4 * number] = (40 * number, 200 - 50 * number, 90)
        if name == "twin":
            pixels[:] = 0
            pixels[:, :12] = (40, 150, 92)
        Image.fromarray(pixels).save(project.folder / "images" / f"{name}.png")
    project.run_file.save(project.run.update(endpoint=ENDPOINT))
    least: dict[tuple[int, ...], float] = {(0, 200, 90): 0.99, (40, 150, 90): 0.55, (40, 150, 92): 0.55}

    def ask(body: bytes) -> Answer:
        pixel = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))[0, 0]
        sureness = least.get(tuple(int(v) for v in pixel), 0.7)
        inside = square() == 1
        plane = np.where(inside, sureness, 0.01).astype(np.float32)
        return Answer(square(), np.stack([1 - plane, plane]), 0.0)

    job = run_stage(project, label_next, count=2, predict=ask).labeling_job
    assert job
    given = worker.work(job.name, lambda task: paint(square(shift=1), ["cat"], initialValueModified=True))
    names = sorted(name_of(task) for task in given)
    assert "sure.png" not in names
    assert names in (["other.png", "twin.png"], ["other.png", "unsure.png"]), "near-duplicates are asked about once"
    run_stage(project, watch)
    run = run_stage(project, dataset)
    assert run.dataset
    assert sum(run.dataset.counts[part] for part in ("train", "validation", "test")) == 5
    records = [json.loads(line) for line in S3(project.clients).read(f"{run.root}objects.jsonl")[0].splitlines()]
    assert {r["split"] for r in records if r["image"].endswith(".png")} == {"train"}
    with pytest.raises(StageError, match="no model in service"):
        label_next(run.update(endpoint=None), project.context(), count=1)


def test_gold_images_are_never_labeled_by_a_follow_up(project: Project, worker: Worker) -> None:
    label_but(project, worker, "b.jpg", images="abc")
    write_gold(project, square())
    (project.folder / "gold" / "a.png").unlink()
    project.set("labeling", gold="gold", labels=["cat"])
    assert run_stage(project, continue_labeling).labeling_job == project.run.labeling_job
    assert "1 image of [labeling] gold left out" in project.messages()
    project.run_file.save(project.run.update(endpoint=ENDPOINT))
    with pytest.raises(StageError, match=r"labeled except for 1 gold image: there is nothing"):
        run_stage(project, label_next, count=2, predict=lambda body: Answer(square(), None, 0.0))


def test_a_missing_endpoint_is_named(project: Project) -> None:
    project.image("a.jpg")
    with pytest.raises(StageError, match="'dogs' does not exist"):
        run_stage(project, prelabel, endpoint="dogs", hosting=OneEndpoint(project.clients))


def test_imported_masks_are_adjusted(project: Project, worker: Worker) -> None:
    first = label_but(project, worker, images="a").labeling_job
    assert first
    imported = LabelingJobSection(
        name="bought",
        arn=first.arn.replace(first.name, "bought"),
        label_attribute=first.label_attribute,
        workforce="import",
        objects=1,
        status="Completed",
        output_manifest=first.output_manifest,
    )
    project.run_file.save(project.run.update(labeling_job=imported))
    job = run_stage(project, adjust).labeling_job
    assert job
    assert job.follows == "bought"
    assert len(worker.work(job.name, lambda task: paint(square(), ["cat"], initialValueModified=False))) == 1
    project.run_file.save(project.run.update(labeling_job=imported))
    with pytest.raises(StageError, match="nothing left to label"):
        run_stage(project, continue_labeling)


def command(project: Project, *words: str) -> int:
    """Run one command in the project's folder and return its exit code."""
    assert project.settings
    with pytest.raises(SystemExit) as end:
        main([*words, "--settings", str(project.folder / "gtseg.toml")])
    return int(end.value.code or 0)


def test_review_commands_print_their_results(
    project: Project, worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    label_but(project, worker, "b.jpg", images="ab")
    before = project.run
    assert command(project, "label", "--continue", "--dry-run") == 0
    assert '"LabelAttributeName"' in capsys.readouterr().out
    assert command(project, "adjust", "--dry-run") == 0
    assert project.run == before, "a dry run touches nothing"
    assert command(project, "adjust", "--bad") == 3
    assert "gtseg verify" in capsys.readouterr().err
    assert command(project, "agreement") == 0
    assert "HARDEST IMAGES" in capsys.readouterr().out
    assert command(project, "agreement", "--json") == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["answers"] == 1
    assert command(project, "verify") == 0
    word = project.run.verification
    assert word
    worker.work(word.name, lambda task: {"c": {"label": "bad"}})
    capsys.readouterr()
    assert command(project, "verify", "--wait", "--json") == 5
    assert json.loads(capsys.readouterr().out)["bad"] == 1
    assert command(project, "label", "--continue") == 0
    assert project.run.labeling_job.objects == 2  # type: ignore[union-attr]


def test_an_incomplete_adjustment_is_continued_as_an_adjustment(project: Project, worker: Worker) -> None:
    label_but(project, worker, images="ab")
    first = run_stage(project, adjust).labeling_job
    assert first
    same = paint(square(), ["cat"], initialValueModified=False)
    worker.work(first.name, lambda task: same if name_of(task) == "a.jpg" else "not now")
    run_stage(project, watch)
    job = run_stage(project, continue_labeling).labeling_job
    assert job
    pages: list[str] = []

    def correct(task: dict[str, Any]) -> dict[str, Any]:
        pages.append(worker.page(task))
        return paint(square(shift=1), ["cat"], initialValueModified=True)

    assert [name_of(task) for task in worker.work(job.name, correct)] == ["b.jpg"]
    assert "initial-value=" in pages[0]
    run = run_stage(project, watch)
    done = lines_of(project, run.labeling_job.output_manifest)  # type: ignore[union-attr, arg-type]
    assert {name: line[f"{first.label_attribute}-metadata"]["adjustment-status"] for name, line in done.items()} == {
        "a.jpg": "unadjusted",
        "b.jpg": "adjusted",
    }
