"""Routes of the worker's pages and of the owner's review page, over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import pytest
from labeling_fixture import Api, Labeling, draw_answer, square

TAB = "tab-one"


@pytest.fixture
def labeling(shared_aws: Any) -> Labeling:
    return Labeling(shared_aws)


def put_draft(worker: Api, task: str, body: bytes, *, base: int = 0, tab: str = TAB) -> tuple[int, Any]:
    return worker("PUT", f"/tasks/{task}/draft?tab={tab}&base={base}", body)


def answer(worker: Api, task: dict[str, Any], **more: Any) -> int:
    body = {"answer": draw_answer(square(), task["labels"]), **more}
    return worker("POST", f"/tasks/{task['task']}/answer", body)[0]


def test_a_draft_is_stored_and_readable_by_its_worker_only(labeling: Labeling) -> None:
    job, ann, bob = labeling.create(1), labeling.hire(), labeling.hire()
    task = labeling.lease(ann, job)["task"]
    opened = ann("POST", f"/tasks/{task}/presence", {"tab": TAB, "opens": True, "active": 2})
    assert opened == (200, {"elsewhere": False, "version": 0, "saved_at": None, "state": "leased"})
    assert ann("GET", f"/tasks/{task}/draft")[0] == 404
    assert put_draft(ann, task, b"strokes") == (200, {"version": 1})
    assert put_draft(ann, task, b"other", tab="tab-two")[1]["error"] == "OpenElsewhere"
    assert put_draft(ann, task, b"other")[1]["error"] == "Changed"
    assert ann("GET", f"/tasks/{task}/draft") == (200, b"strokes")
    for method, path in (("GET", "draft"), ("POST", "presence"), ("POST", "revise"), ("GET", "submission")):
        assert bob(method, f"/tasks/{task}/{path}", {} if method == "POST" else None)[0] == 404
    assert put_draft(bob, task, b"mine")[0] == 404


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("tab=&base=0", b"x", 400),
        ("tab=t&base=-1", b"x", 400),
        ("tab=t&base=0", b"", 400),
        ("tab=t&base=0", b"x" * (4 << 20 | 1), 413),
    ],
)
def test_invalid_empty_and_large_drafts_are_refused(labeling: Labeling, query: str, body: bytes, status: int) -> None:
    worker, job = labeling.hire(), labeling.create(1)
    task = labeling.lease(worker, job)["task"]
    assert worker("PUT", f"/tasks/{task}/draft?{query}", body)[0] == status


def test_drafts_saved_too_often_are_refused(labeling: Labeling) -> None:
    worker, job = labeling.hire(), labeling.create(1)
    task = labeling.lease(worker, job)["task"]
    worker("POST", f"/tasks/{task}/presence", {"tab": TAB, "opens": True})
    found = {put_draft(worker, task, b"x", base=base)[0] for base in range(30)}
    assert found == {200, 429}


def test_a_submitted_answer_is_listed_reopened_and_restored(labeling: Labeling) -> None:
    worker, job = labeling.hire(), labeling.create(2)
    task = labeling.lease(worker, job)
    assert answer(worker, task, revisable=True, active=1.5) == 200
    (row,) = worker("GET", f"/jobs/{job}/submitted")[1]["answers"]
    assert (row["task"], row["state"]) == (task["task"], "held")
    assert worker("POST", f"/tasks/{task['task']}/revise")[0] == 200
    shown = worker("GET", f"/tasks/{task['task']}")[1]
    assert (shown["state"], shown["revising"]) == ("answered", True)
    assert worker("GET", f"/tasks/{task['task']}/submission")[1].startswith(b"\x89PNG")
    assert worker("POST", f"/tasks/{task['task']}/keep")[0] == 200
    assert answer(worker, labeling.lease(worker, job), revisable=True) == 200
    labeling.await_end(job)
    assert worker("POST", f"/tasks/{task['task']}/revise")[0] == 410


def test_a_job_of_another_team_is_not_found(local_aws: Any) -> None:
    labeling = Labeling(local_aws)
    (team,) = labeling.sagemaker.list_workteams()["Workteams"]
    members = team["MemberDefinitions"]
    labeling.sagemaker.create_workteam(WorkteamName="others", MemberDefinitions=members, Description="x")
    job, stranger = labeling.create(1), labeling.hire(team="others")
    for path in ("submitted", "questions"):
        assert stranger("GET", f"/jobs/{job}/{path}")[0] == 404


def test_the_owner_reviews_returns_and_answers_questions(labeling: Labeling) -> None:
    worker, job = labeling.hire("Ann of the review"), labeling.create(2)
    task = labeling.lease(worker, job)
    asked = worker("POST", f"/tasks/{task['task']}/questions", {"question": "A cat?", "x": 8, "y": 6})
    assert asked[0] == 201
    (question,) = labeling.owner("GET", f"/owner/jobs/{job}/questions")[1]["questions"]
    assert (question["name"], question["left"], question["top"]) == ("Ann of the review", 0.25, 0.25)
    path = f"/owner/jobs/{job}/questions/{question['id']}"
    assert labeling.owner("POST", path, {"answer": "yes"}) == (200, {"questions": 0})
    answer(worker, task)
    line = f"/owner/jobs/{job}/objects/{task['object']}"
    assert labeling.owner("POST", f"{line}/review", {"verdict": "bad", "comment": "ears"})[1]["reviews"] == {
        "good": 0,
        "bad": 1,
    }
    assert labeling.owner("GET", f"/owner/jobs/{job}/redo.jsonl")[1]["comments"] == ["ears"]
    assert labeling.owner("POST", f"{line}/review", {"verdict": "maybe"})[0] == 400
    assert labeling.owner("POST", f"{line}/return", {"comment": " "})[0] == 400
    assert labeling.owner("POST", f"{line}/return", {"comment": "ears"}) == (200, {"returned": 1})
    again = labeling.lease(worker, job)
    assert (again["object"], again["returned"]) == (task["object"], "ears")
    for query in ("confidence=2", "agreement=x", "page=-1"):
        assert labeling.owner("GET", f"/owner/jobs/{job}/objects?{query}")[0] == 400
    for query in ("worker=nobody", "label=dog", "show=failed", "review=good"):
        assert labeling.owner("GET", f"/owner/jobs/{job}/objects?{query}")[1]["total"] == 0


def test_a_download_has_the_jobs_name(labeling: Labeling) -> None:
    job = labeling.create(1)
    request = urllib.request.Request(f"{labeling.aws.url}/_portal/api/owner/jobs/{job.lower()}/redo.jsonl")
    request.add_header("Authorization", f"Bearer {labeling.aws.owner_token}")
    with urllib.request.urlopen(request) as reply:
        assert f'filename="{job}-redo.jsonl"' in reply.headers["Content-Disposition"]
        assert reply.read() == b""


def test_objects_are_filtered_by_agreement_confidence_class_and_worker(labeling: Labeling) -> None:
    job, people = labeling.create(1, workers=2), [labeling.hire(), labeling.hire()]
    for worker, shift in zip(people, (0, 6), strict=True):
        task = labeling.lease(worker, job)
        body = {"answer": draw_answer(square(shift=shift), task["labels"])}
        assert worker("POST", f"/tasks/{task['task']}/answer", body)[0] == 200
    labeling.await_end(job)
    described = labeling.owner("GET", f"/owner/jobs/{job}")[1]
    assert described["agreement"] == pytest.approx(1 / 3), "squares of 12 pixels, 6 apart"
    (shown,) = labeling.owner("GET", f"/owner/jobs/{job}/objects")[1]["objects"]
    assert 0 < shown["confidence"] < 1

    def count(query: str) -> int:
        return int(labeling.owner("GET", f"/owner/jobs/{job}/objects?{query}")[1]["total"])

    assert (count("agreement=0.5"), count("agreement=0.3")) == (1, 0)
    assert (count("confidence=1"), count("confidence=0")) == (1, 0)
    assert (count("label=cat"), count(f"worker={described['workers'][0]['worker']}")) == (1, 1)
    assert (count("show=disagree"), count("show=unsure"), count("show=returned")) == (1, 1, 0)


HUGE = 10**400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("questions", {"question": "where?", "x": HUGE, "y": 1}),
        ("autosegment", {"points": [[HUGE, 1]]}),
        ("autosegment", {"points": [[2**70, 1]]}),
        ("autosegment", {"points": [[1, 1]], "inside": [[1, 1]] * 201}),
        ("autosegment", {"points": [[1, 1]], "outside": {"x": 1}}),
        ("scissors", {"from": [HUGE, 1], "to": [1, 1]}),
        ("scissors", {"from": [True, 1], "to": [1, 1]}),
    ],
)
def test_invalid_points_of_an_image_are_refused(labeling: Labeling, path: str, body: dict[str, Any]) -> None:
    worker, job = labeling.hire(), labeling.create(1)
    status, answer = worker("POST", f"/tasks/{labeling.lease(worker, job)['task']}/{path}", body)
    assert (status, answer["error"]) == (400, "InvalidRequest")


def test_an_object_number_beyond_64_bits_is_not_found(labeling: Labeling) -> None:
    objects = f"/owner/jobs/{labeling.create(1)}/objects/{10**30}"
    for method, path, body in (
        ("GET", "mask", None),
        ("GET", "image", None),
        ("POST", "review", {"verdict": "good"}),
        ("POST", "return", {"comment": "again"}),
    ):
        assert labeling.owner(method, f"{objects}/{path}", body)[0] == 404
    assert labeling.hire()("GET", f"{objects}/mask")[0] == 401
