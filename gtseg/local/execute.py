"""Running the server in the foreground, and running a command against a server.

`execute` runs the server in a child process, so that a crash of the server is not one of the command; a pipe that only
the parent holds open ends the server however the parent ends, including kill -9.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gtseg.local.environment import Serving, environment, find_certificate, find_serving, is_served, variables
from gtseg.local.errors import IN_USE_CODE, FolderInUse
from gtseg.local.options import ServerOptions
from gtseg.local.terminal import show_warnings

if TYPE_CHECKING:
    from gtseg.local.embedded import Options


START_SECONDS = 60.0
STOP_SECONDS = 20.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


# --- up ---


def serve_here(
    folder: Path,
    host: str,
    port: int,
    *,
    options: Options,
    region: str,
    tls: tuple[Path, Path] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; print the variables to export once the server accepts requests.

    Raises ServiceError, OSError if the server cannot start.
    """
    from gtseg.local.embedded import Embedded
    from gtseg.local.server import serve

    def announce(embedded: Embedded) -> None:
        keys = embedded.store.credentials
        serving = Serving(embedded.url, os.getpid(), keys.access_key, keys.secret_key, keys.owner_token)
        for line in export_lines(serving, folder, region, options=options):
            print(line, flush=True)
        for name in ("NO_PROXY", "no_proxy"):
            print(f'export {name}="${{{name}:+${name},}}{_no_proxy_hosts(embedded.url)}"', flush=True)
        print(f"Serving {folder} at {embedded.url}. Ctrl-C stops it; its data is kept.", file=sys.stderr)
        _warn_if_reachable(host, port, tls=tls)

    show_warnings()
    _end_with_parent()
    serve(folder, host, port, options=options, on_ready=announce, region=region, tls=tls)


def export_lines(serving: Serving, folder: Path, region: str, *, options: Options) -> list[str]:
    """Return shell lines that direct clients to this server, and to the objects' S3 service.

    The keys of an S3 service given by URL are valid for both; with AWS's S3, only labeling uses this server, through a
    profile.
    """
    if options.s3 == "aws" or (options.s3 and options.only):
        return [
            "# Clients use this server through a profile, and everything else as before:",
            f"#   gtseg local profile labels --write --data {shlex.quote(str(folder))}",
            '# and in gtseg.toml: [labeling] profile = "labels"',
        ]
    if options.s3:
        values = {
            "AWS_ENDPOINT_URL": serving.url,
            "AWS_ENDPOINT_URL_S3": options.s3,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "GTSEG_LOCAL_DATA": str(folder),
            **({"AWS_PROFILE": options.s3_profile} if options.s3_profile else {}),
        }
        keys = "# Keys: those of the S3 service, which this server accepts too."
        return [keys, *(f"export {name}={shlex.quote(value)}" for name, value in values.items())]
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables(serving, folder, region).items()]
    return [*exports, "unset AWS_PROFILE AWS_SESSION_TOKEN"]


def _no_proxy_hosts(url: str) -> str:
    """Return the hosts that a client must reach without a proxy, in NO_PROXY's form."""
    host = urlsplit(url).hostname or ""
    return ",".join(dict.fromkeys([host, "127.0.0.1", "localhost"]))


def _warn_if_reachable(host: str, port: int, *, tls: tuple[Path, Path] | None) -> None:
    """Warn on stderr if other machines can reach the server, and if its traffic is not encrypted."""
    if host in LOOPBACK:
        return
    print(
        f"Other machines can reach this server on {host}: it is only protected by its keys and worker tokens.",
        file=sys.stderr,
    )
    if tls is None:
        print(
            "Its traffic is not encrypted. Use --tls-cert FILE --tls-key FILE, or a TLS proxy, e.g.\n"
            f"  caddy reverse-proxy --from your.host.name --to 127.0.0.1:{port}\n"
            "with --name your.host.name --trusted-proxy 127.0.0.1",
            file=sys.stderr,
        )


PARENT_PIPE = "GTSEG_LOCAL_PARENT_PIPE"


def _end_with_parent() -> None:
    """Stop with the parent process if `execute` started this one: standard input is then a pipe, which ends with the
    parent.
    """
    if os.environ.pop(PARENT_PIPE, "") != "stdin":
        return

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


# --- crowd, workers ---


def _require_serving(folder: Path) -> Serving:
    """Return the running server of a data folder. Raises RuntimeError if there is none."""
    serving = find_serving(folder)
    if serving is not None:
        return serving
    if is_served(folder):
        raise RuntimeError(
            f"A server has {folder} open but does not respond as its server: it is starting or hangs. Nothing was "
            "sent. Try again; if that fails, stop the server and start it again."
        )
    raise RuntimeError(f"No server is running on {folder}. Start it: gtseg local up --data {shlex.quote(str(folder))}")


def ask_server(folder: Path, method: str, path: str, document: Any = None) -> Any:
    """Send a request to the owner's API; return its JSON response. Raises RuntimeError with the server's reason."""
    from gtseg.local.labeling.crowd import RequestRejected, WorkerApiClient

    serving = _require_serving(folder)
    try:
        server = WorkerApiClient(
            serving.url,
            serving.owner_token,
            certificate=find_certificate(folder),
            secret_key=serving.secret_key,
        )
        return server.request(method, path, document)
    except RequestRejected as error:
        raise RuntimeError(error.reason) from None


