"""Fixtures that start the embedded AWS as users do: as a process with its own port and data folder."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from local_aws import LocalAWS

# No deadline: the duration of an example depends on the machine. CI draws the same examples in every run.
hypothesis.settings.register_profile("gtseg", deadline=None, derandomize="CI" in os.environ, database=None)
hypothesis.settings.load_profile("gtseg")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background commands with SIGINT ignored, and child processes inherit that; some tests send SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)

StartLocalAWS = Callable[..., LocalAWS]


@pytest.fixture
def start_local_aws(tmp_path: Path) -> Iterator[StartLocalAWS]:
    """Factory: `start_local_aws(options={...}, region=...)` starts a server with a fresh data folder."""
    servers: list[LocalAWS] = []

    def start(**settings: Any) -> LocalAWS:
        servers.append(LocalAWS(tmp_path / f"aws{len(servers)}", **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def local_aws(start_local_aws: StartLocalAWS) -> LocalAWS:
    """A server for this test alone."""
    return start_local_aws()


@pytest.fixture(scope="session")
def shared_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """One server for every test that does not restart it and ignores other tests' buckets."""
    server = LocalAWS(tmp_path_factory.mktemp("shared") / "aws")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def no_workers(shared_aws: LocalAWS) -> None:
    """Remove the workers of earlier test files: a declined image waits for teammates who are signed in."""
    head = {"Authorization": f"Bearer {shared_aws.owner_token}"}
    place = f"{shared_aws.url}/_portal/api/workers"
    with urllib.request.urlopen(urllib.request.Request(place, headers=head)) as response:
        workers = json.load(response)["workers"]
    for worker in workers:
        request = urllib.request.Request(f"{place}/{worker['worker_id']}", headers=head, method="DELETE")
        urllib.request.urlopen(request).close()


@pytest.fixture(scope="session")
def training_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """One server for every test whose training jobs may end after three seconds."""
    server = LocalAWS(tmp_path_factory.mktemp("training") / "aws", options={"train_seconds": 3})
    yield server
    server.stop()
