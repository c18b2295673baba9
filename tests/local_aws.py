"""Embedded AWS as a process with its own port and data folder."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import boto3
from botocore.config import Config

from gtseg.local.storage.database import Database

START_SECONDS = 60


class LocalAWS:
    """A server process: `url`, credentials, `client(service)`, `kill9()`, `stop()`, `restart()`."""

    def __init__(
        self,
        folder: Path,
        *,
        options: dict[str, Any] | None = None,
        region: str = "us-east-1",
        open_files: int | None = None,
        variables: dict[str, str] | None = None,
    ) -> None:
        self.open_files, self.variables = open_files, variables or {}
        self.folder, self.options, self.region = folder, options or {}, region
        self.log = folder.with_name(folder.name + ".log")
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.start()

    def start(self, *, port: int = 0) -> None:
        """Start the server; `port` of an earlier start (`aws.port`) keeps its address."""
        command = [*self._command(), "--data", str(self.folder), "--port", str(port), "--region", self.region]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**self._inherited(), "OMP_NUM_THREADS": "1", **self.variables},
                preexec_fn=self._limit_files if self.open_files else None,
            )
        assert self._process.stdout is not None
        self.url = self._read_url(self._process.stdout)
        if not self.url:
            raise RuntimeError(f"the server did not start:\n{self.log.read_text()[-4000:]}")
        credentials = json.loads((self.folder / "credentials.json").read_bytes())
        self.access_key, self.secret_key = credentials["access_key"], credentials["secret_key"]
        self.owner_token = credentials["owner_token"]

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "gtseg.local.server", "--options", json.dumps(self.options, default=str)]

    def _inherited(self) -> dict[str, str]:
        return dict(os.environ)

    def _read_url(self, printed: IO[str]) -> str:
        """What the server printed when it was ready; "" if it ended."""
        return printed.readline().strip()

    def _limit_files(self) -> None:
        """Set `ulimit -n` in the server's process."""
        assert self.open_files is not None
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.open_files, self.open_files))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that `gtseg local exec` sets, added to the caller's without other AWS settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **kept,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def billed_environment(self, *, via: str = "") -> dict[str, str]:
        """Return the same with SageMaker at a host name of AWS, where work is billed; HTTP_PROXY is this server.

        S3 keeps the server's address. `via`: a proxy in front of the server for all requests.
        """
        here = via or self.url
        return {
            **self.environment,
            "AWS_ENDPOINT_URL": "http://api.gtseg.amazonaws.com",
            "AWS_ENDPOINT_URL_S3": here,
            "HTTP_PROXY": here,
            "http_proxy": here,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def client(self, service: str, *, config: Config | None = None, **overrides: Any) -> Any:
        """Return a boto3 client of this server with its credentials and standard retries."""
        settings = {
            "endpoint_url": self.url,
            "region_name": self.region,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "config": config or Config(retries={"mode": "standard"}),
        }
        return boto3.Session().client(service, **{**settings, **overrides})

    def calls(self) -> list[dict[str, Any]]:
        """Return DATA/calls.jsonl: the changing calls, in order."""
        return [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]

    def kill9(self) -> None:
        self._end(signal.SIGKILL)

    def change_state(self, sql: str, *values: Any) -> None:
        """Run statements on the database of a killed server.

        A plain SQLite connection would checkpoint the write-ahead log and leave the mark of a running server.
        """
        with contextlib.closing(Database(self.folder / "state.sqlite3")) as database:
            with database.write() as connection:
                connection.execute(sql, values)

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        return self._end(signal.SIGTERM)

    def restart(self) -> None:
        """End the process if it still runs and start another on the same data folder; `url` changes."""
        if self._process is not None:
            self.stop()
        self.start()

    def _end(self, number: signal.Signals) -> int:
        process = self._process
        if process is None:
            return 0
        self._process = None
        process.send_signal(number)
        try:
            return process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert process.stdout is not None
            process.stdout.close()


class CommandAWS(LocalAWS):
    """The same by `gtseg local up`: `options` are its flags, {"s3": "aws"}; AWS is configured by `variables` alone."""

    def _command(self) -> list[str]:
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in self.options.items()]
        return [sys.executable, "-m", "gtseg", "local", "up", *flags]

    def _inherited(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GTSEG_"))}

    def _read_url(self, printed: IO[str]) -> str:
        lines = iter(printed.readline, "")
        next(lines, "")  # the first lines to export or read are printed when the server is ready
        try:
            return str(json.loads((self.folder / "server.json").read_bytes())["url"])
        except FileNotFoundError:
            return ""
