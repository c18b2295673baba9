"""Labeling jobs from creation to output, over boto3 and the worker API, against a server process."""

from __future__ import annotations

import io
import json
import re
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from labeling_fixture import ACS, END, PRE, PUBLIC, TEAM, Labeling, draw_answer, square
from PIL import Image
from polling import wait_for

pytestmark = pytest.mark.usefixtures("no_workers")


@pytest.fixture
def labeling(shared_aws: Any) -> Labeling:
    return Labeling(shared_aws)


def read_mask(content: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(content)))


STAMP = r"\d{4}-\d\d-\d\d_\d\d:\d\d:\d\d"
KEYS = (
    rf"annotations/worker-response/iteration-\d+/\d+/{STAMP}\.json",
    rf"annotations/consolidated-annotation/consolidation-request/iteration-\d+/{STAMP}\.json",
    rf"annotations/consolidated-annotation/consolidation-response/iteration-\d+/{STAMP}\.json",
    r"annotations/consolidated-annotation/output/\d+_\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\.png",
    r"annotations/intermediate/\d+/annotations\.json",
    r"manifests/output/output\.manifest",
)


def test_a_job_of_one_worker_writes_ground_truths_files_and_manifest(labeling: Labeling) -> None:
    job = labeling.create(12, labels=("cat", "dog"))
    worker = labeling.hire()
    assert sorted(labeling.label_all(worker, job, lambda task: square(1 + int(task["object"]) % 2)), key=int) == [
        str(n) for n in range(12)
    ]
    described = labeling.await_end(job)
    assert described["LabelingJobStatus"] == "Completed"
    assert described["LabelCounters"] == {
        "TotalLabeled": 12,
        "HumanLabeled": 12,
        "MachineLabeled": 0,
        "FailedNonRetryableError": 0,
        "Unlabeled": 0,
    }
    keys = [key.removeprefix(f"out/{job}/") for key in labeling.keys(f"out/{job}/")]
    assert [key for key in keys if not any(re.fullmatch(pattern, key) for pattern in KEYS)] == []
    assert {key.split("/")[2] for key in keys if key.startswith("annotations/worker-response/")} == {
        "iteration-1",
        "iteration-2",
    }
    assert sum("/output/" in key and key.endswith(".png") for key in keys) == 12
    lines = labeling.manifest(job)
    assert [line["source-ref"] for line in lines] == [f"s3://{labeling.bucket}/images/{n:03}.jpg" for n in range(12)]
    for number, line in enumerate(lines):
        assert list(line) == ["source-ref", f"{job}-ref", f"{job}-ref-metadata"]
        assert re.fullmatch(
            rf"s3://{labeling.bucket}/out/{job}/annotations/consolidated-annotation/output/{number}_.*\.png",
            line[f"{job}-ref"],
        )
        assert np.array_equal(read_mask(labeling.read(line[f"{job}-ref"])), square(1 + number % 2))
        metadata = line[f"{job}-ref-metadata"]
        assert metadata["job-name"] == f"labeling-job/{job.lower()}"
        assert (metadata["type"], metadata["human-annotated"]) == ("groundtruth/semantic-segmentation", "yes")
        assert metadata["internal-color-map"] == {
            "0": {"class-name": "BACKGROUND", "hex-color": "#ffffff", "confidence": 0},
            "1": {"class-name": "cat", "hex-color": "#2ca02c", "confidence": 0},
            "2": {"class-name": "dog", "hex-color": "#1f77b4", "confidence": 0},
        }


def test_worker_responses_and_consolidation_files_contain_the_submitted_answers(labeling: Labeling) -> None:
    job = labeling.create(1)
    labeling.label_all(labeling.hire(), job)
    labeling.await_end(job)
    response, request, consolidated = (
        json.loads(labeling.read(f"s3://{labeling.bucket}/{key}"))
        for part in ("worker-response", "consolidation-request", "consolidation-response")
        for key in labeling.keys(f"out/{job}/annotations/") if part in key
    )  # fmt: skip
    sent = draw_answer(square(), ["cat"])
    (answer,) = response["answers"]
    assert answer["answerContent"] == sent
    assert re.fullmatch(r"private\.us-east-1\.[0-9a-f]{16}", answer["workerId"])
    assert set(answer) == {
        "acceptanceTime",
        "answerContent",
        "submissionTime",
        "timeSpentInSeconds",
        "workerId",
        "workerMetadata",
    }
    (asked,) = request
    assert (asked["datasetObjectId"], asked["dataObject"]) == (
        "0",
        {"s3Uri": f"s3://{labeling.bucket}/images/000.jpg"},
    )
    assert json.loads(asked["annotations"][0]["annotationData"]["content"]) == sent
    (line,) = labeling.manifest(job)
    assert consolidated == [
        {
            "datasetObjectId": "0",
            "consolidatedAnnotation": {"content": {k: v for k, v in line.items() if k != "source-ref"}},
        }
    ]
    intermediate = json.loads(
        labeling.read(f"s3://{labeling.bucket}/out/{job}/annotations/intermediate/1/annotations.json")
    )
    assert intermediate["datasetObjectId"] == "0"
    assert json.loads(intermediate["manifestLine"]) == line


