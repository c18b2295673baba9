"""The server proves its identity before clients send tokens or signed requests."""

from __future__ import annotations

import contextlib
import fcntl
import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.local import identity
from gtseg.local.environment import find_serving
from gtseg.local.execute import ask_server, execute, run_crowd_here
from gtseg.local.identity import FalseServer, connect, find_challenge, make_proof, prove
from gtseg.local.labeling.crowd import WorkerApiClient
from gtseg.local.options import ServerOptions

Heard = list[tuple[str, str | None]]


@contextmanager
def impostor(port: int = 0, *, relay_to: str = "") -> Iterator[tuple[str, Heard]]:
    """(address, received paths and Authorization headers). Answers 200, or relays to the server."""
    heard: Heard = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            heard.append((self.path.partition("?")[0], self.headers.get("Authorization")))
            body = b'{"proof": "00", "workers": [], "token": "t", "jobs": []}'
            if relay_to:
                with urllib.request.urlopen(relay_to + self.path, timeout=30) as answer:
                    body = answer.read()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def held_lock(folder: Path) -> Iterator[None]:
    with open(folder / "lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_another_listener_on_the_port_of_a_killed_server_gets_no_token(local_aws: Any, tmp_path: Path) -> None:
    folder, url = local_aws.folder, local_aws.url
    assert ask_server(folder, "GET", "/workers") == {"workers": []}
    keys = json.loads((folder / "credentials.json").read_bytes())
    working = WorkerApiClient(url, keys["owner_token"], secret_key=keys["secret_key"])
    assert working.request("GET", "/workers") == {"workers": []}
    port = local_aws.port
    local_aws.kill9()
    with impostor(port) as (_, heard):
        assert find_serving(folder) is None
        with pytest.raises(RuntimeError, match="No server is running on"):
            ask_server(folder, "GET", "/workers")
        assert heard == []
        with held_lock(folder):  # a server of this folder that is starting
            with pytest.raises(RuntimeError, match="does not respond as its server"):
                ask_server(folder, "GET", "/workers")
            with pytest.raises(RuntimeError, match="does not respond as its server"):
                run_crowd_here(folder, None, masks=tmp_path, workers=1)
        with pytest.raises(FalseServer, match="is not that of this data folder"):
            working.request("GET", "/workers")  # whoever was connected comes back to the same address
        code = execute(
            ["sh", "-c", 'test "$AWS_ENDPOINT_URL" != "$0"', url],
            folder,
            options=ServerOptions(),
            region="us-east-1",
        )
        assert code == 0  # a server of its own
        assert set(heard) == {(identity.PATH, None)}


def test_a_relayed_challenge_does_not_prove_the_servers_identity(shared_aws: Any) -> None:
    keys = json.loads((shared_aws.folder / "credentials.json").read_bytes())
    connection = connect(shared_aws.url, certificate=None, timeout=10)
    prove(connection, secret_key=keys["secret_key"], url=shared_aws.url)
    connection.close()
    with impostor(relay_to=shared_aws.url) as (url, heard), pytest.raises(FalseServer):
        prove(connect(url, certificate=None, timeout=10), secret_key=keys["secret_key"], url=url)
    assert heard == [(identity.PATH, None)]


def test_the_data_folders_token_is_not_sent_to_another_address(shared_aws: Any, tmp_path: Path) -> None:
    with impostor() as (url, heard), pytest.raises(RuntimeError, match="GTSEG_OWNER_TOKEN"):
        run_crowd_here(shared_aws.folder, url, masks=tmp_path, workers=1)
    assert heard == []


@given(st.binary(max_size=80))
def test_only_a_challenge_of_full_length_is_answered(query: bytes) -> None:
    assert find_challenge(query) is None
    challenge = query.hex().ljust(64, "0")[:64]
    assert find_challenge(f"challenge={challenge}".encode()) == challenge
    assert make_proof("s", challenge, "http://a") != make_proof("s", challenge, "http://b")


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
ANSWERS = {
    "nothing": (b"", b""),
    "a list in a list in a list": (HEAD % 4096 + b"[" * 4096, b""),
    "no UTF-8": (HEAD % 3 + b"\xff\xfe\xfd", b""),
    "a proof that is no text": (HEAD % 13 + b'{"proof": [1]}', b""),
    "a proof of other letters": (HEAD % 15 + '{"proof": "é"}'.encode(), b""),
    "a number of thousands of digits": (HEAD % 4096 + b"1" * 4096, b""),
    "headers without end": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200, b""),
    "a head that drips": (b"HTTP/1.1 200 OK\r\na: ", b"b"),
    "a body that drips": (HEAD % 4000, b" "),
    "patience, again and again": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a chunk that drips": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffff\r\n", b"a"),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x28", b""),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_impostors_response_is_refused_within_the_time_limit(name: str) -> None:
    words, drip = ANSWERS[name]
    over = threading.Event()

    def answer(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        heard.append(accepted.recv(4096))
        with contextlib.suppress(OSError):
            accepted.sendall(words)
            while not over.wait(0.05):
                accepted.sendall(drip)
        with contextlib.suppress(OSError):
            heard.append(accepted.recv(4096))
        accepted.close()

    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(OSError):
            prove(connect(url, certificate=None, timeout=0.5), secret_key="secret", url=url)
        assert thread.is_alive(), "the answer still drips in"
        over.set()
        thread.join(20)
    assert heard[0].startswith(b"GET /_gtseg/identity?challenge=")
    assert b"".join(heard[1:]) == b""


def test_a_replayed_proof_is_refused() -> None:
    old = make_proof("secret", "0" * 64, "http://127.0.0.1:1")

    def replay(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        accepted.recv(4096)
        body = json.dumps({"proof": old}).encode()
        accepted.sendall(HEAD % len(body) + body)
        accepted.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=replay, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(FalseServer):
            prove(connect(url, certificate=None, timeout=10), secret_key="secret", url=url)
