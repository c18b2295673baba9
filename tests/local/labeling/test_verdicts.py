"""Label verification jobs and consolidation of verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from labeling_fixture import ACS, PRE, Labeling

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.verdicts import Verdict, read_verdict

OLD = {
    "old-ref": "s3://b/m.png",
    "old-ref-metadata": {
        "internal-color-map": {"1": {"class-name": "cat", "hex-color": "#2ca02c", "confidence": 0}},
        "type": "groundtruth/semantic-segmentation",
    },
}


@pytest.fixture
def labeling(shared_aws: Any) -> Labeling:
    return Labeling(shared_aws)


def ask_for_verdicts(labeling: Labeling, lines: list[dict], **settings: Any) -> str:
    request = labeling.request(
        lines,
        labels=("good", "bad"),
        PreHumanTaskLambdaArn=PRE.replace("PRE-", "PRE-Verification"),
        AnnotationConsolidationConfig={"AnnotationConsolidationLambdaArn": ACS.replace("ACS-", "ACS-Verification")},
        **settings,
    )
    labeling.sagemaker.create_labeling_job(**{**request, "LabelAttributeName": "checked"})
    return str(request["LabelingJobName"])


def say(labeling: Labeling, worker: Any, job: str, label: str, **more: Any) -> int:
    task = labeling.lease(worker, job)
    answer = {"crowd-image-classifier": {"label": label, **more}}
    status, _ = worker("POST", f"/tasks/{task['task']}/answer", {"answer": answer})
    assert task["kind"] == "verification"
    return int(status)


def test_the_most_frequent_verdict_is_written_with_the_comments(labeling: Labeling) -> None:
    job = ask_for_verdicts(labeling, [{"source-ref": labeling.put_pictures(1)[0], **OLD}], workers=3)
    said = [("bad", {"workerComment": "no ears"}), ("good", {}), ("bad", {})]
    for label, more in said:
        assert say(labeling, labeling.hire(), job, label, **more) == 200
    labeling.await_end(job)
    (line,) = labeling.manifest(job)
    metadata = line["checked-metadata"]
    assert line["checked"] == "1"
    assert line["old-ref"] == OLD["old-ref"]
    assert metadata.pop("creation-date")
    assert metadata == {
        "class-name": "bad",
        "confidence": 0.6667,
        "type": "groundtruth/label-verification",
        "human-annotated": "yes",
        "job-name": f"labeling-job/{job.lower()}",
        "worker-feedback": [{"comment": "no ears"}],
    }


def test_an_object_without_a_mask_fails_and_an_unknown_verdict_is_refused(labeling: Labeling) -> None:
    good, bare = labeling.put_pictures(2)
    job, worker = ask_for_verdicts(labeling, [{"source-ref": good, **OLD}, {"source-ref": bare}]), labeling.hire()
    assert say(labeling, worker, job, "fine") == 400
    assert say(labeling, worker, job, "good") == 200
    counters = labeling.await_end(job)["LabelCounters"]
    assert (counters["TotalLabeled"], counters["FailedNonRetryableError"]) == (1, 1)
    judged, failed = labeling.manifest(job)
    assert "worker-feedback" not in judged["checked-metadata"]
    assert "no annotation to verify" in failed["checked-metadata"]["failure-reason"]


def test_a_verification_refuses_an_attribute_name_ending_in_ref(labeling: Labeling) -> None:
    line = {"source-ref": labeling.put_pictures(1)[0], **OLD}
    request = labeling.request(
        [line],
        PreHumanTaskLambdaArn=PRE.replace("PRE-", "PRE-Verification"),
        AnnotationConsolidationConfig={"AnnotationConsolidationLambdaArn": ACS.replace("ACS-", "ACS-Verification")},
    )
    with pytest.raises(labeling.sagemaker.exceptions.ClientError, match="must not end with '-ref'"):
        labeling.sagemaker.create_labeling_job(**request)


def test_the_owners_pages_of_a_verification_show_no_masks(labeling: Labeling) -> None:
    job = ask_for_verdicts(labeling, [{"source-ref": labeling.put_pictures(1)[0], **OLD}], workers=2)
    for _ in range(2):
        say(labeling, labeling.hire(), job, "good")
    labeling.await_end(job)
    assert labeling.owner("GET", f"/owner/jobs/{job}")[0] == 200
    assert labeling.owner("GET", f"/owner/jobs/{job}/objects/0/mask")[0] == 404


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"a": {"label": "x"}},
        {"a": {"label": []}},
        {"a": {"label": "good"}, "b": {"label": "bad"}},
        {"a": {"label": "good", "workerComment": 3}},
    ],
)
def test_an_invalid_verdict_is_refused(answer: Any) -> None:
    with pytest.raises(ServiceError):
        read_verdict(answer, ["good", "bad"])


def test_a_verdict_is_read_with_its_comment() -> None:
    assert read_verdict({"x": {"label": "bad", "workerComment": " why "}}, ["good", "bad"]) == Verdict(1, "why")
