"""Fixtures that start the embedded AWS as users do: a real process on a port of its own, with a data folder of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from local_aws import LocalAWS

hypothesis.settings.register_profile("gtseg", deadline=None)  # the machine's load is no property of the code
hypothesis.settings.load_profile("gtseg")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell, Ctrl-C is ignored, by every child too: the tests that press it need it heard.
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
    """One server of this test's own."""
    return start_local_aws()


@pytest.fixture(scope="session")
def session_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """What `shared_aws` is at a test's first try; for fixtures of a whole module."""
    server = LocalAWS(tmp_path_factory.mktemp("shared") / "aws")
    yield server
    server.stop()


@pytest.fixture
def shared_aws(request: pytest.FixtureRequest, session_aws: LocalAWS, start_local_aws: StartLocalAWS) -> LocalAWS:
    """One server for every test that neither restarts it nor minds others' buckets."""
    return start_local_aws() if is_retried(request) else session_aws


@pytest.fixture(scope="session")
def session_training_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """What `training_aws` is at a test's first try."""
    server = LocalAWS(tmp_path_factory.mktemp("training") / "aws", options={"train_seconds": 3})
    yield server
    server.stop()


@pytest.fixture
def training_aws(
    request: pytest.FixtureRequest, session_training_aws: LocalAWS, start_local_aws: StartLocalAWS
) -> LocalAWS:
    """One server for every test whose training jobs may end after three seconds."""
    return start_local_aws(options={"train_seconds": 3}) if is_retried(request) else session_training_aws


def is_retried(request: pytest.FixtureRequest) -> bool:
    """Whether the test failed once (pytest-rerunfailures): what it left on a shared server would fail it again."""
    return getattr(request.node, "execution_count", 1) > 1


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Why a test was tried again, though it passed in the end."""
    for report in terminalreporter.stats.get("rerun", []):
        reasons = [line for line in report.longreprtext.splitlines() if line.startswith("E  ")]
        terminalreporter.write_line(f"tried again: {report.nodeid}")
        for line in reasons[:3]:
            terminalreporter.write_line(line[:300])
