"""A matrix of stages x faults on a real server: every cell is disturbed, then the same command runs again, undisturbed.

    scripts/chaos                       every cell; writes docs/chaos.md
    scripts/chaos --stages train,deploy --faults cli-killed

Nothing of gtseg is imported: processes, HTTP and the file system only. For each cell the server's folder is put back to
what it was before the stage, so that cells do not know of each other. A cell holds when its fault fired, no command
showed a traceback, the creating calls by the server's own log are those of the undisturbed run, and so is the result.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("label", "watch", "dataset", "train", "deploy", "evaluate", "report", "cleanup")
SPENDING = ("label", "train", "deploy")
ANSWERS = ("throttle", "fail", "delay", "drop", "truncate", "corrupt", "truncate-request", "corrupt-request")
"""Faults of the server's answers and of what reaches it: one for certain, then 20 % of all."""
LATE = 66
"""Seconds: longer than gtseg waits for an answer (60). The server still does the work, after the retry."""
TIMED_OUT = {
    "label": "sagemaker:CreateLabelingJob", "watch": "sagemaker:DescribeLabelingJob", "dataset": "s3:CopyObject",
    "train": "sagemaker:CreateTrainingJob", "deploy": "sagemaker:CreateEndpoint",
    "evaluate": "sagemaker:InvokeEndpoint",
    "report": "s3:PutObject", "cleanup": "sagemaker:DeleteEndpoint",
}  # fmt: skip
SAYS_NO = TIMED_OUT | {"dataset": "s3:GetObject"}
"""The call of each stage that AWS refuses."""
SAYS_NO_OF = {"dataset": "chaos-bucket/c/labeling/*", "report": "chaos-bucket/c/report*"}
"""Which objects, where the call is S3's: run.json itself can be read and written."""
LATE_SIGNATURE = "Signature expired: 20261129T202900Z is now earlier than 20261129T212900Z (20261129T213400Z - 5 min.)"
REFUSALS = {
    "AccessDeniedException": (
        400,
        "User: arn:aws:iam::123456789012:user/me is not authorized to perform this",
        4,
    ),
    "ExpiredTokenException": (400, "The security token included in the request is expired", 4),
    "UnrecognizedClientException": (403, "The security token included in the request is invalid.", 4),
    "InvalidSignatureException": (403, LATE_SIGNATURE, 4),
    "OptInRequired": (403, "The AWS Access Key Id needs a subscription for the service", 4),
    "ValidationException": (400, "1 validation error detected", 1),
    "ResourceLimitExceeded": (400, "The account-level service limit is 0 Instances", 1),
    "InsufficientInstanceCapacity": (400, "No capacity", 1),
    "ResourceNotFoundException": (400, "Requested resource is not there", 3),
}
"""code: (status, message, exit code) of SageMaker's most common refusals; AWS's own names."""
S3_REFUSALS = {
    "AccessDenied": (403, "Access Denied", 4),
    "ExpiredToken": (400, "The provided token has expired.", 4),
    "InvalidAccessKeyId": (403, "The AWS Access Key Id you provided does not exist in our records.", 4),
    "SignatureDoesNotMatch": (403, "The request signature we calculated does not match", 4),
    "RequestTimeTooSkewed": (
        403,
        "The difference between the request time and the current time is too large.",
        4,
    ),
    "AllAccessDisabled": (403, "All access to this object has been disabled", 4),
    "InvalidRequest": (400, "The bucket refuses this", 1),
    "KMS.DisabledException": (400, "arn:aws:kms:us-east-1:123456789012:key/k is disabled", 4),
    "NoSuchBucket": (404, "The specified bucket does not exist", 3),
}
PASSING = {
    "sagemaker": {"ThrottlingException": 400, "ServiceUnavailable": 503, "InternalFailure": 500},
    "s3": {"SlowDown": 503, "ServiceUnavailable": 503, "InternalError": 500},
}
"""What AWS says for a moment: the command comes through."""
GONE_IS_DONE = {("cleanup", "ResourceNotFoundException")}
"""Refusals that are no refusal: what is to be deleted is gone."""
WAY_OUT = re.compile(r"`[^`]+`|\[(project|deploy|predict|train|images)\]|Service Quotas|try again later")
IMAGES, SIDE = 12, (96, 72)
PATIENCE = 300
FULL_AT, FULL_SECONDS = 4096, 45
JUMP = 7200
WITHOUT_POWERS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
"""Before a command: file permissions hold for root too."""
CLOCK = """
import datetime, os, time
shift, mark, real = float(os.environ["CHAOS_CLOCK"]), os.environ["CHAOS_MARK"], datetime.datetime
class Jumped(real):
    @classmethod
    def now(cls, tz=None):
        with open(mark, "a") as file: file.write("x")
        return real.now(tz) + datetime.timedelta(seconds=shift)
    @classmethod
    def utcnow(cls):
        return real.utcnow() + datetime.timedelta(seconds=shift)
datetime.datetime = Jumped
clock = time.time
time.time = lambda: clock() + shift
"""