def test_the_first_batch_is_ten_random_objects_and_later_ones_use_the_task_limit(labeling: Labeling) -> None:
    job = labeling.create(25, MaxConcurrentTaskCount=9)
    order = labeling.label_all(labeling.hire(), job)
    labeling.await_end(job)
    first = sorted(map(int, order[:10]))
    assert first != list(range(10))  # one chance in three million
    assert [int(n) for n in order[10:]] == [n for n in range(25) if n not in first]
    keys = labeling.keys(f"out/{job}/annotations/worker-response/")
    assert Counter(key.split("/")[4] for key in keys) == {
        "iteration-1": 10,
        "iteration-2": 9,
        "iteration-3": 6,
    }


def test_three_workers_vote_and_no_worker_gets_an_object_twice(labeling: Labeling) -> None:
    job = labeling.create(4, workers=3)
    team = [labeling.hire() for _ in range(4)]
    seen = [
        labeling.label_all(worker, job, lambda task, n=number: square(shift=n), count=4)
        for number, worker in enumerate(team[:3])
    ]
    assert all(sorted(objects) == ["0", "1", "2", "3"] for objects in seen)
    labeling.await_end(job)
    for line in labeling.manifest(job):
        assert np.array_equal(read_mask(labeling.read(line[f"{job}-ref"])), square(shift=1))  # two of three everywhere
        confidences = {entry["confidence"] for entry in line[f"{job}-ref-metadata"]["internal-color-map"].values()}
        assert len(confidences) == 1
        assert 0.5 < confidences.pop() < 1


def test_an_unreadable_image_fails_with_the_reason_and_the_job_completes(labeling: Labeling) -> None:
    lines = [
        {"source-ref": labeling.put_pictures(1)[0], "kept": {"a": 1.50}},
        {"source-ref": f"s3://{labeling.bucket}/images/missing.jpg"},
        {"source-ref": labeling.put("images/garbage.jpg", b"no image")},
        {"source-ref": labeling.put("images/cut.jpg", (labeling.read(labeling.put_pictures(1)[0]))[:300])},
        {"source-ref": "https://example.com/a.jpg"},
        {"source-ref": "s3://no-such-bucket-anywhere/a.jpg"},
    ]  # fmt: skip
    job = labeling.create(lines)
    labeling.label_all(labeling.hire(), job)
    described = labeling.await_end(job)
    assert described["LabelingJobStatus"] == "Completed"
    assert (
        described["LabelCounters"]["TotalLabeled"],
        described["LabelCounters"]["FailedNonRetryableError"],
    ) == (1, 5)
    written = labeling.manifest(job)
    assert written[0]["kept"] == {"a": 1.5}
    for line, given in zip(written[1:], lines[1:], strict=True):
        assert f"{job}-ref" not in line
        assert given["source-ref"] in line[f"{job}-ref-metadata"]["failure-reason"]


def test_as_many_declines_as_required_answers_fail_an_object_with_the_reasons(labeling: Labeling) -> None:
    job = labeling.create(1, workers=2)
    for number in range(2):
        worker = labeling.hire()
        task = labeling.lease(worker, job)
        assert worker("POST", f"/tasks/{task['task']}/decline", {"reason": f"blurred {number}"})[0] == 200
        assert worker("POST", f"/jobs/{job}/tasks")[0] == 204
    assert labeling.await_end(job)["LabelCounters"]["FailedNonRetryableError"] == 1
    assert (
        labeling.manifest(job)[0][f"{job}-ref-metadata"]["failure-reason"]
        == "2 workers declined the task: blurred 0; blurred 1"
    )


