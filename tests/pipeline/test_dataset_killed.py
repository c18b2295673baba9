"""The same dataset after SIGKILL at any point: real processes and a real server behind a recording proxy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from dataset_bench import Bench
from fault_proxy import FaultProxy, Request

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3

CHANNELS, MARKER, OBJECTS = "/run/channels/", "/run/dataset.json", "/run/objects.jsonl"


class Killer:
    """Kills the process at request `number` of a name, before or after the server handles it."""

    def __init__(self, start: str, number: int, *, when: str) -> None:
        self.start, self.left, self.when = start, number, when
        self.process: subprocess.Popen[str] | None = None
        self.lock = threading.Lock()

    def before(self, request: Request) -> tuple[int, bytes] | None:
        return (500, b"") if self.when == "before" and self.kill(request) else None

    def after(self, request: Request) -> None:
        if self.when == "after":
            self.kill(request)

    def kill(self, request: Request) -> bool:
        with self.lock:
            self.left -= request.name.startswith(self.start)
            if self.left > 0 or self.process is None or self.process.poll() is not None:
                return self.left <= 0
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            return True


class Command:
    """`gtseg dataset` as a process."""

    def __init__(self, folder: Path, server: Any, bench: Bench) -> None:
        self.folder, self.server, self.bench = folder, server, bench
        text = f'[project]\nname = "run"\nbucket = "{bench.bucket}"\nprefix = ""\n'
        (folder / "gtseg.toml").write_text(text)

    def start(self, url: str, manifest: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gtseg", "dataset", "--manifest", manifest],
            cwd=self.folder,
            env=self.server.environment | {"AWS_ENDPOINT_URL": url, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def finish(self, manifest: str) -> dict[str, bytes]:
        """Return the run's objects afterwards, without run.json, which has times."""
        process = self.start(self.server.url, manifest)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        return self.left_behind()

    def kill(self, killer: Killer, manifest: str) -> None:
        with FaultProxy(self.server.url, before=killer.before, after=killer.after) as proxy:
            killer.process = self.start(proxy.url, manifest)
            _, stderr = killer.process.communicate(timeout=60)
        assert killer.process.returncode == -signal.SIGKILL, f"not killed at {killer.start}: {stderr}"

    def left_behind(self) -> dict[str, bytes]:
        return {key: body for key, body in self.bench.objects().items() if key != "run.json"}


@pytest.fixture
def command(tmp_path: Path, shared_aws: Any, clients: Clients, bucket: str) -> Command:
    return Command(tmp_path, shared_aws, Bench(clients, bucket).fill(6))


def grow(bench: Bench) -> tuple[str, str]:
    """Return two manifests: six objects; four of them, one with another mask, and four new ones."""
    before = bench.put("before.manifest", _join(bench.lines))
    bench.fill(5)
    bench.lines[0]["pets-ref"] = bench.lines.pop()["pets-ref"]
    del bench.lines[3:5]
    return before, bench.put("after.manifest", _join(bench.lines))


def _join(lines: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def is_true(left: dict[str, bytes]) -> bool:
    """Return whether all objects of dataset.json exist; true without dataset.json."""
    if "dataset.json" not in left:
        return True
    records = [json.loads(line) for line in left["objects.jsonl"].splitlines()]
    keys = {f"channels/{r[kind]}" for r in records for kind in ("object", "annotation") if r.get(kind)}
    counts = json.loads(left["dataset.json"])["counts"]
    there = {key for key in left if key.startswith("channels/") and "label_map/" not in key}
    return keys == there and len(keys) == 2 * (counts["train"] + counts["validation"] + counts["test"])


def test_a_dataset_killed_at_any_step_is_the_same_in_the_end(command: Command) -> None:
    """Reading, marker, copies, stale objects, records, marker, run: each process is killed one step later."""
    bench, bucket = command.bench, command.bench.bucket
    before, after = grow(bench)
    first = command.finish(before)
    undisturbed = command.finish(after)
    assert undisturbed.keys() != first.keys()
    S3(bench.clients).delete([f"{bench.root}{key}" for key in [*undisturbed, "run.json"]])
    assert command.finish(before) == first
    steps = [
        ("GET", f"/{bucket}/masks/", 2, "after"), ("DELETE", f"/{bucket}{MARKER}", 1, "before"),
        ("DELETE", f"/{bucket}{MARKER}", 1, "after"), ("PUT", f"/{bucket}{CHANNELS}", 1, "before"),
        ("PUT", f"/{bucket}{CHANNELS}", 3, "after"), ("DELETE", f"/{bucket}{CHANNELS}", 1, "before"),
        ("DELETE", f"/{bucket}{CHANNELS}", 1, "after"), ("PUT", f"/{bucket}{OBJECTS}", 1, "before"),
        ("PUT", f"/{bucket}{OBJECTS}", 1, "after"), ("PUT", f"/{bucket}{MARKER}", 1, "before"),
        ("PUT", f"/{bucket}{MARKER}", 1, "after"),
    ]  # fmt: skip
    for method, path, number, when in steps:
        command.kill(Killer(f"{method} {path}", number, when=when), after)
        assert is_true(command.left_behind()), f"killed {when} {method} {path}"
    assert command.finish(after) == undisturbed


def test_a_first_dataset_killed_halfway_leaves_no_stale_objects(command: Command) -> None:
    """The manifest changes between the kill and the next command."""
    before, after = grow(command.bench)
    command.kill(Killer(f"PUT /{command.bench.bucket}{CHANNELS}", 8, when="after"), before)
    left = command.left_behind()
    assert left
    assert "dataset.json" not in left
    after_kill = command.finish(after)
    S3(command.bench.clients).delete([f"{command.bench.root}{key}" for key in [*after_kill, "run.json"]])
    assert command.finish(after) == after_kill


def test_an_unchanged_dataset_is_listed_and_nothing_is_read_again_or_written(command: Command) -> None:
    """No image, mask or channel object is read again; run.json is not rewritten."""
    manifest = command.bench.put("output.manifest", _join(command.bench.lines))
    left = command.finish(manifest)
    seen: list[str] = []
    with FaultProxy(command.server.url, before=lambda request: seen.append(request.name)) as proxy:
        process = command.start(proxy.url, manifest)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert command.left_behind() == left
    bucket = command.bench.bucket
    read = {name for name in seen if "list-type" not in name}
    known = ("run/run.json", "output.manifest", "run/dataset.json", "run/objects.jsonl")
    assert read == {f"GET /{bucket}/{key}" for key in known}
    assert len(seen) <= 10