def _find_secret_key(folder: Path, owner_token: str) -> str | None:
    """Return the secret key of the folder if the token is the folder's own, else None."""
    from gtseg.local.storage.store import read_credentials

    try:
        keys = read_credentials(folder / "credentials.json")
    except FileNotFoundError:
        return None
    return keys.secret_key if keys.owner_token == owner_token else None


def run_crowd_here(folder: Path, url: str | None, **crowd: Any) -> None:
    """Run simulated workers until SIGINT or SIGTERM. Raises RuntimeError, OSError."""
    from gtseg.local.labeling.crowd import CrowdSettings, RequestRejected, run_crowd

    owner_token, secret_key = os.environ.get("GTSEG_OWNER_TOKEN", ""), None
    if url is None:
        serving = _require_serving(folder)
        url, owner_token, secret_key = serving.url, serving.owner_token, serving.secret_key
    elif not owner_token:
        raise RuntimeError(
            "--url requires the token of that server in $GTSEG_OWNER_TOKEN; the data folder's own token is not sent to "
            "other servers."
        )
    else:
        secret_key = _find_secret_key(folder, owner_token)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    _end_with_parent()
    print(f"{crowd['workers']} simulated workers at {url}. Ctrl-C stops them.", file=sys.stderr)
    try:
        answered = run_crowd(
            url,
            owner_token,
            CrowdSettings(**crowd),
            stop=stop,
            certificate=find_certificate(folder),
            secret_key=secret_key,
        )
    except RequestRejected as error:
        raise RuntimeError(f"The server rejected the crowd: {error}") from None
    print(f"The crowd submitted {answered} answers.", file=sys.stderr)


# --- exec ---


def execute(command: Sequence[str], folder: Path, *, options: ServerOptions, region: str) -> int:
    """Run `command` with the server of `folder` as AWS, starting one unless it is running.

    Return the command's exit code.

    127: not found, 126: not executable, 128+n: terminated by signal n. Raises RuntimeError if the server does not
    start, FolderInUse if another server uses the folder.
    """
    with hold_server(folder, options=options, region=region) as (serving, ends_with_command):
        env = environment(os.environ, serving, folder, region=region)
        if ends_with_command:  # tells clients that the server stops with the command
            env["GTSEG_LOCAL_EXEC"] = serving.url
        return _run_command(command, env)


@contextlib.contextmanager
def hold_server(folder: Path, *, options: ServerOptions, region: str) -> Iterator[tuple[Serving, bool]]:
    """Yield the folder's server, and whether it was started here and stops with this process."""
    serving = find_serving(folder)
    if serving is not None:
        if options != ServerOptions():
            raise FolderInUse(
                f"{folder} is already served at {serving.url} with its own options. Stop that server first, or omit "
                "--train-seconds, --faults, --max-jobs, --outline-model and --crowd-*."
            )
        yield serving, False
        return
    child, log = start_server(folder, options=options, region=region)
    try:
        yield _await_server(child, folder, log), True
    finally:
        _stop_server(child)


def start_server(folder: Path, *, options: ServerOptions, region: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the server as a child in its own session, so that a terminal's Ctrl-C only reaches the command.

    Raises ServiceError if a file of the data folder is not a regular file.
    """
    from gtseg.local.storage.layout import check_kinds

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_kinds(folder)
    log = folder / "server.log"
    log.touch(mode=0o600)
    arguments = ["up", f"--data={folder}", "--port=0", f"--region={region}", *options.flags()]
    with open(log, "ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "gtseg.local.cli", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=output,
            env={**os.environ, PARENT_PIPE: "stdin"},
            start_new_session=True,
        )
    return child, log


def _await_server(child: subprocess.Popen[bytes], folder: Path, log: Path) -> Serving:
    """Wait until the child serves the folder.

    Raises RuntimeError with its last output if it does not, FolderInUse if another server uses the folder.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        serving = find_serving(folder)
        if serving is not None and serving.pid == child.pid:
            return serving
        if child.poll() is not None:
            break
        time.sleep(0.02)
    last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
    problem = f"The server did not start: {' '.join(last) or 'no output'} (see {log})"
    raise FolderInUse(problem) if child.poll() == IN_USE_CODE else RuntimeError(problem)


def _stop_server(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    finally:
        if child.stdin is not None:
            child.stdin.close()


def _run_command(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a command in the foreground; forward signals sent to this process only. Returns its exit code."""
    try:
        child = subprocess.Popen(command, env=env)
    except FileNotFoundError:
        print(f"gtseg: {command[0]}: command not found", file=sys.stderr)
        return 127
    except PermissionError:
        print(f"gtseg: {command[0]}: not executable", file=sys.stderr)
        return 126
    with _forward_signals(child):
        code = child.wait()
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def _forward_signals(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Forward signals to the child for the duration of the block."""

    def forward(number: int, frame: FrameType | None) -> None:
        # A terminal sends Ctrl-C to the command too; forwarding would repeat it.
        if not (number == signal.SIGINT and _in_terminal()):
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)

    previous = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _in_terminal() -> bool:
    """Return whether this process is in the foreground of a terminal."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
