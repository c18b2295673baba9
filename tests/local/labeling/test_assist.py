"""Suggested masks and the helpful order of tasks."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labeling_fixture import SIZE, Labeling, draw_answer, square
from local_aws import LocalAWS
from PIL import Image
from polling import wait_for

from gtseg.local.embedded import Embedded
from gtseg.local.labeling.assist.assistant import Assistant
from gtseg.local.labeling.assist.objects import split_objects
from gtseg.local.labeling.assist.order import order_objects
from gtseg.local.labeling.assist.records import may_have_suggestion
from gtseg.local.labeling.assist.refine import find_smallest, refine_objects
from gtseg.local.labeling.autosegment import Predictor, weights_paths
from gtseg.local.labeling.autosegment.mask_correction import correct_mask
from gtseg.local.labeling.records import find_job
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.store import Store

ASSIST = {"Key": "gtseg:assist", "Value": "true"}
HELPFUL = {"Key": "gtseg:order", "Value": "helpful"}


@pytest.fixture
def labeling(shared_aws: LocalAWS) -> Labeling:
    return Labeling(shared_aws)


def create(labeling: Labeling, *tags: dict[str, str], pictures: int = 40, **more: Any) -> str:
    request = {**labeling.request(pictures, **more), "Tags": list(tags)}
    labeling.sagemaker.create_labeling_job(**request)
    return str(request["LabelingJobName"])


def put_round(labeling: Labeling, name: str, *, lines: int) -> Path:
    """The files of a completed round: a square as the mask of each image."""
    reference = labeling.describe(name)["JobReferenceCode"]
    folder = Path(labeling.aws.folder) / "labeling" / reference / "assist" / "round-1"
    (folder / "output" / "masks").mkdir(parents=True)
    for line in range(lines):
        Image.fromarray(square()).save(folder / "output" / "masks" / f"{line:06}.png")
    (folder / "ready.json").write_text(json.dumps({"model": "m/assist-1", "objects": 1000}))
    return folder


def label_first_ten(labeling: Labeling, worker: Any, name: str) -> None:
    """Label Ground Truth's first batch, so that all other objects are available."""
    for _ in range(10):
        task = labeling.lease(worker, name)
        assert task["suggested_by"] is None
        worker("POST", f"/tasks/{task['task']}/answer", {"answer": draw_answer(square(), task["labels"])})


def test_nine_in_ten_tasks_open_with_a_suggestion_and_answers_name_the_model(
    labeling: Labeling,
) -> None:
    name, worker = create(labeling, ASSIST), labeling.hire()
    label_first_ten(labeling, worker, name)
    first = labeling.lease(worker, name)
    put_round(labeling, name, lines=40)
    assert worker("GET", f"/tasks/{first['task']}")[1]["suggested_by"] is None, "it has opened empty"
    worker("POST", f"/tasks/{first['task']}/answer", {"answer": draw_answer(square(), first["labels"])})
    suggested: dict[str, bool] = {}
    while (task := worker("POST", f"/jobs/{name}/tasks")[1]) is not None and not isinstance(task, bytes):
        suggested[task["object"]] = task["suggested_by"] == "m/assist-1"
        status, found = worker("GET", f"/tasks/{task['task']}/suggestion")
        assert status == (200 if suggested[task["object"]] else 404)
        if status == 200:
            (item,) = found["objects"]
            assert (item["label"], item["area"], item["rows"][0]) == (1, 144, [6, 8, 20])
        assert labeling.lease(worker, name)["suggested_by"] == task["suggested_by"]
        worker("POST", f"/tasks/{task['task']}/answer", {"answer": draw_answer(square(), task["labels"])})
    assert len(suggested) == 29
    assert sum(suggested.values()) > 0
    labeling.await_end(name)
    for key in labeling.keys(f"out/{name}/annotations/worker-response/"):
        (answer,) = json.loads(labeling.read(f"s3://{labeling.bucket}/{key}"))["answers"]
        line = key.split("/")[-2]
        assert (answer.get("suggestedBy") == "m/assist-1") == suggested.get(line, False)
    wait_for(lambda: not list(Path(labeling.aws.folder).glob("labeling/*/assist/round-1/output/masks/000039.png")))


def test_a_job_without_the_tag_behaves_as_in_ground_truth(labeling: Labeling) -> None:
    name, worker = create(labeling, pictures=3), labeling.hire()
    put_round(labeling, name, lines=3)
    task = labeling.lease(worker, name)
    assert task["suggested_by"] is None
    assert worker("GET", f"/tasks/{task['task']}/suggestion")[0] == 404


