"""Gold images: their order among other tasks, scores per worker, and their absence from all output."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from labeling_fixture import END, SIZE, Api, Labeling, draw_answer, draw_picture, square
from local_aws import LocalAWS
from PIL import Image
from polling import wait_for

OBJECTS, GOLD = 22, 2


@pytest.fixture
def labeling(shared_aws: LocalAWS) -> Labeling:
    return Labeling(shared_aws)


def encode(mask: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(mask).save(out, "PNG")
    return out.getvalue()


def put_gold(labeling: Labeling, masks: list[np.ndarray]) -> dict[str, str]:
    """Return the tag of a job with gold images that are not its objects."""
    lines = [
        {
            "source-ref": labeling.put(f"images/known-{n}.jpg", draw_picture(100 + n)),
            "gold-ref": labeling.put(f"masks/{n}.png", encode(mask)),
        }
        for n, mask in enumerate(masks)
    ]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    return {"Key": "gtseg:gold", "Value": labeling.put("gold.manifest", body)}


def create(labeling: Labeling, objects: int | list[dict[str, Any]], *tags: dict[str, str]) -> str:
    request = {**labeling.request(objects), "Tags": list(tags)}
    labeling.sagemaker.create_labeling_job(**request)
    return str(request["LabelingJobName"])


def is_gold(task: dict[str, Any]) -> bool:
    return "known-" in task["input"]["taskObject"]


def send(worker: Api, task: dict[str, Any], mask: np.ndarray, **more: Any) -> int:
    body = {"answer": draw_answer(mask, task["labels"]), **more}
    return worker("POST", f"/tasks/{task['task']}/answer", body)[0]


def counts(worker: Api, job: str) -> tuple[int, int]:
    (found,) = [row for row in worker("GET", "/jobs")[1]["jobs"] if row["job"] == job]
    return found["available"], found["answered"]


def reach_gold(labeling: Labeling, worker: Api, job: str) -> dict[str, Any]:
    while not is_gold(task := labeling.lease(worker, job)):
        assert send(worker, task, square()) == 200
    return task


def lease_or_end(labeling: Labeling, worker: Api, job: str) -> dict[str, Any] | None:
    def ask() -> list[dict[str, Any] | None]:
        status, task = worker("POST", f"/jobs/{job}/tasks")
        if status == 200:
            return [task]
        return [None] if labeling.describe(job)["LabelingJobStatus"] in END else []

    found: dict[str, Any] | None = wait_for(ask)[0]
    return found


def plain(labeling: Labeling, job: str) -> list[str]:
    """Return the output manifest without job name and times."""
    lines = []
    for line in labeling.manifest(job):
        metadata = line.pop(f"{job}-ref-metadata")
        metadata = {key: value for key, value in metadata.items() if key not in ("job-name", "creation-date")}
        pixels = labeling.read(line.pop(f"{job}-ref")).hex()
        lines.append(json.dumps([line, metadata, pixels], sort_keys=True))
    return lines


def test_gold_images_do_not_change_manifest_counters_and_figures(labeling: Labeling) -> None:
    lines = [{"source-ref": uri} for uri in labeling.put_pictures(OBJECTS)]
    void = square()
    void[0] = 255
    tag = put_gold(labeling, [square(), void])
    jobs, worker = (create(labeling, lines), create(labeling, lines, tag)), labeling.hire("Ann Gold")
    seen: list[bool] = []
    for job in jobs:
        while (task := lease_or_end(labeling, worker, job)) is not None:
            seen.append(is_gold(task))
            assert send(worker, task, square(shift=4) if is_gold(task) else square()) == 200
    without, with_gold = (labeling.await_end(job) for job in jobs)
    assert len(seen) == 2 * OBJECTS + GOLD
    assert sum(seen) == GOLD
    assert with_gold["LabelCounters"] == without["LabelCounters"]
    assert plain(labeling, jobs[1]) == plain(labeling, jobs[0])
    names = [key.replace(jobs[1], "") for key in labeling.keys(f"out/{jobs[1]}/annotations/worker-response/")]
    assert len(names) == OBJECTS
    first, second = (labeling.owner("GET", f"/owner/jobs/{job}")[1] for job in jobs)
    assert "gold" not in first
    assert second["counts"] == first["counts"]
    assert [row["answers"] for row in second["workers"]] == [OBJECTS]
    gold = second["gold"]
    assert gold["images"] == GOLD
    (score,) = gold["workers"]
    assert (score["name"], score["seen"], score["scored"]) == ("Ann Gold", GOLD, GOLD)
    assert score["iou"] == pytest.approx(96 / 192)
    assert not any("/gold" in str(key) for key in worker("GET", "/pace")[1]["pace"])


def test_a_gold_task_is_described_like_any_other(labeling: Labeling) -> None:
    job, worker = create(labeling, OBJECTS, put_gold(labeling, [square()] * GOLD)), labeling.hire()
    other = labeling.lease(worker, job)
    left, answered = counts(worker, job)
    task = reach_gold(labeling, worker, job)
    assert set(task) == set(other)
    assert {key for key in task if type(task[key]) is not type(other[key])} == set()
    assert set(task["input"]) == set(other["input"])
    assert set(task["input"]["manifestLine"]) == set(other["input"]["manifestLine"])
    assert len(task["task"]) == len(other["task"])
    assert (task["width"], task["height"]) == SIZE
    assert "gold" not in json.dumps(task).lower()
    for what, status in (("image", 200), ("page", 200), ("annotation", 404), ("suggestion", 404)):
        assert worker("GET", f"/tasks/{task['task']}/{what}")[0] == status
    done = counts(worker, job)[1]
    assert send(worker, task, square(), revisable=True) == 200
    assert counts(worker, job)[1] == done + 1
    assert left > 0
    assert answered == 0


def test_the_number_of_available_tasks_falls_by_one_with_each_answer(labeling: Labeling) -> None:
    job, worker = create(labeling, 10, put_gold(labeling, [square()])), labeling.hire()
    labeling.lease(worker, job)
    wait_for(lambda: counts(worker, job)[0] >= 10)
    total, left = counts(worker, job)[0], []
    for _ in range(total):
        left.append(counts(worker, job)[0])
        assert send(worker, labeling.lease(worker, job), square()) == 200
    assert left == list(range(total, 0, -1))


def test_a_gold_answer_can_be_drafted_questioned_revised_and_is_scored_again(labeling: Labeling) -> None:
    job, worker = create(labeling, OBJECTS, put_gold(labeling, [square()])), labeling.hire()
    task = reach_gold(labeling, worker, job)
    root = f"/tasks/{task['task']}"
    assert worker("POST", f"{root}/presence", {"tab": "t", "opens": True, "active": 1})[0] == 200
    assert worker("PUT", f"{root}/draft?tab=t&base=0", b"strokes") == (200, {"version": 1})
    assert worker("POST", f"{root}/questions", {"question": "Is it one?", "x": 1, "y": 2})[0] == 201
    assert [q["question"] for q in worker("GET", f"/jobs/{job}/questions")[1]["questions"]] == ["Is it one?"]
    (asked,) = labeling.owner("GET", f"/owner/jobs/{job}/questions")[1]["questions"]
    assert labeling.owner("GET", f"/owner/jobs/{job}/objects/{asked['line']}/image")[0] == 200
    assert send(worker, task, square(shift=12), revisable=True) == 200
    (row,) = [r for r in worker("GET", f"/jobs/{job}/submitted")[1]["answers"] if r["task"] == task["task"]]
    assert row["state"] == "held"
    assert labeling.owner("GET", f"/owner/jobs/{job}")[1]["gold"]["workers"][0]["iou"] == 0
    assert worker("POST", f"{root}/revise")[0] == 200
    assert send(worker, task, square(), revisable=True) == 200
    assert worker("GET", f"{root}/submission")[1].startswith(b"\x89PNG")
    assert labeling.owner("GET", f"/owner/jobs/{job}")[1]["gold"]["workers"][0]["iou"] == 1


def test_a_released_gold_task_is_offered_last_and_does_not_delay_the_job(labeling: Labeling) -> None:
    job, worker = create(labeling, 10, put_gold(labeling, [square()])), labeling.hire()
    task = reach_gold(labeling, worker, job)
    assert worker("POST", f"/tasks/{task['task']}/release", {"reason": "later"})[0] == 200
    while not is_gold(again := labeling.lease(worker, job)):
        assert send(worker, again, square()) == 200
    assert again["task"] != task["task"]
    assert labeling.await_end(job)["LabelCounters"]["HumanLabeled"] == 10
    assert send(worker, again, square()) == 410


def test_a_lease_of_a_gold_image_survives_a_kill_and_expires(local_aws: LocalAWS) -> None:
    labeling = Labeling(local_aws)
    job, worker = create(labeling, OBJECTS, put_gold(labeling, [square()])), labeling.hire()
    task = reach_gold(labeling, worker, job)
    local_aws.kill9()
    local_aws.start()
    local_aws.change_state("UPDATE labeling_tasks SET expires = 1 WHERE id = ?", task["task"])
    labeling.connect()
    worker.url = local_aws.url
    wait_for(lambda: worker("GET", f"/tasks/{task['task']}")[1]["state"] == "expired")
    status, again = worker("POST", f"/tasks/{task['task']}/again")
    assert (status, again["object"]) == (200, task["object"])
    assert send(worker, again, square()) == 200
    assert worker("POST", f"/tasks/{task['task']}/again")[0] == 410
    (score,) = labeling.owner("GET", f"/owner/jobs/{job}")[1]["gold"]["workers"]
    assert (score["seen"], score["iou"]) == (1, 1)


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (square(2), "has the value 2, but the job has 1 labels"),
        (np.zeros((3, 4), np.uint8), "has 4 x 3 pixels, but its image has 32 x 24"),
        (np.zeros((24, 32, 3), np.uint8), "is not an index mask"),
    ],
)
def test_an_invalid_gold_mask_fails_the_job_with_the_reason(labeling: Labeling, mask: np.ndarray, reason: str) -> None:
    job = create(labeling, 1, put_gold(labeling, [mask]))
    ended = labeling.await_end(job)
    assert ended["LabelingJobStatus"] == "Failed"
    assert reason in ended["FailureReason"]


def test_a_missing_gold_manifest_fails_the_job_with_its_name(labeling: Labeling) -> None:
    uri = f"s3://{labeling.bucket}/nowhere.manifest"
    ended = labeling.await_end(create(labeling, 1, {"Key": "gtseg:gold", "Value": uri}))
    assert ended["LabelingJobStatus"] == "Failed"
    assert uri in ended["FailureReason"]
