"""The matrix of scripts/chaos with the objects elsewhere: a server with --s3, and a second one that plays the S3 service.

    python scripts/chaos_storage.py --stages label,watch --faults away --seconds 60

Clients reach S3 at the second server and everything else at the first, with one pair of keys. A fault begins half a stage
after the command and lasts --seconds; then the same command runs again. What holds is what holds in scripts/chaos.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("chaos", ROOT / "scripts" / "chaos.py")
assert spec is not None
assert spec.loader is not None
chaos: Any = importlib.util.module_from_spec(spec)
sys.modules["chaos"] = chaos
spec.loader.exec_module(chaos)

EXPIRED = {
    "kind": "answer",
    "status": 400,
    "code": "ExpiredToken",
    "message": "The provided token has expired.",
}


class FarBench(chaos.Bench):  # type: ignore[misc]
    """Two servers over one folder that can be put back."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.storage: subprocess.Popen[str] | None = None
        self.storage_url, self.port = "", 0
        self.took: dict[str, float] = {}
        self.seconds = 60.0

    @property
    def keys(self) -> dict[str, str]:
        document: dict[str, str] = json.loads((self.data / "s3" / "credentials.json").read_bytes())
        return document

    # ---- the two servers

    def start(self) -> None:
        self.start_storage()
        self.start_labeling()

    def start_storage(self) -> None:
        (self.data / "s3").mkdir(parents=True, exist_ok=True)
        self.storage = self.serve(self.data / "s3", {"faults": str(self.faults)}, port=self.port)
        self.storage_url = self.read_url(self.storage)
        self.port = urlsplit(self.storage_url).port or 0

    def start_labeling(self) -> None:
        options = {"crowd_masks": str(self.home / "masks"), "crowd_error": 0, "s3": self.storage_url}
        keys = {
            "AWS_ACCESS_KEY_ID": self.keys["access_key"],
            "AWS_SECRET_ACCESS_KEY": self.keys["secret_key"],
        }
        self.server = self.serve(self.data, options, **keys, AWS_EC2_METADATA_DISABLED="true")
        self.proxy.target = self.read_url(self.server)

    def serve(self, folder: Path, options: dict[str, Any], *, port: int = 0, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "gtseg.local.server", "--data", str(folder), "--port", str(port)]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        with (self.home / "server.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "--options", json.dumps(options)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more},
                cwd=ROOT,
            )

    def read_url(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("a server did not start: " + (self.home / "server.log").read_text()[-2000:])
        return url

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        super().stop(number)
        self.stop_storage(number)

    def stop_storage(self, number: signal.Signals) -> None:
        storage, self.storage = self.storage, None
        if storage is not None:
            storage.send_signal(number)
            storage.wait(40)

    # ---- clients

    def environment(self, **more: str) -> dict[str, str]:
        return dict(
            super().environment(
                AWS_ENDPOINT_URL_S3=self.storage_url,
                AWS_ACCESS_KEY_ID=self.keys["access_key"],
                AWS_SECRET_ACCESS_KEY=self.keys["secret_key"],
                **more,
            )
        )

    def s3(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.storage_url,
            region_name="us-east-1",
            aws_access_key_id=self.keys["access_key"],
            aws_secret_access_key=self.keys["secret_key"],
        )

    def fired(self, kind: str) -> int:
        with urllib.request.urlopen(f"{self.storage_url}/_gtseg/faults", timeout=30) as answer:
            return int(json.load(answer)["fired"][kind])

    def command(self, stage: str, **more: Any) -> int:
        begun = time.monotonic()
        code = super().command(stage, **more)
        self.took.setdefault(stage, time.monotonic() - begun)
        return int(code)


def strike(begin: Callable[[FarBench], None], end: Callable[[FarBench], int]) -> Callable[[FarBench, str], int]:
    """A fault from half a stage after the command begins, for so many seconds."""

    def disturb(bench: FarBench, stage: str) -> int:
        process = bench.begin(stage)
        time.sleep(bench.took[stage] / 2)
        begin(bench)
        time.sleep(bench.seconds)
        fired = end(bench)
        bench.finish(process)
        return fired

    return disturb


def kill_storage(bench: FarBench) -> None:
    bench.stop_storage(signal.SIGKILL)


def revive_storage(bench: FarBench) -> int:
    bench.start_storage()
    return 1


def kill_labeling(bench: FarBench) -> None:
    chaos.Bench.stop(bench, signal.SIGKILL)


def revive_labeling(bench: FarBench) -> int:
    bench.start_labeling()
    return 1


def kill_both(bench: FarBench) -> None:
    bench.stop(signal.SIGKILL)


def revive_both(bench: FarBench) -> int:
    bench.start()
    return 1


def break_requests(fault: dict[str, Any]) -> Callable[[FarBench, str], int]:
    """A fault of the storage's answers, from the beginning of a stage."""

    def disturb(bench: FarBench, stage: str) -> int:
        bench.set_faults([{**fault, "rate": 1, "limit": 1}, fault])
        process = bench.begin(stage)
        time.sleep(bench.seconds)
        fired = bench.fired(fault["kind"])
        bench.set_faults([])
        bench.finish(process)
        return fired

    return disturb


FAULTS: dict[str, Callable[[FarBench, str], int]] = {
    "away": strike(kill_storage, revive_storage),
    "throttled": break_requests({"kind": "throttle", "operations": ["s3:*"], "rate": 0.5}),
    "wrong-bytes": break_requests({"kind": "corrupt", "operations": ["s3:GetObject"], "rate": 0.5}),
    "expired": break_requests(EXPIRED | {"operations": ["s3:*"]}),
    "labeling-killed": strike(kill_labeling, revive_labeling),
    "both-killed": strike(kill_both, revive_both),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stages", default=",".join(chaos.STAGES))
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--seconds", type=float, default=60, help="how long a fault lasts")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "chaos-storage.md")
    options = parser.parse_args()
    stages, faults = tuple(options.stages.split(",")), tuple(options.faults.split(","))
    chaos.FAULTS, chaos.IMPOSSIBLE = FAULTS, {}
    matrix = chaos.generate(stages, faults)
    bench = FarBench(Path(chaos.tempfile.mkdtemp(prefix="chaos-")))
    bench.seconds = options.seconds
    try:
        bench.walk_undisturbed(
            tuple(s for s in chaos.STAGES if chaos.STAGES.index(s) <= max(map(chaos.STAGES.index, stages)))
        )
        for cell in matrix.cells:
            chaos.try_cell(bench, cell)
            print(f"{cell.stage} {cell.fault}: {cell.outcome} ({cell.fired}, {cell.seconds} s)", flush=True)
            options.out.write_text(render(matrix, bench))
    finally:
        bench.close()
        chaos.shutil.rmtree(bench.home, ignore_errors=True)
    sys.exit(1 if matrix.wrong else 0)


def render(matrix: Any, bench: FarBench) -> str:
    """The table of scripts/chaos under words of its own."""
    lines = chaos.table(matrix, bench.requests).splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("| fault"))
    words = [
        "# Chaos with the objects elsewhere", "",
        "Written by `scripts/chaos_storage.py`: a server with `--s3`, a second one that plays the S3 service, and clients that use",
        f"both. A fault lasts {bench.seconds:.0f} seconds; then the same command runs again. A cell holds as in [chaos.md](chaos.md).", "",
    ]  # fmt: skip
    return "\n".join([*words, lines[head - 2], "", *lines[head:], ""])


if __name__ == "__main__":
    main()
