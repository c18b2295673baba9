"""The server process: one port, one data folder, until SIGINT or SIGTERM.

`python -m gtseg.local.server --data DIR --port 0` serves in the foreground and prints its URL. Requests are routed by
`front`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from gtseg.local.clock import ClockKeeper
from gtseg.local.embedded import Component, Embedded, Options
from gtseg.local.errors import ServiceError
from gtseg.local.front.acknowledgment import Acknowledgment
from gtseg.local.front.app import build
from gtseg.local.front.connections import BACKLOG, bound_connections
from gtseg.local.front.handshakes import accept_all
from gtseg.local.labeling.pictures import return_large_blocks
from gtseg.local.labeling.records import count_unfinished
from gtseg.local.storage.atomic_files import write_atomically
from gtseg.local.storage.database import SCHEMA
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.layout import (
    check_kinds,
    examine_folder,
    keep_layout,
    keep_storage,
    read_boot,
    restrict_permissions,
)
from gtseg.local.storage.outages import WaitingObjects
from gtseg.local.storage.store import Store
from gtseg.local.storage.sync import Barrier
from gtseg.local.terminal import show_warnings

if TYPE_CHECKING:
    from gtseg.local.storage.bucket import BucketObjects


KEEP_ALIVE_SECONDS = 75
DRAIN_SECONDS = 10
"""Time for requests in progress when the server is stopped, such as a response of many megabytes."""
LOCK_TRIES, LOCK_PAUSE = 10, 0.05
logger = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """uvicorn server that ends cleanly on SIGINT and SIGTERM instead of raising them again."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._accepting: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve the sockets; TLS handshakes are counted and limited in time, which uvicorn's own
        startup does not do.
        """
        await super().startup([])
        if not self.started:
            return
        loop = asyncio.get_running_loop()
        for listener in sockets or []:
            if self.config.ssl is None:
                server = await loop.create_server(self._make_protocol, sock=listener, backlog=BACKLOG)
                self.servers.append(server)
            else:
                kind: Any = self.config.http_protocol_class
                accepting = accept_all(listener, self._make_protocol, context=self.config.ssl, admitted=kind.admitted)
                self._accepting.append(loop.create_task(accepting))
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for accepting in self._accepting:
            accepting.cancel()
        await super().shutdown(sockets)

    def _make_protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        try:
            previous = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread
            previous = {}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def serve(
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    options: Options | None = None,
    on_ready: Callable[[Embedded], None] | None = None,
    region: str = "us-east-1",
    tls: tuple[Path, Path] | None = None,
) -> None:
    """Serve a data folder in the foreground until SIGINT or SIGTERM.

    `on_ready` is called once the server accepts requests. `tls`: certificate and private key (PEM) to serve HTTPS.
    Raises ServiceError DataFolderInUse if another process serves this folder, OSError if the port is taken.
    """
    return_large_blocks()
    folder = Path(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_kinds(folder)
    with (
        _private_files(),
        _lock_folder(folder),
        contextlib.closing(_listen(host, port)) as listener,
        contextlib.ExitStack() as opened,
    ):
        url = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        store, objects = open_folder(folder, region, opened=opened)
        _keep_certificate(folder, tls)
        options = options or Options()
        keep_storage(folder, options.s3, unfinished=count_unfinished(store))
        storage = _open_storage(folder, options, opened=opened) if options.s3 else None
        waiting = [WaitingObjects(storage)] if storage is not None else []
        embedded = Embedded(store, storage or objects, options, url, *waiting)
        front = build(embedded, objects if storage is None else None)
        if storage is not None:
            front.find_owner_secret = storage.connection.find_secret
        opened.callback(front.close)
        barrier = Barrier([objects.index.database.log, store.database.log])
        opened.callback(barrier.close)
        storages: list[Component] = [objects] if storage is None else [objects, storage]
        components = [*storages, ClockKeeper(store), *front.components, *waiting]
        with _run_components(components), _announce(folder, url, region):
            _run_server(
                Acknowledgment(front, barrier),
                listener,
                lambda: on_ready(embedded) if on_ready is not None else None,
                options=embedded.options,
                tls=tls,
            )


def open_folder(folder: Path, region: str, *, opened: contextlib.ExitStack) -> tuple[Store, FolderObjects]:
    """Open the databases of a folder after checking them; `opened` closes them. Raises ServiceError."""
    layout = examine_folder(folder)
    (folder / "server.json").unlink(missing_ok=True)  # left by a killed server
    restrict_permissions(folder, everything=layout.schema < SCHEMA)
    if layout.schema and not (folder / "credentials.json").exists():
        logger.warning("%s was missing; new AWS keys and a new owner token are created", folder / "credentials.json")
    store = Store(folder, region=region)
    opened.callback(store.close)
    objects = FolderObjects(folder)
    opened.callback(objects.close)
    store.database.before_commit = objects.index.database.sync_own
    keep_layout(folder)
    return store, objects


def _open_storage(folder: Path, options: Options, *, opened: contextlib.ExitStack) -> BucketObjects:
    """Open the objects of an S3 service with their cache in the data folder; `opened` closes them.

    Raises ServiceError.
    """
    from gtseg.local.storage.bucket import BucketObjects
    from gtseg.local.storage.cache import Cache
    from gtseg.local.storage.connection import Connection

    connection = Connection(options.s3, options.s3_profile)
    storage = BucketObjects(connection, Cache(folder / "cache", int(options.cache_gb * 1e9)))
    opened.callback(storage.close)
    return storage


def _keep_certificate(folder: Path, tls: tuple[Path, Path] | None) -> None:
    """Copy the certificate to DATA/server.crt, which the folder's own clients trust; remove it without TLS."""
    if tls is None:
        (folder / "server.crt").unlink(missing_ok=True)
    else:
        write_atomically(folder / "server.crt", tls[0].read_bytes())