def test_one_answer_among_declines_labels_the_object(labeling: Labeling) -> None:
    job = labeling.create(1, workers=2)
    workers = [labeling.hire() for _ in range(3)]
    labeling.label_all(workers[0], job, count=1)
    for worker in workers[1:]:
        task = labeling.lease(worker, job)
        worker("POST", f"/tasks/{task['task']}/decline", {})
    assert labeling.await_end(job)["LabelCounters"]["TotalLabeled"] == 1


def test_a_stopped_job_consolidates_answered_objects_and_leaves_the_rest_unchanged(labeling: Labeling) -> None:
    job = labeling.create(5, workers=2)
    worker = labeling.hire()
    task = labeling.lease(worker, job)
    worker("POST", f"/tasks/{task['task']}/answer", {"answer": draw_answer(square(), ["cat"])})
    held = labeling.lease(worker, job)
    labeling.sagemaker.stop_labeling_job(LabelingJobName=job)
    described = labeling.await_end(job)
    assert described["LabelingJobStatus"] == "Stopped"
    assert described["LabelCounters"]["TotalLabeled"] == 1
    assert described["LabelCounters"]["Unlabeled"] == 4
    assert [len(line) for line in labeling.manifest(job)] == [3 if str(n) == task["object"] else 1 for n in range(5)]
    assert worker("POST", f"/tasks/{held['task']}/answer", {"answer": draw_answer(square(), ["cat"])})[0] == 410
    with pytest.raises(ClientError, match=r"ValidationException.*in status Stopped"):
        labeling.sagemaker.stop_labeling_job(LabelingJobName=job)


@pytest.mark.parametrize(
    ("conditions", "labeled"),
    [({"MaxHumanLabeledObjectCount": 3}, 3), ({"MaxPercentageOfInputDatasetLabeled": 50}, 6)],
)
def test_a_stopping_condition_stops_the_job(labeling: Labeling, conditions: dict, labeled: int) -> None:
    request = labeling.request(12)
    labeling.sagemaker.create_labeling_job(**request, StoppingConditions=conditions)
    job = request["LabelingJobName"]
    assert len(labeling.label_all(labeling.hire(), job)) == labeled
    described = labeling.await_end(job)
    assert (described["LabelingJobStatus"], described["LabelCounters"]["TotalLabeled"]) == (
        "Stopped",
        labeled,
    )


def test_chaining_with_the_same_attribute_labels_only_unlabeled_objects(labeling: Labeling) -> None:
    first = labeling.create(3)
    labeling.label_all(labeling.hire(), first)
    labeling.await_end(first)
    lines = labeling.manifest(first)
    lines[1] = {"source-ref": lines[1]["source-ref"]}
    request = labeling.request(lines)
    labeling.sagemaker.create_labeling_job(**{**request, "LabelAttributeName": f"{first}-ref"})
    second = request["LabelingJobName"]
    assert labeling.label_all(labeling.hire(), second) == ["1"]
    labeling.await_end(second)
    written = labeling.manifest(second)
    assert [written[0], written[2]] == [lines[0], lines[2]]
    assert f"/{second}/" in written[1][f"{first}-ref"]


ADJUST = """<crowd-form><crowd-semantic-segmentation name="crowd-semantic-segmentation"
src="{{ task.input.taskObject | grant_read_access }}"
initial-value="{ 'src':'{{ task.input.manifestLine.OLD | grant_read_access }}', 'labelMappings': {
{% for box in task.input.manifestLine.OLD-metadata.internal-color-map %}{% if box[1]['class-name'] != 'BACKGROUND' %}
{{ box[1]['class-name'] | to_json }}: {'color': {{ box[1]['hex-color'] | to_json }} },{% endif %}{% endfor %} } }"
></crowd-semantic-segmentation></crowd-form>"""


def ask_for_adjustment(
    labeling: Labeling, lines: list[dict], old: str, labels: tuple[str, ...] = ("cat", "dog")
) -> dict[str, Any]:
    template = labeling.put("adjust.liquid", ADJUST.replace("OLD", old))
    consolidation = {"AnnotationConsolidationLambdaArn": ACS.replace("ACS-", "ACS-Adjustment")}
    return labeling.request(
        lines,
        labels=labels,
        UiConfig={"UiTemplateS3Uri": template},
        PreHumanTaskLambdaArn=PRE.replace("PRE-", "PRE-Adjustment"),
        AnnotationConsolidationConfig=consolidation,
    )


