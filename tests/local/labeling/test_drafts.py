"""Drafts, active time, revision and return of answers, questions, declined tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from labeling_fixture import draw_answer, square
from test_engine import answer_everything, embedded, finish, read_output, start_job, step_until_idle

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.labeling import drafts, questions, revisions
from gtseg.local.labeling.component import Labeling
from gtseg.local.labeling.leases import lease_task
from gtseg.local.labeling.portal.sessions import Sessions
from gtseg.local.labeling.records import find_job
from gtseg.local.labeling.submissions import answer_task, close_abandoned, decline_task, release_task
from gtseg.local.labeling.tasks import Task, find_task
from gtseg.local.labeling.workers import Worker, add_worker, set_worker_state

__all__ = ["embedded"]  # the fixture


class SteppedJob:
    """A job of three objects with two workers each, and an engine that is run step by step."""

    def __init__(self, embedded: Embedded) -> None:
        self.embedded, self.store = embedded, embedded.store
        self.labeling: Labeling = start_job(embedded)
        step_until_idle(self.labeling)

    def hire(self, name: str) -> Worker:
        return add_worker(self.store, name, "gtseg")[0]

    def lease(self, worker: Worker) -> Task:
        task = lease_task(self.store, "job", worker)
        assert task is not None
        return task

    def answer(self, task: Task, worker: Worker, *, shift: int = 0, **more: Any) -> None:
        answer_task(self.store, task.id, worker, answer=draw_answer(square(shift=shift), ["cat"]), **more)

    def state(self, line: int) -> str:
        query = "SELECT state FROM labeling_objects WHERE job = 'job' AND line = ?"
        return str(self.store.read().execute(query, (line,)).fetchone()["state"])

    def again(self, task: Task, worker: Worker) -> Task:
        return find_task(self.store, task.id, worker)


@pytest.fixture
def stepped(embedded: Embedded) -> SteppedJob:
    return SteppedJob(embedded)


def refused(action: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(ServiceError) as caught:
        action()
    return caught.value.status, caught.value.code


def report(stepped: SteppedJob, task: Task, tab: str, *, opens: bool = True, **more: Any) -> drafts.Presence:
    return drafts.report_presence(stepped.store, task, tab=tab, opens=opens, **more)


# ---- unsubmitted work


def test_a_second_tab_can_take_over_a_task_and_the_first_can_no_longer_save(stepped: SteppedJob) -> None:
    task = stepped.lease(stepped.hire("a"))
    assert not report(stepped, task, "one").is_elsewhere
    assert drafts.save_draft(stepped.store, task, tab="one", base=0, content=b"stroke") == 1
    assert report(stepped, task, "two").is_elsewhere
    found = report(stepped, task, "two", take=True)
    assert (found.is_elsewhere, found.version) == (False, 1)
    assert drafts.read_draft(stepped.store, task) == (1, b"stroke")
    assert refused(lambda: drafts.save_draft(stepped.store, task, tab="one", base=1, content=b"x")) == (
        409,
        "OpenElsewhere",
    )
    assert report(stepped, task, "one").is_elsewhere


def test_a_closed_or_silent_tab_does_not_block_another(stepped: SteppedJob, monkeypatch: pytest.MonkeyPatch) -> None:
    task = stepped.lease(stepped.hire("a"))
    report(stepped, task, "one")
    drafts.close_tab(stepped.store, task, tab="one", active=0)
    assert not report(stepped, task, "two").is_elsewhere
    now = drafts.read_clock()
    monkeypatch.setattr(drafts, "read_clock", lambda: now + drafts.SILENT_SECONDS + 1)
    assert not report(stepped, task, "three").is_elsewhere


def test_a_presence_report_does_not_take_back_a_task(stepped: SteppedJob) -> None:
    task = stepped.lease(stepped.hire("a"))
    assert report(stepped, task, "one", opens=False).is_elsewhere, "it was never opened"
    report(stepped, task, "one")
    report(stepped, task, "two", take=True)
    drafts.close_tab(stepped.store, task, tab="two", active=0)
    assert report(stepped, task, "one", opens=False).is_elsewhere
    assert not report(stepped, task, "one").is_elsewhere


def test_a_draft_based_on_another_version_is_refused(stepped: SteppedJob) -> None:
    task = stepped.lease(stepped.hire("a"))
    report(stepped, task, "one")
    drafts.save_draft(stepped.store, task, tab="one", base=0, content=b"first")
    assert refused(lambda: drafts.save_draft(stepped.store, task, tab="one", base=0, content=b"x")) == (409, "Changed")
    assert drafts.read_draft(stepped.store, task) == (1, b"first")


def test_a_draft_survives_its_lease_and_is_deleted_with_the_answer(stepped: SteppedJob) -> None:
    ann = stepped.hire("a")
    task = stepped.lease(ann)
    report(stepped, task, "one")
    drafts.save_draft(stepped.store, task, tab="one", base=0, content=b"kept")
    release_task(stepped.store, task.id, ann)
    stepped.store.read().execute("UPDATE labeling_objects SET slots = 0 WHERE line != ?", (task.line,))
    again = stepped.lease(ann)
    assert (again.line, again.id != task.id) == (task.line, True)
    assert drafts.read_draft(stepped.store, again) == (1, b"kept")
    assert (
        refused(lambda: drafts.save_draft(stepped.store, stepped.again(task, ann), tab="one", base=1, content=b"x"))[0]
        == 410
    )
    stepped.answer(again, ann)
    assert refused(lambda: drafts.read_draft(stepped.store, again))[0] == 404
    assert refused(lambda: drafts.save_draft(stepped.store, again, tab="one", base=1, content=b"x"))[0] == 410


def test_only_the_latest_drafts_of_a_worker_are_kept(stepped: SteppedJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "KEPT_DRAFTS", 2)
    ann = stepped.hire("a")
    kept = []
    for _ in range(3):
        task = stepped.lease(ann)
        report(stepped, task, "one")
        drafts.save_draft(stepped.store, task, tab="one", base=0, content=b"x")
        release_task(stepped.store, task.id, ann)
        kept.append(task)
    query = "SELECT line FROM labeling_drafts WHERE content IS NOT NULL"
    assert {row["line"] for row in stepped.store.read().execute(query)} == {task.line for task in kept[1:]}


def test_saves_of_drafts_are_limited_to_one_per_second() -> None:
    now = [0.0]
    limit = drafts.SaveLimit(read_clock=lambda: now[0])
    for _ in range(int(drafts.SAVES)):
        limit.consume("ann")
    assert refused(lambda: limit.consume("ann"))[0] == 429
    limit.consume("bob")
    now[0] += 1
    limit.consume("ann")


def test_drafts_are_deleted_when_the_job_ends(stepped: SteppedJob) -> None:
    zoe = stepped.hire("z")
    task = stepped.lease(zoe)
    report(stepped, task, "one")
    release_task(stepped.store, task.id, zoe)
    answer_everything(stepped.embedded)
    assert finish(stepped.embedded)["LabelingJobStatus"] == "Completed"
    assert not report(stepped, task, "one").is_elsewhere  # a page that is still open
    assert stepped.store.read().execute("SELECT count(*) FROM labeling_drafts").fetchone()[0] == 0


# ---- active time


def test_active_time_is_summed_limited_by_the_lease_and_written_to_the_output(
    stepped: SteppedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = stepped.hire("a")
    task = stepped.lease(ann)
    now = task.accepted + 1380
    monkeypatch.setattr(drafts, "read_clock", lambda: now)
    report(stepped, task, "one", active=20)
    report(stepped, task, "one", active=21.5)
    report(stepped, task, "two", active=500)  # the tab does not have the task
    query = "SELECT seconds FROM labeling_activity WHERE task = ?"
    assert stepped.store.read().execute(query, (task.id,)).fetchone()["seconds"] == 41.5
    stepped.answer(task, ann)
    for name in ("b", "c"):
        worker = stepped.hire(name)
        while (found := lease_task(stepped.store, "job", worker)) is not None:
            report(stepped, found, "one", active=5000)
            stepped.answer(found, worker)
    step_until_idle(stepped.labeling)
    keys = [info.key for info in stepped.embedded.objects.list("bucket", "out/Job/annotations/worker-response/")]
    spent = {
        answer["timeSpentInSeconds"]
        for key in keys
        for answer in json.loads(stepped.embedded.objects.get("bucket", key))["answers"]
    }
    assert 41.5 in spent
    assert max(spent) < 1500


@pytest.mark.parametrize("value", [-1, "1", True, None, float("inf")])
def test_an_invalid_active_time_is_refused(value: Any) -> None:
    assert refused(lambda: drafts.read_seconds({"active": value})) == (400, "InvalidRequest")


# ---- submitted answers


def test_a_submitted_answer_can_be_changed_until_it_is_consolidated(stepped: SteppedJob) -> None:
    ann, bob = stepped.hire("a"), stepped.hire("b")
    task = stepped.lease(ann)
    stepped.answer(task, ann, is_revisable=True)
    assert [row.state for row in revisions.list_submitted(stepped.store, find_job(stepped.store, "job"), ann)] == [
        "held"
    ]
    opened = revisions.revise_task(stepped.store, task.id, ann)
    other = stepped.lease(bob)
    assert other.line == task.line
    stepped.answer(other, bob)
    step_until_idle(stepped.labeling)
    assert stepped.state(task.line) == "answered", "it waits for who has it open"
    stepped.answer(opened, ann, shift=2)
    step_until_idle(stepped.labeling)
    assert stepped.state(task.line) == "labeled"
    job = find_job(stepped.store, "job")
    content = revisions.read_content(stepped.store, stepped.embedded.objects, job, task.line, worker=ann.id)
    assert content == draw_answer(square(shift=2), ["cat"])
    assert refused(lambda: revisions.revise_task(stepped.store, task.id, ann)) == (410, "Gone")
    assert refused(lambda: stepped.answer(stepped.again(task, ann), ann)) == (410, "Gone")


def test_a_second_answer_without_a_revision_is_refused(stepped: SteppedJob) -> None:
    ann = stepped.hire("a")
    task = stepped.lease(ann)
    stepped.answer(task, ann)
    assert refused(lambda: stepped.answer(stepped.again(task, ann), ann, shift=1)) == (410, "Gone")
    revisions.revise_task(stepped.store, task.id, ann)
    revisions.cancel_revision(stepped.store, task.id, ann)
    assert revisions.find_revision(stepped.store, stepped.again(task, ann)) is None
    assert refused(lambda: stepped.answer(stepped.again(task, ann), ann, shift=1)) == (410, "Gone")


def test_revisable_answers_delay_consolidation_but_not_the_end_of_the_job(stepped: SteppedJob) -> None:
    people = [stepped.hire("a"), stepped.hire("b")]
    first = [stepped.lease(worker) for worker in people]
    for task, worker in zip(first, people, strict=True):
        stepped.answer(task, worker, is_revisable=True)
    step_until_idle(stepped.labeling)
    assert stepped.state(first[0].line) == "answered"
    for worker in people:
        while (task := lease_task(stepped.store, "job", worker)) is not None:
            stepped.answer(task, worker, is_revisable=True)
    step_until_idle(stepped.labeling)
    assert finish(stepped.embedded)["LabelingJobStatus"] == "Completed"


def label_first(stepped: SteppedJob, *people: Worker) -> int:
    """Label one object by all workers; return its line."""
    for worker in people:
        task = stepped.lease(worker)
        stepped.answer(task, worker)
    step_until_idle(stepped.labeling)
    assert stepped.state(task.line) == "labeled"
    return task.line


def test_a_returned_object_is_offered_to_its_worker_first_and_labeled_again(stepped: SteppedJob) -> None:
    ann, bob, eve = stepped.hire("a"), stepped.hire("b"), stepped.hire("e")
    line = label_first(stepped, ann, bob)
    objects = stepped.embedded.objects
    assert revisions.return_object(stepped.store, objects, "job", line, comment="the ears", worker=bob.id) == 1
    assert stepped.lease(eve).line != line, "it waits for the one whose answer it is"
    task = stepped.lease(bob)
    assert (task.line, revisions.find_comment(stepped.store, task)) == (line, "the ears")
    content = revisions.read_content(stepped.store, objects, task.job, line, worker=bob.id)
    assert content == draw_answer(square(), ["cat"])
    stepped.answer(task, bob, shift=3)
    step_until_idle(stepped.labeling)
    assert stepped.state(line) == "labeled"
    assert revisions.find_comment(stepped.store, task) is None
    found = [revisions.read_content(stepped.store, objects, task.job, line, worker=w.id) for w in (ann, bob)]
    assert found == [draw_answer(square(shift=shift), ["cat"]) for shift in (0, 3)]
    for worker in (ann, bob, eve):
        while (rest := lease_task(stepped.store, "job", worker)) is not None:
            stepped.answer(rest, worker)
    assert finish(stepped.embedded)["LabelCounters"]["TotalLabeled"] == 3
    assert "job-ref" in read_output(stepped.embedded)[1][line]


def test_returning_an_object_without_answers_is_refused_with_the_reason(stepped: SteppedJob) -> None:
    objects = stepped.embedded.objects
    assert refused(lambda: revisions.return_object(stepped.store, objects, "job", 99, comment=""))[0] == 404
    assert refused(lambda: revisions.return_object(stepped.store, objects, "job", 0, comment=""))[0] == 404
    answer_everything(stepped.embedded)
    finish(stepped.embedded)
    with pytest.raises(ServiceError, match="Adjust its masks"):
        revisions.return_object(stepped.store, objects, "job", 0, comment="")


# ---- declines


def sign_in(stepped: SteppedJob, worker: Worker) -> None:
    Sessions(stepped.store).start(worker)


def test_a_free_teammate_gets_an_object_with_enough_declines_and_one_more_fails_it(stepped: SteppedJob) -> None:
    ann, bob, eve = (stepped.hire(name) for name in "abe")
    sign_in(stepped, eve)
    lines = set()
    for worker in (ann, bob):
        task = stepped.lease(worker)
        lines.add(task.line)
        decline_task(stepped.store, task.id, worker, reason="dark")
    (line,) = lines
    assert stepped.state(line) == "open"
    task = stepped.lease(eve)
    assert task.line == line
    decline_task(stepped.store, task.id, eve, reason="dark")
    assert stepped.state(line) == "failed"


def test_a_paused_or_absent_teammate_does_not_keep_an_object_open(stepped: SteppedJob) -> None:
    ann, bob, eve = (stepped.hire(name) for name in "abe")
    stepped.hire("never there")
    sign_in(stepped, eve)
    for worker in (ann, bob):
        task = stepped.lease(worker)
        decline_task(stepped.store, task.id, worker, reason="dark")
    assert not close_abandoned(stepped.store)
    set_worker_state(stepped.store, eve.id, "paused")
    step_until_idle(stepped.labeling)
    assert stepped.state(task.line) == "failed"


def test_a_skipped_object_is_offered_last_and_does_not_fail(stepped: SteppedJob) -> None:
    ann = stepped.hire("a")
    seen = []
    for _ in range(5):
        task = stepped.lease(ann)
        seen.append(task.line)
        release_task(stepped.store, task.id, ann, reason="skipped")
    assert seen[:3] == sorted(set(seen)), "each object is offered once before any is repeated"
    assert seen[3:] == seen[:2], "the one skipped longest ago first"
    assert {stepped.state(line) for line in seen} == {"open"}


# ---- questions


def test_a_question_is_answered_and_marked_as_read(stepped: SteppedJob) -> None:
    ann, job = stepped.hire("a"), find_job(stepped.store, "job")
    task = stepped.lease(ann)
    key = questions.ask_question(stepped.store, task, text="  Is this a cat?", place=(3.5, 4))
    assert questions.count_questions(stepped.store, job) == 1
    questions.answer_question(stepped.store, job, key, text="No, a dog")
    (found,) = questions.list_questions(stepped.store, job, worker=ann.id)
    assert (found["question"], found["x"], found["answer"], found["unread"]) == (
        "Is this a cat?",
        3.5,
        "No, a dog",
        True,
    )
    questions.mark_seen(stepped.store, job, ann.id)
    assert not questions.list_questions(stepped.store, job, line=task.line)[0]["unread"]
    assert questions.count_questions(stepped.store, job) == 0


def test_invalid_and_too_many_questions_are_refused(stepped: SteppedJob, monkeypatch: pytest.MonkeyPatch) -> None:
    task = stepped.lease(stepped.hire("a"))
    for text, place in ((" ", None), ("x" * 1001, None), ("x", (-1, 0)), ("x", (0, 25)), ("x", (float("nan"), 0))):
        assert refused(lambda t=text, p=place: questions.ask_question(stepped.store, task, text=t, place=p))[0] == 400
    monkeypatch.setattr(questions, "MAX_OPEN", 1)
    questions.ask_question(stepped.store, task, text="x", place=None)
    assert refused(lambda: questions.ask_question(stepped.store, task, text="x", place=None))[0] == 429
    assert refused(lambda: questions.answer_question(stepped.store, task.job, "other", text="x"))[0] == 404
