"""Functions that the `gtseg local` commands share: the data folder, error messages, requests to the running server."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.local.errors import IN_USE_CODE, FolderInUse, ServiceError
from gtseg.local.terminal import show

if TYPE_CHECKING:
    from gtseg.local.environment import Serving

_URL = re.compile(r"\s*(?:s3:|https?:/|arn:)", re.IGNORECASE)
"""URL or ARN as a path, which has only one of its slashes."""
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Data folder. [$GTSEG_LOCAL_DATA or ~/.local/share/gtseg]"),
]


def find_folder(data: Path | None) -> Path:
    """Return the absolute data folder: --data, $GTSEG_LOCAL_DATA or ~/.local/share/gtseg.

    Raises BadParameter for a URL.
    """
    if data:
        return check_path(data, "--data")
    return check_path(Path(os.environ.get("GTSEG_LOCAL_DATA") or "~/.local/share/gtseg"), "GTSEG_LOCAL_DATA")


def check_path(path: Path, name: str) -> Path:
    """Return an absolute path. Raises BadParameter naming the argument for an S3 URI or another URL."""
    if _URL.match(str(path)):
        words = "must be a path on this machine; copy files from or to S3 with `aws s3 cp` or `aws s3 sync`"
        raise typer.BadParameter(f"{name} {path}: {words}")
    return path.expanduser().absolute()


def check_url(text: str | None) -> str | None:
    """Callback of options that are URLs of a server. Raises BadParameter for another text."""
    from urllib.parse import urlsplit

    try:
        url = urlsplit(text or "http://unset")
        is_url = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # an invalid port or IPv6 address
        is_url = False
    if not is_url:
        raise typer.BadParameter(f"{text}: must be the URL of a server, like https://label.local")
    return text


def explain(error: Exception) -> str:
    """Return an error's message as one line."""
    if isinstance(error, ServiceError):
        return error.message
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(str(error).split())


def fail(message: object, code: int) -> typer.Exit:
    """Print an error message; return the typer.Exit to raise."""
    show(f"gtseg: {message}", err=True)
    return typer.Exit(code)


def exit_code_of(error: Exception) -> int:
    """Return the exit code of a command that an error ends."""
    is_in_use = isinstance(error, FolderInUse) or (isinstance(error, ServiceError) and error.code == "DataFolderInUse")
    return IN_USE_CODE if is_in_use else 1


def _find_own_server(data: Path | None) -> Serving | None:
    """Return the running server of the data folder, after it has proved its identity; None if there is none."""
    from gtseg.local.environment import find_serving

    try:
        return find_serving(find_folder(data))
    except ServiceError as error:
        raise fail(explain(error), 1) from None


def require_own_server(data: Path | None) -> Serving:
    """Return the running server of the data folder. Raises typer.Exit 3 if there is none."""
    serving = _find_own_server(data)
    if serving is None:
        raise fail(f"No server is running on the data folder {find_folder(data)}. Start it with `gtseg local up`.", 3)
    return serving


def make_link(data: Path | None, at: str | None, token: str) -> str:
    """Return a sign-in link; browsers do not send the part after #, so that it is in no log."""
    return f"{find_base(data, at, what='link')}/_portal/signin#{token}"


def find_base(data: Path | None, at: str | None, *, what: str) -> str:
    """Return the server's public address without a trailing slash; warn if it only works on this machine."""
    serving = _find_own_server(data)
    base = at or (serving.url if serving else "")
    base = base.replace("//0.0.0.0:", f"//{_find_own_address()}:").replace("//[::]:", f"//{_find_own_address()}:")
    if at is None and "//127.0.0.1:" in base:
        show(
            f"The {what} only works on this machine. Serve with --host 0.0.0.0, or set --at ADDRESS.",
            err=True,
        )
    return base.rstrip("/")


def _find_own_address() -> str:
    """Return this machine's address on its network, from the route to the outside; sends nothing."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def ask_owner(data: Path | None, method: str, path: str, document: Any = None) -> Any:
    """Send a request with the owner's token to the server of the data folder; return its JSON response."""
    from gtseg.local.execute import ask_server

    try:
        return ask_server(find_folder(data), method, path, document)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None