@contextlib.contextmanager
def _private_files() -> Iterator[None]:
    """Create files of this process and its children with access for this user only."""
    previous = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(previous)


def _run_server(
    application: Acknowledgment,
    listener: socket.socket,
    on_started: Callable[[], None],
    *,
    options: Options,
    tls: tuple[Path, Path] | None = None,
) -> None:
    config = uvicorn.Config(
        application,
        http=bound_connections(options.head_seconds),
        proxy_headers=bool(options.trusted_proxies),
        forwarded_allow_ips=list(options.trusted_proxies),
        ws="none",
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
        log_level="error",  # invalid HTTP is not logged: clients could fill the log
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )
    _Server(config, on_started).run(sockets=[listener])


@contextlib.contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for the duration of the block; the kernel releases it however this process ends."""
    with open(folder / "lock", "a") as file:
        _take_lock(file.fileno(), folder)
        yield


def _take_lock(descriptor: int, folder: Path) -> None:
    """Acquire the lock. Raises ServiceError DataFolderInUse. A client that tests the lock holds it for an instant."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE)
        else:
            return
    raise ServiceError("DataFolderInUse", f"another server is using the data folder {folder}")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ServiceError("NoListener", _explain_address(error, host, port)) from None
    return listener


def _explain_address(error: OSError, host: str, port: int) -> str:
    reasons = {
        errno.EADDRINUSE: f"port {port} of {host} is in use by another program",
        errno.EACCES: f"this user is not permitted to listen on port {port}",
        errno.EADDRNOTAVAIL: f"{host} is not an address of this machine. Choose another one with --host.",
    }
    reason = reasons.get(error.errno or 0, f"cannot listen on {host}, port {port} ({error.strerror or error})")
    if error.errno == errno.EADDRNOTAVAIL:
        return reason
    return f"{reason}. Choose another port with --port (0: any free port)."


@contextlib.contextmanager
def _run_components(components: list[Component]) -> Iterator[None]:
    started: list[Component] = []
    try:
        for component in components:
            component.start()
            started.append(component)
        yield
    finally:
        for component in reversed(started):
            try:
                component.stop()
            except Exception:
                logger.exception("%s did not stop", type(component).__name__)


@contextlib.contextmanager
def _announce(folder: Path, url: str, region: str) -> Iterator[None]:
    """Write DATA/server.json, the location of the folder's server, for the duration of the block."""
    path = folder / "server.json"
    place = {"url": url, "region": region, "pid": os.getpid(), "schema": SCHEMA, "boot": read_boot()}
    write_atomically(path, json.dumps(place).encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m gtseg.local.server")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--options", default="{}", help="JSON: fields of embedded.Options")
    chosen = parser.parse_args(arguments)
    show_warnings()
    try:
        serve(
            chosen.data,
            chosen.host,
            chosen.port,
            options=_read_options(chosen.options),
            on_ready=lambda embedded: print(embedded.url, flush=True),
            region=chosen.region,
        )
    except (ServiceError, OSError) as error:
        sys.exit(f"gtseg: {error}")


def _read_options(text: str) -> Options:
    fields = json.loads(text)
    for name in ("crowd_masks", "faults"):
        if fields.get(name):
            fields[name] = Path(fields[name])
    if fields.get("outline_model"):
        fields["outline_model"] = [Path(name) for name in fields["outline_model"]]
    for name in ("names", "trusted_proxies"):
        fields[name] = tuple(fields.get(name, ()))
    return Options(**fields)


if __name__ == "__main__":
    main()
