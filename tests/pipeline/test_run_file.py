"""run.json on a real S3 server with conditional writes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import FaultProxy, Request

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.errors import GtsegError
from gtseg.pipeline.run import LabelingJobSection, RunFile, locate
from gtseg.settings import load

JOB = LabelingJobSection(name="n", arn="a", label_attribute="n-ref", workforce="private", objects=3)


@pytest.fixture
def run_file(clients: Clients, bucket: str) -> RunFile:
    return RunFile(clients, f"s3://{bucket}/p/cats/", clock=lambda: datetime(2026, 1, 2, tzinfo=UTC))


def test_reading_a_new_run_does_not_write_it(run_file: RunFile, clients: Clients) -> None:
    run = run_file.load()
    assert (run.name, run.root, run.etag, run.labeling_job) == ("cats", run_file.root, None, None)
    assert not S3(clients).exists(run_file.uri)


def test_a_missing_bucket_is_a_new_run(clients: Clients) -> None:
    assert RunFile(clients, "s3://no-such-bucket-here/cats/").load().etag is None


def test_a_saved_run_is_read_back(run_file: RunFile) -> None:
    saved = run_file.save(run_file.load().update(labeling_job=JOB))
    assert run_file.load() == saved


def test_the_etag_is_not_saved(run_file: RunFile, clients: Clients) -> None:
    run_file.save(run_file.load())
    assert b"etag" not in S3(clients).read(run_file.uri)[0]


def test_of_two_writers_of_the_same_state_one_saves_and_the_other_fails(run_file: RunFile) -> None:
    run_file.save(run_file.load())
    first, second = run_file.load(), run_file.load()
    saved = run_file.save(first.update(labeling_job=JOB))
    with pytest.raises(GtsegError, match=r"Another gtseg process has advanced run 'cats'"):
        run_file.save(second)
    assert run_file.load() == saved


def test_a_write_with_a_lost_response_is_recognized_as_own(
    run_file: RunFile, shared_aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retried conditional write finds its first attempt; a write of another process is a conflict."""
    first = run_file.save(run_file.load())
    lost: list[str] = []

    def lose(request: Request) -> None:
        if request.name.startswith("PUT") and len(lost) < left:
            lost.append(request.name)
            raise ConnectionResetError

    with FaultProxy(shared_aws.url, after=lose) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        faulty = RunFile(Clients(), run_file.root)
        left = 1
        saved = faulty.save(first.update(project="p"))
        assert saved == run_file.load()
        left = 2
        with pytest.raises(GtsegError, match="Another gtseg process"):
            faulty.save(first.update(project="q"))
    assert len(lost) == 2
    assert run_file.load() == saved


def test_of_two_new_runs_one_is_saved(run_file: RunFile) -> None:
    first, second = run_file.load(), run_file.load()
    run_file.save(first)
    with pytest.raises(GtsegError, match="Another gtseg process"):
        run_file.save(second)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "is not a run"),
        (b'{"version": 1}', "name"),
        (b"[]", "is not a run"),
        (b'{"color": 1}', "is not a run"),
    ],
)
def test_a_file_that_is_not_a_run_is_refused_and_not_overwritten(
    run_file: RunFile, clients: Clients, body: bytes, words: str
) -> None:
    S3(clients).write(run_file.uri, body)
    with pytest.raises(GtsegError, match=words):
        run_file.load()


def test_a_run_of_a_newer_gtseg_is_refused_with_the_advice_to_update(run_file: RunFile, clients: Clients) -> None:
    body = run_file.load().update(version=2).model_dump_json(exclude_none=True).encode()
    S3(clients).write(run_file.uri, body)
    with pytest.raises(GtsegError, match="Update gtseg"):
        run_file.load()


def test_a_runs_root_is_bucket_prefix_and_name(clients: Clients, tmp_path: Path) -> None:
    file = tmp_path / "gtseg.toml"
    file.write_text('[project]\nname = "cats"\nprefix = "projects"\nbucket = "my-bucket"\n')
    settings = load(file, environ={})
    assert locate(settings, clients) == "s3://my-bucket/projects/cats/"
    assert locate(settings, clients, name="second") == "s3://my-bucket/projects/second/"


def test_the_default_bucket_belongs_to_the_account(clients: Clients, tmp_path: Path) -> None:
    file = tmp_path / "gtseg.toml"
    file.write_text('[project]\nname = "cats"\n')
    assert locate(load(file, environ={}), clients) == "s3://gtseg-123456789012-us-east-1/cats/"