def test_an_adjustment_keeps_the_old_annotation_and_marks_adjusted_objects(labeling: Labeling) -> None:
    first = labeling.create(3)
    labeling.label_all(labeling.hire(), first)
    labeling.await_end(first)
    lines = labeling.manifest(first)
    old = f"{first}-ref"
    bare = {"source-ref": lines[2]["source-ref"]}
    request = ask_for_adjustment(labeling, [*lines[:2], bare], old)
    labeling.sagemaker.create_labeling_job(**request)
    job, worker = request["LabelingJobName"], labeling.hire()
    for _ in range(2):
        task = labeling.lease(worker, job)
        assert task["kind"] == "adjustment"
        page = worker("GET", f"/tasks/{task['task']}/page")[1].decode()
        assert f"{labeling.aws.url}/{labeling.bucket}/out/{first}/annotations/" in page
        assert "&#34;cat&#34;: {'color': &#34;#2ca02c&#34; }," in page
        answer = draw_answer(square(2), ["cat", "dog"])
        answer["crowd-semantic-segmentation"]["initialValueModified"] = task["object"] == "1"
        assert worker("POST", f"/tasks/{task['task']}/answer", {"answer": answer})[0] == 200
    counters = labeling.await_end(job)["LabelCounters"]
    assert (counters["TotalLabeled"], counters["FailedNonRetryableError"]) == (2, 1)
    *adjusted, failed = labeling.manifest(job)
    for line, given, status in zip(adjusted, lines, ("unadjusted", "adjusted"), strict=False):
        assert {name: line[name] for name in given} == given
        assert line[f"{job}-ref-metadata"]["adjustment-status"] == status
        assert np.array_equal(read_mask(labeling.read(line[f"{job}-ref"])), square(2))
    assert "no annotation to adjust" in failed[f"{job}-ref-metadata"]["failure-reason"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda item: item.pop("hex-color"), "without hex-color"),
        (lambda item: item.update({"class-name": "bird"}), "class 'bird'"),
    ],
)
def test_an_adjustment_of_unsupported_masks_fails_at_setup(labeling: Labeling, change: Any, reason: str) -> None:
    entry = {"class-name": "cat", "hex-color": "#2ca02c", "confidence": 0}
    change(entry)
    line = {
        "source-ref": labeling.put_pictures(1)[0],
        "old-ref": "s3://b/m.png",
        "old-ref-metadata": {"internal-color-map": {"1": entry}},
    }
    request = ask_for_adjustment(labeling, [line], "old-ref")
    labeling.sagemaker.create_labeling_job(**request)
    described = labeling.await_end(request["LabelingJobName"])
    assert described["LabelingJobStatus"] == "Failed"
    assert reason in described["FailureReason"]


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"", "no data objects"),
        (b"\n\n", "no data objects"),
        (b"{\n", "line 1 of the manifest is not JSON"),
        (b'{"source-ref":"s3://b/a.jpg"}\n[]\n', "line 2 of the manifest has no source-ref"),
        (b'{"source":"text"}', "line 1 of the manifest has no source-ref"),
        (b'{"source-ref":"s3://b/a.jpg"}\n\n{"source-ref":"s3://b/a.jpg"}\n', "line 2 of the manifest is empty"),
        (b'{"source-ref":"s3://b/a.jpg","$x":1}', "starts with $"),
        (b'{"source-ref":"s3://b/a.jpg","x":"' + b"a" * 20_001 + b'"}', "more than 20000 characters in 'x'"),
        (b'{"source-ref":"s3://b/\xff.jpg"}', "not JSON in UTF-8"),
        (b'{"source-ref":"s3://b/a.jpg"}\n' * 20_001, "more than 20000 data objects"),
    ],
)
def test_an_invalid_manifest_fails_the_job_with_the_line(labeling: Labeling, manifest: bytes, reason: str) -> None:
    request = labeling.request(0)
    labeling.put(f"{request['LabelingJobName']}.manifest", manifest)
    labeling.sagemaker.create_labeling_job(**request)
    described = labeling.await_end(request["LabelingJobName"])
    assert described["LabelingJobStatus"] == "Failed"
    assert reason in described["FailureReason"]


