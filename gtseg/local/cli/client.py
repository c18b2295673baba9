"""What the commands of `gtseg local` share: the data folder, errors in one line, the running server and questions to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.local.errors import ServiceError
from gtseg.local.terminal import show

if TYPE_CHECKING:
    from gtseg.local.environment import Serving

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of everything it keeps. [$GTSEG_LOCAL_DATA or ~/.local/share/gtseg]"),
]


def find_folder(data: Path | None) -> Path:
    """--data, $GTSEG_LOCAL_DATA or ~/.local/share/gtseg, absolute."""
    return (data or Path(os.environ.get("GTSEG_LOCAL_DATA") or "~/.local/share/gtseg")).expanduser().absolute()


def explain(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, ServiceError):
        return error.message
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(str(error).split())


def fail(message: object, code: int) -> typer.Exit:
    show(f"gtseg: {message}", err=True)
    return typer.Exit(code)


def find_own_server(data: Path | None) -> Serving | None:
    """The server of the data folder, if it runs and proves to be it."""
    from gtseg.local.environment import find_serving

    try:
        return find_serving(find_folder(data))
    except ServiceError as error:
        raise fail(explain(error), 1) from None


def require_own_server(data: Path | None) -> Serving:
    """The running server of the data folder. Raises typer.Exit 3 where none runs."""
    serving = find_own_server(data)
    if serving is None:
        raise fail("No server is running on this data folder: start it with `gtseg local up`.", 3)
    return serving


def make_link(data: Path | None, at: str | None, token: str) -> str:
    """A link that signs its holder in: what follows # stays in the browser, out of every log."""
    return f"{find_base(data, at, what='link')}/_portal/signin#{token}"


def find_base(data: Path | None, at: str | None, *, what: str) -> str:
    """The address under which people and clients reach the server, without a slash at its end; said where only this machine does."""
    serving = find_own_server(data)
    base = at or (serving.url if serving else "")
    base = base.replace("//0.0.0.0:", f"//{find_own_address()}:").replace("//[::]:", f"//{find_own_address()}:")
    if at is None and "//127.0.0.1:" in base:
        show(
            f"The {what} works on this machine only: serve with --host 0.0.0.0, or give --at ADDRESS.",
            err=True,
        )
    return base.rstrip("/")


def find_own_address() -> str:
    """This machine's address on its network, as the way out would use it; nothing is sent."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def ask_owner(data: Path | None, method: str, path: str, document: Any = None) -> Any:
    """One request of the owner to the server of this data folder."""
    from gtseg.local.execute import ask_server

    try:
        return ask_server(find_folder(data), method, path, document)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None