SERVER = """
import os, time
home = os.environ["CHAOS_HOME"]
clock, clock_ns, syncs = time.time, time.time_ns, (os.fsync, os.fdatasync)
def told(name):
    try:
        with open(os.path.join(home, name)) as file: text = file.read()
    except OSError:
        return 0.0
    if text:
        with open(os.path.join(home, name + "-asked"), "a") as file: file.write("x")
    return float(text or 0)
time.time = lambda: clock() + told("server-clock")
time.time_ns = lambda: clock_ns() + int(told("server-clock") * 1e9)
def sync(call):
    def refusing(descriptor):
        if told("refused-sync"): raise OSError(5, "Input/output error")
        return call(descriptor)
    return refusing
os.fsync, os.fdatasync = map(sync, syncs)
"""
"""In the server's process: a wall clock that is set, a disk that takes nothing, as files of the bench's home say."""
SERVER_JUMP = 90
"""Seconds: less than what makes a signature too old."""


class Proxy:
    """Counts the requests of a command, and does something at one of them."""

    def __init__(self, target: str) -> None:
        self.target, self.seen = target, 0
        self.at, self.action, self.fired = 0, (lambda: None), 0
        self.lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                proxy.forward(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a killed client hangs up
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def arm(self, at: int, action: Callable[[], None]) -> None:
        self.seen, self.fired, self.at, self.action = 0, 0, at, action

    def forward(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        with self.lock:
            self.seen += 1
            if self.seen == self.at:
                self.action()
                self.fired += 1
        try:
            status, content, headers = self._ask(handler, body)
        except (OSError, http.client.HTTPException):
            handler.close_connection = True
            return
        handler.send_response_only(status)
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        for name, value in headers:
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                handler.send_header(name, value)
        handler.send_header("content-length", (length if handler.command == "HEAD" else None) or str(len(content)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)

    def _ask(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes, list[tuple[str, str]]]:
        """The server's answer, damage included: a body that ends early ends early here too."""
        connection = http.client.HTTPConnection(urlsplit(self.target).netloc, timeout=2 * LATE)
        connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            if name.lower() not in {"connection", "expect", "content-length", "transfer-encoding"}:
                connection.putheader(name, value)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        try:
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheaders()
        finally:
            connection.close()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Bench:
    """A project folder, a server over a data folder that can be put back, and snapshots of it before each stage."""

    def __init__(self, home: Path) -> None:
        self.home, self.data, self.project = home, home / "aws", home / "project"
        self.elsewhere = home / "elsewhere"
        self.faults = home / "faults.json"
        self.server: subprocess.Popen[str] | None = None
        self.proxy = Proxy("http://127.0.0.1:1")
        self.requests: dict[str, int] = {}
        self.expected: dict[str, Any] = {}
        self.said = ""

    # ---- the project

    def draw(self) -> None:
        (self.project / "photos").mkdir(parents=True)
        (self.home / "masks").mkdir()
        for number in range(IMAGES):
            photo, mask = Image.new("RGB", SIDE, (40, 90, 160)), Image.new("L", SIDE, 0)
            box = (8 + number * 3, 10 + number, 44 + number * 3, 50 + number)
            ImageDraw.Draw(photo).rectangle(box, fill=(230, 140 + number, 30))
            ImageDraw.Draw(mask).rectangle(box, fill=1)
            photo.save(self.project / "photos" / f"p{number:02}.jpg", quality=95)
            mask.save(self.home / "masks" / f"p{number:02}.png")
        (self.project / "gtseg.toml").write_text(
            '[project]\nname = "c"\nbucket = "chaos-bucket"\ncreate_bucket = true\n[images]\nsource = "photos"\n'
            '[labeling]\nlabels = ["box"]\n[train.hyperparameters]\nepochs = 2\nmini_batch_size = 2\n'
            "crop_size = 48\nbase_size = 48\n"
        )
        self.home.chmod(0o755)

    # ---- the server

    def start(self) -> None:
        options = {"crowd_masks": str(self.home / "masks"), "crowd_error": 0, "faults": str(self.faults)}
        command = [sys.executable, "-m", "gtseg.local.server", "--data", str(self.data), "--port", "0"]
        patches = self.home / "server-patches"
        patches.mkdir(exist_ok=True)
        (patches / "sitecustomize.py").write_text(SERVER)
        path = f"{patches}{os.pathsep}{ROOT}"
        with (self.home / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                [*command, "--options", json.dumps(options)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "CHAOS_HOME": str(self.home)},
                cwd=ROOT,
            )
        assert self.server.stdout is not None
        url = self.server.stdout.readline().strip()
        if not url:
            raise RuntimeError("the server did not start: " + (self.home / "server.log").read_text()[-2000:])
        self.proxy.target = url

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        server, self.server = self.server, None
        if server is not None:
            server.send_signal(number)
            try:
                server.wait(40)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def kill_and_restart(self) -> None:
        self.stop(signal.SIGKILL)
        self.start()

    def put_back(self, stage: str) -> None:
        """The data folder as it was before `stage`, without faults, and a server over it."""
        self.stop()
        self.end_strays()
        shutil.rmtree(self.data, ignore_errors=True)
        if (snapshot := self.home / f"before-{stage}").exists():
            shutil.copytree(snapshot, self.data, symlinks=True)
        self.set_faults([])
        for leftover in ("server-clock", "refused-sync"):
            (self.home / leftover).unlink(missing_ok=True)
            (self.home / f"{leftover}-asked").unlink(missing_ok=True)
        for name in ("report.html", "report.json"):
            (self.project / name).unlink(missing_ok=True)
        self.start()

    def end_strays(self) -> None:
        """Training processes outlive a killed server on purpose; not one of another cell."""
        for pid in self.job_processes():
            os.kill(pid, signal.SIGKILL)

    def job_processes(self) -> list[int]:
        """Containers that run below this data folder: found by their command line, which names it."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"gtseg.local.algorithm" in words and any(str(self.data).encode() in word for word in words):
                found.append(int(entry.name))
        return found

    def set_faults(self, faults: list[dict[str, Any]]) -> None:
        self.faults.write_text(json.dumps({"seed": 7, "fault": faults}))

    def tell_server(self, name: str, value: float | None) -> int:
        """Set what the patches of the server read, None to end it; how often they have read it so far."""
        path, asked = self.home / name, self.home / f"{name}-asked"
        path.unlink(missing_ok=True) if value is None else path.write_text(str(value))
        return asked.stat().st_size if asked.exists() else 0

    def local(self, *words: str) -> None:
        """A `gtseg local` command on the data folder, which must succeed."""
        command = [sys.executable, "-m", "gtseg", "local", *words]
        done = subprocess.run(
            command, cwd=self.home, env=self.environment(), capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, f"{words[0]}: exit code {done.returncode}: {done.stderr[-600:]}"

    def fired(self, kind: str) -> int:
        with urllib.request.urlopen(f"{self.proxy.target}/_gtseg/faults", timeout=30) as answer:
            return int(json.load(answer)["fired"][kind])

    # ---- commands

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "GTSEG_"))}
        keys = json.loads((self.data / "credentials.json").read_bytes())
        return kept | {
            "AWS_ENDPOINT_URL": self.proxy.url, "AWS_ACCESS_KEY_ID": keys["access_key"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_key"],
            "AWS_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
            "HOME": str(self.home),
        } | more  # fmt: skip

    def move(self) -> Path:
        """Another machine's home with a copy of the project, as fresh as a checkout."""
        shutil.rmtree(self.elsewhere, ignore_errors=True)
        return Path(shutil.copytree(self.project, self.elsewhere / "project"))

    def begin(
        self, stage: str, *, before: tuple[str, ...] = (), folder: Path | None = None, **more: str
    ) -> subprocess.Popen[str]:
        words = [stage, *(["--yes"] if stage in SPENDING else [])]
        return subprocess.Popen(
            [*before, sys.executable, "-m", "gtseg", *words],
            cwd=folder or self.project,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> int:
        try:
            self.said, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            self.said, _ = process.communicate()
            raise AssertionError(f"still running after {PATIENCE} s: {self.said[-300:]}") from None
        assert "Traceback" not in self.said, f"a traceback: {self.said[-3000:]}"
        return process.returncode

    def command(self, stage: str, **more: Any) -> int:
        return self.finish(self.begin(stage, **more))

    # ---- results

    def call_logs(self) -> list[Path]:
        """Where the servers write down what they were asked for."""
        return [self.data / "calls.jsonl"]

    def calls(self) -> list[tuple[str, str]]:
        """Creating and deleting calls that succeeded, sorted: what the account was asked for."""
        logs = [path.read_text() for path in self.call_logs() if path.exists()]
        lines = [json.loads(line) for log in logs for line in log.splitlines()]
        mine = [c for c in lines if c["status"] < 300 and c["service"] == "sagemaker"]
        return sorted((c["operation"], c["name"]) for c in mine if c["operation"].startswith(("Create", "Delete")))

    def result(self, stage: str) -> Any:
        """What the stage leaves, without times: equal for equal work."""
        run = json.loads(self.read("run.json"))
        if stage == "label":
            job = run["labeling_job"]
            return [job[key] for key in ("name", "objects", "label_attribute", "rejected")]
        if stage == "watch":
            job = run["labeling_job"]
            return [job["status"], job["counters"]["TotalLabeled"], job["output_manifest"]]
        if stage == "dataset":
            return [
                run["dataset"]["counts"],
                run["dataset"]["fingerprint"],
                json.loads(self.read("dataset.json"))["pixels"],
            ]
        if stage == "train":
            job = run["training_job"]
            return [job["status"], job["hyperparameters"], [epoch["number"] for epoch in job["epochs"]]]
        if stage == "deploy":
            return [run["endpoint"][key] for key in ("name", "config", "model", "status", "model_data")]
        if stage == "evaluate":
            scored = run["evaluation"]
            return [scored["miou"], scored["confusion"], scored["images"], scored["dataset"]]
        if stage == "report":
            facts = json.loads(self.read("report.json"))
            return [facts["evaluation"]["miou"], facts["dataset"], sorted(facts["lineage"])]
        return [run["endpoint"]["name"], bool(run["endpoint"]["deleted"])]

    def s3(self) -> Any:
        import boto3

        keys = json.loads((self.data / "credentials.json").read_bytes())
        return boto3.client(
            "s3",
            endpoint_url=self.proxy.target,
            region_name="us-east-1",
            aws_access_key_id=keys["access_key"],
            aws_secret_access_key=keys["secret_key"],
        )

    def read(self, name: str) -> bytes:
        """An object of the run."""
        return bytes(self.s3().get_object(Bucket="chaos-bucket", Key=f"c/{name}")["Body"].read())

    def write(self, name: str, body: bytes) -> bool:
        """Whether the server takes an object."""
        from botocore.exceptions import ClientError

        try:
            self.s3().put_object(Bucket="chaos-bucket", Key=name, Body=body)
        except ClientError:
            return False
        return True

    def walk_undisturbed(self, stages: tuple[str, ...] = STAGES, *, tell: Callable[[str], None] = print) -> None:
        """Every stage once: its requests, calls and result, and a snapshot of the folder before it."""
        self.draw()
        self.set_faults([])
        for stage in stages:
            if stage != stages[0]:
                self.stop()
                shutil.copytree(self.data, self.home / f"before-{stage}", symlinks=True)
            self.start()
            self.proxy.arm(0, lambda: None)
            begun = time.monotonic()
            code = self.command(stage)
            assert code == 0, f"{stage} undisturbed: exit code {code}: {self.said[-1500:]}"
            self.requests[stage] = self.proxy.seen
            self.expected[stage] = (self.calls(), self.result(stage))
            tell(f"{stage}: {self.proxy.seen} requests, {time.monotonic() - begun:.1f} s")

    def close(self) -> None:
        self.stop()
        self.end_strays()
        self.proxy.close()


# ---- faults: each disturbs one command of a stage and says how often it fired ----------------------------------------


def half_way(bench: Bench, stage: str) -> int:
    return max(2, bench.requests[stage] // 2)


def kill_cli(bench: Bench, stage: str) -> int:
    holder: list[subprocess.Popen[str]] = []
    ready = threading.Event()

    def strike() -> None:
        ready.wait(10)
        os.kill(holder[0].pid, signal.SIGKILL)

    bench.proxy.arm(half_way(bench, stage), strike)
    holder.append(bench.begin(stage))
    ready.set()
    code = bench.finish(holder[0])
    assert not bench.proxy.fired or code == -signal.SIGKILL, f"exit code {code}"
    return bench.proxy.fired


def kill_server(bench: Bench, stage: str) -> int:
    bench.proxy.arm(half_way(bench, stage), bench.kill_and_restart)
    bench.command(stage)
    return bench.proxy.fired


def kill_container(bench: Bench, stage: str) -> int:
    """kill -9 of the training or endpoint process, as soon as it is there while the stage runs."""
    process, killed = bench.begin(stage), 0
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and not killed and time.monotonic() < deadline:
        for pid in bench.job_processes():
            try:
                os.kill(pid, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
        time.sleep(0.05)
    bench.finish(process)
    return killed


def fill_disk(bench: Bench, stage: str) -> int:
    """No file of the server may grow beyond a few KB: writes fail as they do on a full disk. Later there is room again.

    What only waits for others, as `watch` does for the crowd, may wait that long.
    """
    assert bench.server is not None
    before = resource.prlimit(bench.server.pid, resource.RLIMIT_FSIZE, (FULL_AT, resource.RLIM_INFINITY))
    process = bench.begin(stage)
    try:
        refused = not bench.write("probe", bytes(25 * FULL_AT))
        with suppress(subprocess.TimeoutExpired):
            process.wait(FULL_SECONDS)
    finally:
        resource.prlimit(bench.server.pid, resource.RLIMIT_FSIZE, before)
    was_waiting = process.poll() is None
    code = bench.finish(process)
    return int(refused and (was_waiting or code != 0))


def lock_folder(bench: Bench, stage: str) -> int:
    """The project's folder cannot be written by the command."""
    before = WITHOUT_POWERS if os.getuid() == 0 else ()
    bench.project.chmod(0o555)
    try:
        probe = [*before, sys.executable, "-c", "open('probe', 'w')"]
        refused = subprocess.run(probe, cwd=bench.project, capture_output=True).returncode != 0
        bench.command(stage, before=before)
        return int(refused)
    finally:
        bench.project.chmod(0o755)


def jump_clock(bench: Bench, stage: str) -> int:
    folder, mark = bench.home / "clock", bench.home / "clock-asked"
    folder.mkdir(exist_ok=True)
    mark.unlink(missing_ok=True)
    (folder / "sitecustomize.py").write_text(CLOCK)
    path = f"{folder}{os.pathsep}{ROOT}"
    bench.command(stage, PYTHONPATH=path, CHAOS_CLOCK=str(JUMP), CHAOS_MARK=str(mark))
    return mark.stat().st_size if mark.exists() else 0


def run_two(bench: Bench, stage: str) -> int:
    return make_background_transparent(bench, [bench.begin(stage) for _ in range(2)])


def run_on_two_machines(bench: Bench, stage: str) -> int:
    """Two folders, two homes: they know of each other by the run in S3 alone."""
    away = bench.move()
    own, other = bench.begin(stage), bench.begin(stage, folder=away, HOME=str(away.parent))
    return make_background_transparent(bench, [own, other])


def make_background_transparent(bench: Bench, processes: list[subprocess.Popen[str]]) -> int:
    """Two at once on one run: each is done, or says that the other one was faster."""
    codes = []
    for process in processes:
        codes.append(bench.finish(process))
        told = "Another gtseg process" in bench.said
        assert codes[-1] == 0 or told, f"exit code {codes[-1]}: {bench.said[-600:]}"
    assert 0 in codes, "neither got through"
    return len(processes) - 1


def time_out(bench: Bench, stage: str) -> int:
    """The answer to the stage's own call comes after gtseg has given it up and asked again."""
    bench.set_faults([{"kind": "delay", "operations": [TIMED_OUT[stage]], "limit": 1, "seconds": LATE}])
    bench.command(stage)
    fired = bench.fired("delay")
    time.sleep(max(0.0, LATE - 60))  # what was asked first is done by now, or never
    bench.set_faults([])
    return fired


def spoil(kind: str) -> Callable[[Bench, str], int]:
    def disturb(bench: Bench, stage: str) -> int:
        bodied = "s3:PutObject" if kind.endswith("-request") else "s3:GetObject"
        bench.set_faults(
            [
                {"kind": kind, "operations": [bodied, "sagemaker:*"], "limit": 1, "seconds": 1},
                {"kind": kind, "operations": ["*"], "rate": 0.2, "seconds": 0.3},
            ]
        )
        bench.command(stage)
        fired = bench.fired(kind)
        bench.set_faults([])
        return fired

    return disturb


def say_no(bench: Bench, stage: str) -> int:
    """Twelve refusals of AWS, one command each: exit code, remedy in the last line; transient ones come together."""
    operation, resources = SAYS_NO[stage], [SAYS_NO_OF.get(stage, "*")]
    service = operation.partition(":")[0]
    only = {"kind": "answer", "operations": [operation], "resources": resources}
    fired = 0
    for code, (status, message, expected) in (S3_REFUSALS if service == "s3" else REFUSALS).items():
        if (stage, code) in GONE_IS_DONE:
            continue
        bench.set_faults([{**only, "code": code, "status": status, "message": message}])
        found, before, fired = bench.command(stage), fired, bench.fired("answer")
        last = bench.said.strip().splitlines()[-1]
        assert fired > before, f"{code} did not fire: {last}"
        assert found == expected, f"{code}: exit code {found} instead of {expected}: {last}"
        assert code in bench.said, f"{code} is not said: {last}"
        assert WAY_OUT.search(last), f"{code}: no way out in {last}"
    bench.set_faults(
        [
            {**only, "code": code, "status": status, "message": "for a moment", "limit": 1}
            for code, status in PASSING[service].items()
        ]
    )
    found, before, fired = bench.command(stage), fired, bench.fired("answer")
    assert found == 0, f"what passes by itself: exit code {found}: {bench.said[-600:]}"
    assert fired > before, "what passes by itself did not fire"
    bench.set_faults([])
    return fired


def jump_server_clock(bench: Bench, stage: str) -> int:
    """The server's wall clock is set forward and, half a stage later, back beyond where it was."""
    bench.tell_server("server-clock", SERVER_JUMP)
    bench.proxy.arm(half_way(bench, stage), lambda: bench.tell_server("server-clock", -SERVER_JUMP) and None)
    bench.command(stage)
    return bench.tell_server("server-clock", None)


def refuse_syncs(bench: Bench, stage: str) -> int:
    """The disk takes nothing any more; the server is started anew once it does again."""
    bench.proxy.arm(half_way(bench, stage), lambda: bench.tell_server("refused-sync", 1) and None)
    process = bench.begin(stage)
    with suppress(subprocess.TimeoutExpired):
        process.wait(FULL_SECONDS)
    fired = bench.tell_server("refused-sync", None)
    bench.kill_and_restart()
    bench.finish(process)
    return fired


def back_up_meanwhile(bench: Bench, stage: str) -> int:
    """A backup while the stage goes on and people label; what is restored from it is whole."""
    kept, again = bench.home / "backup", bench.home / "restored"
    for folder in (kept, again):
        shutil.rmtree(folder, ignore_errors=True)
    bench.proxy.arm(half_way(bench, stage), lambda: bench.local("backup", "--data", str(bench.data), str(kept)))
    bench.command(stage)
    bench.local("restore", "--data", str(again), str(kept))
    bench.local("check", "--data", str(again))
    return bench.proxy.fired


def lose_and_restore(bench: Bench, stage: str) -> int:
    """The data folder is lost half way, and restored from a backup of that moment."""
    kept = bench.home / "backup"
    shutil.rmtree(kept, ignore_errors=True)

    def strike() -> None:
        bench.local("backup", "--data", str(bench.data), str(kept))
        bench.stop(signal.SIGKILL)
        bench.end_strays()
        shutil.rmtree(bench.data)
        subprocess.run(
            [sys.executable, "-m", "gtseg", "local", "restore", "--data", str(bench.data), str(kept)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )
        bench.start()

    bench.proxy.arm(half_way(bench, stage), strike)
    bench.command(stage)
    return bench.proxy.fired


def upgrade(bench: Bench, stage: str) -> int:
    """Half way, the folder is one that 0.1.0 left: without versions, open to all. The server brings it up to date."""

    def strike() -> None:
        bench.stop()
        (bench.data / "folder.json").unlink()
        for name in ("state.sqlite3", "objects.sqlite3"):
            with sqlite3.connect(bench.data / name) as connection:
                connection.execute("PRAGMA user_version=0")
                connection.execute("PRAGMA application_id=0")
                connection.execute("DROP TABLE IF EXISTS clock")
            connection.close()
        keys = json.loads((bench.data / "credentials.json").read_bytes())
        (bench.data / "credentials.json").write_text(json.dumps({k: v for k, v in keys.items() if k != "schema"}))
        bench.data.chmod(0o755)
        bench.start()

    bench.proxy.arm(half_way(bench, stage), strike)
    bench.command(stage)
    assert json.loads((bench.data / "folder.json").read_bytes())["schema"] > 1
    return bench.proxy.fired


FAULTS: dict[str, Callable[[Bench, str], int]] = {
    "cli-killed": kill_cli,
    "server-killed": kill_server,
    "container-killed": kill_container,
    "disk-full": fill_disk,
    "folder-read-only": lock_folder,
    "clock-jumped": jump_clock,
    "two-at-once": run_two,
    "two-machines": run_on_two_machines,
    "timed-out": time_out,
    "server-clock": jump_server_clock,
    "sync-refused": refuse_syncs,
    "backup": back_up_meanwhile,
    "restored": lose_and_restore,
    "upgraded": upgrade,
    **{kind: spoil(kind) for kind in ANSWERS},
    "aws-says-no": say_no,
}
IMPOSSIBLE = {
    ("container-killed", stage): "no container runs for it"
    for stage in ("label", "watch", "dataset", "report", "cleanup")
}
"""Cells that cannot be, each with its reason; every other one must hold."""
SECOND_ATTEMPT = {("container-killed", "train"), ("container-killed", "deploy"), ("sync-refused", "train")}
"""Where what was killed may count as failed, and the same command makes the next attempt."""


@dataclass
class Cell:
    stage: str
    fault: str
    outcome: str = ""
    """ok, or what was wrong, or why the cell cannot be; '' is an empty cell: it was not run."""
    fired: int = 0
    seconds: float = 0.0


@dataclass
class Matrix:
    cells: list[Cell] = field(default_factory=list)

    @property
    def wrong(self) -> list[Cell]:
        """Cells that did not hold, empty ones included."""
        return [cell for cell in self.cells if cell.outcome != "ok" and not cell.outcome.startswith("-")]


def generate(stages: tuple[str, ...] = STAGES, faults: tuple[str, ...] = tuple(FAULTS)) -> Matrix:
    """Every stage with every fault; the impossible ones carry their reason already."""
    cells = [Cell(stage, fault) for stage in stages for fault in faults]
    for cell in cells:
        if reason := IMPOSSIBLE.get((cell.fault, cell.stage)):
            cell.outcome = f"- {reason}"
    return Matrix(cells)


def try_cell(bench: Bench, cell: Cell) -> None:
    """Disturb, run again, judge. The cell's outcome says what was wrong."""
    begun = time.monotonic()
    try:
        bench.put_back(cell.stage)
        cell.fired = FAULTS[cell.fault](bench, cell.stage)
        assert cell.fired > 0, "the fault did not fire"
        bench.proxy.arm(0, lambda: None)
        code = bench.command(cell.stage)
        assert code == 0, f"again: exit code {code}: {bench.said[-600:]}"
        judge(bench, cell)
        cell.outcome = "ok"
    except (AssertionError, OSError, KeyError, ValueError, RuntimeError) as error:
        cell.outcome = f"FAILED: {type(error).__name__} {error}"[:4000]
    cell.seconds = round(time.monotonic() - begun, 1)


def judge(bench: Bench, cell: Cell) -> None:
    calls, result = bench.expected[cell.stage]
    found = bench.calls()
    if (cell.fault, cell.stage) in SECOND_ATTEMPT:
        names = [name for operation, name in found if operation.startswith("Create")]
        assert len(names) == len(set(names)), f"a name was created twice: {names}"
        if found != calls:
            return judge_second(bench, cell)
    assert found == calls, f"calls {sorted(set(found) ^ set(calls))} {len(found)} instead of {len(calls)}"
    assert bench.result(cell.stage) == result, f"{bench.result(cell.stage)} instead of {result}"
    return None


def judge_second(bench: Bench, cell: Cell) -> None:
    """After a failed first attempt: the second one is what stands, complete."""
    run = json.loads(bench.read("run.json"))
    section = run["training_job" if cell.stage == "train" else "endpoint"]
    assert section["status"] in ("Completed", "InService"), section["status"]
    assert section["name"].endswith("-2"), section["name"]


@contextmanager
def bench_in(folder: Path | None = None) -> Iterator[Bench]:
    home = Path(tempfile.mkdtemp(prefix="chaos-")) if folder is None else folder
    bench = Bench(home)
    try:
        yield bench
    finally:
        bench.close()
        if folder is None:
            shutil.rmtree(home, ignore_errors=True)


def table(matrix: Matrix, requests: dict[str, int]) -> str:
    """docs/chaos.md."""
    stages = list(dict.fromkeys(cell.stage for cell in matrix.cells))
    faults = list(dict.fromkeys(cell.fault for cell in matrix.cells))
    found = {(cell.fault, cell.stage): cell for cell in matrix.cells}
    ran = [c for c in matrix.cells if c.outcome and not c.outcome.startswith("-")]
    good = sum(c.outcome == "ok" for c in ran)
    possible = [c for c in matrix.cells if not c.outcome.startswith("-")]

    def text(cell: Cell) -> str:
        if cell.outcome == "ok":
            return f"ok ({cell.fired})"
        return "not run" if not cell.outcome else "-" if cell.outcome.startswith("-") else "**failed**"

    rows = [f"| {fault} | " + " | ".join(text(found[fault, stage]) for stage in stages) + " |" for fault in faults]
    failed = [f"- {c.fault}, {c.stage}: {' '.join(c.outcome.split())[-300:]}" for c in ran if c.outcome != "ok"]
    asked = ", ".join(f"{stage} {count}" for stage, count in requests.items())
    return "\n".join([
        "# Fault injection", "",
        (
            "Written by `scripts/chaos`. Each cell runs one stage on a real server while one fault is "
            "injected, and then runs the same command again. A cell holds if the fault occurred (how "
            "often is in brackets), no command showed a traceback, the server's log has the creating "
            "and deleting calls of an undisturbed run and no others, and the result is the same. `-`: "
            "the stage has no such process. `aws-says-no`: twelve refusals and transient faults of AWS "
            "at the stage's own call, one command each; exit code and message are checked. After a "
            "container was killed, or the disk refused a job, the run may have a second attempt under a "
            "new name."
        ),
        "",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {good} of {len(possible)} cells hold, {len(ran) - good} failed, "
        f"{len(possible) - len(ran)} were not run. Requests of an undisturbed stage: {asked}.", "",
        "| fault | " + " | ".join(stages) + " |", "|---|" + "---|" * len(stages), *rows,
        *(["", "Failed:", "", *failed] if failed else []), "",
    ])  # fmt: skip


def recall(matrix: Matrix, kept: Path | None) -> None:
    """Cells that held in an earlier, unfinished run."""
    earlier = json.loads(kept.read_text()) if kept and kept.exists() else []
    good = {(row["fault"], row["stage"]): row for row in earlier if row["outcome"] == "ok"}
    for cell in matrix.cells:
        if row := good.get((cell.fault, cell.stage)):
            cell.outcome, cell.fired, cell.seconds = row["outcome"], row["fired"], row["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument(
        "--minutes", type=float, default=600, help="stop after so long; cells left stay empty, and fail"
    )
    parser.add_argument("--shuffle", action="store_true", help="cells in random order, for a run that may be cut short")
    parser.add_argument("--keep", type=Path, help="a file of cells that held earlier, which are not run again")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "chaos.md")
    options = parser.parse_args()
    stages, faults = tuple(options.stages.split(",")), tuple(options.faults.split(","))
    matrix, end = generate(stages, faults), time.monotonic() + options.minutes * 60
    recall(matrix, options.keep)
    cells = [cell for cell in matrix.cells if not cell.outcome]
    if options.shuffle:
        random.Random(0).shuffle(cells)
    with bench_in() as bench:
        bench.walk_undisturbed(tuple(s for s in STAGES if STAGES.index(s) <= max(map(STAGES.index, stages))))
        for cell in cells:
            if time.monotonic() > end:
                break
            try_cell(bench, cell)
            print(f"{cell.stage} {cell.fault}: {cell.outcome} ({cell.fired}, {cell.seconds} s)", flush=True)
            options.out.write_text(table(matrix, bench.requests))
            if options.keep:
                options.keep.write_text(json.dumps([asdict(one) for one in matrix.cells]))
    sys.exit(1 if matrix.wrong else 0)


if __name__ == "__main__":
    main()