def test_job_names_are_case_insensitive_and_unknown_ones_are_not_found(labeling: Labeling) -> None:
    request = labeling.request(1)
    labeling.sagemaker.create_labeling_job(**request)
    with pytest.raises(labeling.sagemaker.exceptions.ResourceInUse):
        labeling.sagemaker.create_labeling_job(**{**request, "LabelingJobName": request["LabelingJobName"].upper()})
    assert labeling.describe(request["LabelingJobName"].lower())["LabelingJobName"] == request["LabelingJobName"]
    for call in (labeling.sagemaker.describe_labeling_job, labeling.sagemaker.stop_labeling_job):
        with pytest.raises(labeling.sagemaker.exceptions.ResourceNotFound):
            call(LabelingJobName="nobody")
    labeling.sagemaker.stop_labeling_job(LabelingJobName=request["LabelingJobName"])


def test_jobs_are_filtered_sorted_and_listed_in_pages(labeling: Labeling) -> None:
    names = sorted((labeling.create(1) for _ in range(3)), key=str.lower)
    listed = labeling.sagemaker.list_labeling_jobs(NameContains=names[1].upper())["LabelingJobSummaryList"]
    assert [job["LabelingJobName"] for job in listed] == [names[1]]
    pages = labeling.sagemaker.get_paginator("list_labeling_jobs").paginate(
        SortBy="Name", PaginationConfig={"PageSize": 2}
    )
    everything = [job["LabelingJobName"] for page in pages for job in page["LabelingJobSummaryList"]]
    assert [name for name in everything if name in names] == names
    assert len(everything) == len(set(everything))
    by_time = labeling.sagemaker.list_labeling_jobs()["LabelingJobSummaryList"]
    assert by_time == sorted(by_time, key=lambda job: job["CreationTime"])
    assert labeling.sagemaker.list_labeling_jobs(CreationTimeAfter=time.time() + 60)["LabelingJobSummaryList"] == []
    team = labeling.sagemaker.list_labeling_jobs_for_workteam(WorkteamArn=TEAM, SortOrder="Descending", MaxResults=1)
    assert set(team["LabelingJobSummaryList"][0]["LabelCounters"]) == {
        "HumanLabeled",
        "PendingHuman",
        "Total",
    }
    for name in names:
        labeling.sagemaker.stop_labeling_job(LabelingJobName=name)


def test_tags_of_a_job_are_described_listed_and_deleted(labeling: Labeling) -> None:
    request = labeling.request(1)
    arn = labeling.sagemaker.create_labeling_job(**request, Tags=[{"Key": "gtseg:fingerprint", "Value": "abc"}])[
        "LabelingJobArn"
    ]
    assert arn == f"arn:aws:sagemaker:us-east-1:123456789012:labeling-job/{request['LabelingJobName'].lower()}"
    labeling.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": ""}])
    labeling.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["b"])
    assert labeling.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "gtseg:fingerprint", "Value": "abc"}]
    assert labeling.describe(request["LabelingJobName"])["Tags"] == [{"Key": "gtseg:fingerprint", "Value": "abc"}]
    labeling.sagemaker.stop_labeling_job(LabelingJobName=request["LabelingJobName"])


def test_tasks_of_the_public_crowd_are_offered_to_simulated_workers_only(labeling: Labeling) -> None:
    request = labeling.request(1, WorkteamArn=PUBLIC, PublicWorkforceTaskPrice={"AmountInUsd": {"Cents": 84}})
    request["InputConfig"]["DataAttributes"] = {"ContentClassifiers": ["FreeOfPersonallyIdentifiableInformation"]}
    labeling.sagemaker.create_labeling_job(**request)
    job, person, simulated = request["LabelingJobName"], labeling.hire(), labeling.hire(team="*", simulated=True)
    assert labeling.label_all(simulated, job) == ["0"]
    assert person("POST", f"/jobs/{job}/tasks")[0] == 403
    labeling.await_end(job)
    (key,) = labeling.keys(f"out/{job}/annotations/worker-response/")
    (answer,) = json.loads(labeling.read(f"s3://{labeling.bucket}/{key}"))["answers"]
    assert answer["workerId"].startswith("public.us-east-1.")
    assert "workerMetadata" not in answer


# ---------------------------------------------------------------- interruption, and time that passes


def change_state(labeling: Labeling, sql: str, *values: Any) -> None:
    """Kill the server, change its database, and restart it, for example to move times."""
    labeling.aws.kill9()
    labeling.aws.change_state(sql, *values)
    labeling.aws.start()
    labeling.connect()


