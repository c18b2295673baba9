"""The server process: one port, one data folder, until SIGINT or SIGTERM.

`python -m gtseg.local.server --data DIR --port 0` serves in the foreground and prints its URL. Who answers a request
is decided in `front`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from gtseg.local.embedded import Component, Embedded, Options
from gtseg.local.errors import ServiceError
from gtseg.local.front.app import Front, build
from gtseg.local.front.connections import BACKLOG, bound_connections
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.store import Store, write_atomically

__all__ = ["Front", "build", "serve"]

KEEP_ALIVE_SECONDS = 75
HANDSHAKE_SECONDS = 10.0
logger = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """uvicorn that ends cleanly on SIGINT and SIGTERM instead of raising them again."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve the sockets; a TLS handshake has its time too, which uvicorn's own startup does not bound."""
        await super().startup([])
        if not self.started:
            return
        loop = asyncio.get_running_loop()
        for listener in sockets or []:
            server = await loop.create_server(
                self._make_protocol,
                sock=listener,
                backlog=BACKLOG,
                ssl=self.config.ssl,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self.config.ssl else None,
            )
            self.servers.append(server)
        self._on_started()

    def _make_protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        try:
            previous = {
                number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
            }
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
    """Serve a data folder in the foreground until SIGINT or SIGTERM. `on_ready` is called once requests are answered.
    `tls`: certificate and private key (PEM) to serve HTTPS with.

    Raises ServiceError DataFolderInUse if another process serves this folder, OSError if the port is taken.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _lock_folder(folder), contextlib.closing(_listen(host, port)) as listener:
        url = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        store = Store(folder, region=region)
        objects = FolderObjects(folder)
        embedded = Embedded(store=store, objects=objects, options=options or Options(), url=url)
        front = build(embedded, objects)
        components: list[Component] = [objects, *front.components]
        try:
            with _run_components(components), _announce(folder, url):
                _run_server(
                    front,
                    listener,
                    lambda: on_ready(embedded) if on_ready is not None else None,
                    options=embedded.options,
                    tls=tls,
                )
        finally:
            front.close()
            store.close()


def _run_server(
    front: Front,
    listener: socket.socket,
    on_started: Callable[[], None],
    *,
    options: Options,
    tls: tuple[Path, Path] | None = None,
) -> None:
    config = uvicorn.Config(
        front,
        http=bound_connections(options.head_seconds),
        proxy_headers=bool(options.trusted_proxies),
        forwarded_allow_ips=list(options.trusted_proxies),
        ws="none",
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=3,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )
    _Server(config, on_started).run(sockets=[listener])


@contextlib.contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it however this process ends."""
    with open(folder / "lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError(
                "DataFolderInUse", f"another server is using the data folder {folder}"
            ) from None
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


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
def _announce(folder: Path, url: str) -> Iterator[None]:
    """DATA/server.json says where this folder is served, as long as it is."""
    path = folder / "server.json"
    write_atomically(path, json.dumps({"url": url, "pid": os.getpid()}).encode())
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
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
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
    for name in ("names", "trusted_proxies"):
        fields[name] = tuple(fields.get(name, ()))
    return Options(**fields)


if __name__ == "__main__":
    main()