def test_the_helpful_order_is_random_before_the_first_model_and_equal_for_all_workers(
    labeling: Labeling,
) -> None:
    name, worker = create(labeling, HELPFUL, pictures=30), labeling.hire()
    order = []
    for _ in range(30):
        task = labeling.lease(worker, name)
        order.append(int(task["object"]))
        worker("POST", f"/tasks/{task['task']}/answer", {"answer": draw_answer(square(), task["labels"])})
    assert sorted(order) == list(range(30))
    assert order[10:] != sorted(order[10:])


def test_the_same_random_tenth_of_objects_never_has_a_suggestion(tmp_path: Path) -> None:
    class Numbered:
        reference = "a" * 24

    empty = [line for line in range(5000) if not may_have_suggestion(Numbered(), line)]  # type: ignore[arg-type]
    assert 430 <= len(empty) <= 570
    assert empty == [line for line in range(5000) if not may_have_suggestion(Numbered(), line)]  # type: ignore[arg-type]


def test_suggested_objects_are_connected_areas_and_their_rows_restore_the_mask() -> None:
    rng = np.random.default_rng(5)
    mask = np.zeros((60, 80), np.uint8)
    for label in (1, 2, 1, 3):
        y, x = rng.integers(0, 40), rng.integers(0, 60)
        mask[y : y + 15, x : x + 17] = label
    again = np.zeros_like(mask)
    objects = split_objects(mask)
    for item in objects:
        for y, *ends in item["rows"]:
            for start, end in zip(ends[::2], ends[1::2], strict=True):
                again[y, start:end] = item["label"]
    assert (again == mask).all()
    assert [item["area"] for item in objects] == sorted((item["area"] for item in objects), reverse=True)


def test_objects_smaller_than_the_labeled_ones_are_not_suggested() -> None:
    masks = []
    for side in range(20, 40):
        mask = np.zeros((100, 100), np.uint8)
        mask[5 : 5 + side, 5 : 5 + side] = 1
        mask[60:65, 60:65] = 2
        masks.append(mask)
    smallest = find_smallest(masks)
    assert smallest[2] == 0.5 * 25 / 10_000
    assert 0.5 * 400 / 10_000 <= smallest[1] <= 0.5 * 600 / 10_000
    proposed = np.zeros((100, 100), np.uint8)
    proposed[10:40, 10:40] = 1
    proposed[80:88, 80:88] = 1  # an object of label 1 is never so small
    proposed[60:65, 60:65] = 2
    found = refine_objects(Predictor(), np.zeros((100, 100, 3), np.uint8), proposed, smallest)
    assert (found == np.where(np.arange(100)[:, None] < 70, proposed, 0)).all(), "nothing refines without networks"


def test_refinement_follows_the_image_and_clicks_change_the_mask_only_near_them() -> None:
    ys, xs = np.mgrid[:160, :200]
    disc = (xs - 100) ** 2 + (ys - 80) ** 2 < 45**2
    photo = np.where(disc[..., None], (220, 160, 60), (40, 70, 60)).astype(np.uint8)
    rough = (np.abs(xs - 100) < 38) & (np.abs(ys - 80) < 38)  # a square, as a coarse mask may be
    predictor = Predictor(*weights_paths())
    refined = refine_objects(predictor, photo, rough.astype(np.uint8), {1: 0.01}) == 1
    assert iou(refined, disc) > max(0.9, iou(rough, disc) + 0.05)
    excess = disc.copy()
    excess[70:95, 140:165] = True
    clicked = np.array([[155, 80]], np.float32)
    none = np.zeros((0, 2), np.float32)
    corrected = correct_mask(predictor, photo, excess, inside=none, outside=clicked).full_mask((160, 200))
    assert not corrected[80, 155]
    assert (corrected[:, :120] == disc[:, :120]).all(), "what is far from the click stays as it was"
    assert (correct_mask(predictor, photo, excess, inside=none, outside=none).full_mask((160, 200)) == excess).all()


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_suggested_object_is_corrected_by_its_number(labeling: Labeling) -> None:
    name, worker = create(labeling, ASSIST, pictures=12), labeling.hire()
    put_round(labeling, name, lines=12)
    task = next(t for t in iter(lambda: take_one(labeling, worker, name), None) if t["suggested_by"])
    path = f"/tasks/{task['task']}/autosegment"
    status, found = worker("POST", path, {"suggested": 0, "inside": [], "outside": []})
    assert (status, found["rows"][0]) == (200, [6, 8, 20])
    for number in (1, -1, "0", True):
        assert worker("POST", path, {"suggested": number})[0] == 400
    worker("POST", f"/tasks/{task['task']}/answer", {"answer": draw_answer(square(), task["labels"])})