def test_a_task_without_answers_fails_after_its_lifetime_and_one_answer_suffices(local_aws: Any) -> None:
    labeling = Labeling(local_aws)
    job = labeling.create(2, workers=2, TaskAvailabilityLifetimeInSeconds=60)
    worker = labeling.hire()
    task = labeling.lease(worker, job)
    worker("POST", f"/tasks/{task['task']}/answer", {"answer": draw_answer(square(), ["cat"])})
    change_state(labeling, "UPDATE labeling_objects SET deadline = ? WHERE state = 'open'", time.time() - 1)
    counters = labeling.await_end(job)["LabelCounters"]
    assert (counters["TotalLabeled"], counters["FailedNonRetryableError"]) == (1, 1)
    (failed,) = [line for line in labeling.manifest(job) if f"{job}-ref" not in line]
    assert failed[f"{job}-ref-metadata"]["failure-reason"] == "No worker labeled it within 60 seconds."


def test_an_object_with_an_expired_lease_is_offered_to_another_worker(local_aws: Any) -> None:
    labeling = Labeling(local_aws)
    job = labeling.create(1)
    slow = labeling.hire()
    task = labeling.lease(slow, job)
    assert labeling.hire()("POST", f"/jobs/{job}/tasks")[0] == 204
    change_state(labeling, "UPDATE labeling_tasks SET expires = ?", time.time() - 1)
    slow.url = labeling.aws.url
    quick = labeling.hire()
    assert labeling.lease(quick, job)["object"] == task["object"]
    status, answer = slow("POST", f"/tasks/{task['task']}/answer", {"answer": draw_answer(square(), ["cat"])})
    assert (status, answer["error"]) == (410, "Gone")
    labeling.sagemaker.stop_labeling_job(LabelingJobName=job)


def test_a_server_killed_repeatedly_loses_and_duplicates_no_object(local_aws: Any) -> None:
    labeling = Labeling(local_aws)
    job = labeling.create(60, workers=2)
    tokens = [labeling.hire().token for _ in range(2)]
    for kill_after in (8, 35, 60):
        label_until(labeling, job, tokens, answers=kill_after)
        labeling.aws.kill9()
        labeling.aws.start()
        labeling.connect()
    label_until(labeling, job, tokens, answers=10_000)
    described = labeling.await_end(job)
    assert described["LabelCounters"]["TotalLabeled"] == 60
    lines = labeling.manifest(job)
    masks = [line[f"{job}-ref"] for line in lines]
    assert sorted(masks) == sorted(
        f"s3://{labeling.bucket}/{key}" for key in labeling.keys(f"out/{job}/") if key.endswith(".png")
    )
    responses = Counter(key.split("/")[5] for key in labeling.keys(f"out/{job}/annotations/worker-response/"))
    assert responses == {str(number): 1 for number in range(60)}
    for line in lines:
        assert np.array_equal(read_mask(labeling.read(line[f"{job}-ref"])), square())


def label_until(labeling: Labeling, job: str, tokens: list[str], *, answers: int) -> None:
    from labeling_fixture import Api

    workers, given = [Api(labeling.aws.url, token) for token in tokens], 0

    def answer_all() -> bool:
        """Answer all available tasks of each worker; return whether the job has ended."""
        nonlocal given
        for worker in workers:
            while given < answers and (offer := worker("POST", f"/jobs/{job}/tasks"))[0] == 200:
                task = offer[1]
                worker("POST", f"/tasks/{task['task']}/answer", {"answer": draw_answer(square(), ["cat"])})
                given += 1
        return given >= answers or labeling.describe(job)["LabelingJobStatus"] in END

    wait_for(answer_all, seconds=120)


def test_a_job_survives_restarts_before_its_start_and_while_it_waits(local_aws: Any) -> None:
    labeling = Labeling(local_aws)
    job = labeling.create(3)
    before = labeling.describe(job)
    labeling.aws.kill9()
    labeling.aws.start()
    labeling.connect()
    wait_for(lambda: labeling.describe(job)["LabelingJobStatus"] == "InProgress")
    after = labeling.describe(job)
    for name in ("CreationTime", "JobReferenceCode", "HumanTaskConfig", "LabelingJobArn"):
        assert after[name] == before[name]
    labeling.label_all(labeling.hire(), job)
    assert labeling.await_end(job)["LabelCounters"]["TotalLabeled"] == 3