def take_one(labeling: Labeling, worker: Any, name: str) -> dict[str, Any]:
    """Return the next task with a suggestion; answer those without."""
    task = labeling.lease(worker, name)
    if not task["suggested_by"]:
        worker("POST", f"/tasks/{task['task']}/answer", {"answer": draw_answer(square(), task["labels"])})
    return task


def test_a_speck_is_not_an_object() -> None:
    mask = np.zeros((200, 200), np.uint8)
    mask[3, 3] = 1
    mask[50:70, 50:70] = 1
    assert [item["area"] for item in split_objects(mask)] == [400]


def test_uncertain_and_dissimilar_objects_come_first_and_every_fifth_is_random() -> None:
    features = np.repeat(np.eye(4) * 10, 25, axis=0) + np.random.default_rng(0).normal(0, 0.1, (100, 4))
    confidences = np.linspace(0.99, 0.5, 100)  # the later, the less sure
    order = order_objects(confidences, features, features[75:80], count=100, seed=1)
    assert sorted(order) == list(range(100))
    assert order == order_objects(confidences, features, features[75:80], count=100, seed=1)
    chosen = [position for place, position in enumerate(order[:4])]
    assert all(position < 75 for position in chosen[:3]), "the last group is labeled already"
    assert {position // 25 for position in chosen[:3]} == {0, 1, 2}, "one of each group that is not"


def test_the_assistant_trains_on_answers_and_completes_its_round(tmp_path: Path) -> None:
    """Checks the files only; the processes are tested with the algorithm."""
    embedded = Embedded(store=Store(tmp_path), objects=FolderObjects(tmp_path), url="http://localhost")
    try:
        run_assistant(embedded)
    finally:
        embedded.objects.index.database.close()  # type: ignore[attr-defined]
        embedded.store.close()


def run_assistant(embedded: Embedded) -> None:
    from test_automated_rounds import call, make_request

    from gtseg.local.labeling.assist.rounds import Round, find_rounds
    from gtseg.local.labeling.masks import encode_mask

    request = make_request(embedded, objects=30)
    del request["LabelingJobAlgorithmsConfig"]
    request["Tags"] = [ASSIST]
    assert call(embedded, "CreateLabelingJob", request)[0] == 200
    image = io.BytesIO()
    Image.new("RGB", SIZE).save(image, "JPEG")
    embedded.objects.put("bucket", "mask.png", encode_mask(square(), 1))
    for line in range(30):
        embedded.objects.put("bucket", f"{line}.jpg", image.getvalue())
    job = find_job(embedded.store, "job")
    call(embedded, "DescribeLabelingJob", {"LabelingJobName": "Job"})[2].engine.advance(job)
    with embedded.store.write() as connection:
        connection.execute(
            "UPDATE labeling_objects SET state = 'labeled', width = 32, height = 24, result = ? WHERE line < 9",
            (json.dumps({"job-ref": "s3://bucket/mask.png"}),),
        )
    assistant = Assistant(embedded)
    folder = job.folder(embedded.store) / "assist"
    assistant.step()
    assert not find_rounds(folder), "nine answers are too few"
    with embedded.store.write() as connection:
        connection.execute(
            "UPDATE labeling_objects SET state = 'labeled', width = 32, height = 24, result = ? WHERE line = 9",
            (json.dumps({"job-ref": "s3://bucket/mask.png"}),),
        )
    assistant.step()
    (current,) = find_rounds(folder)
    assert isinstance(current, Round)
    counts = [
        len(list((current.folder / "input" / "data" / channel).iterdir()))
        for channel in ("train", "train_annotation", "validation", "validation_annotation")
    ]
    assert counts == [8, 8, 2, 2]
    (current.folder / "process-train").mkdir()
    (current.folder / "process-train" / "exit").write_text("0\n")
    (current.folder / "process-score").mkdir()
    (current.folder / "process-score" / "exit").write_text("0\n")
    (current.folder / "process-refine").mkdir()
    (current.folder / "process-refine" / "exit").write_text("0\n")
    assistant.step()
    assert current.ready == {"model": "Job/assist-1", "objects": 10}
    assistant.step()
    assert len(find_rounds(folder)) == 1, "the next model needs half as many answers more"
