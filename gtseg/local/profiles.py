"""AWS profile of a server: sections of ~/.aws/config and ~/.aws/credentials, printed or written.

An existing section of that name is only replaced if it has this server's key; everything else in the files is kept byte
for byte. Format: AWS CLI user guide, "Configuration and credential file settings".
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gtseg.local.errors import ServiceError
from gtseg.local.storage.atomic_files import write_atomically

NAME = re.compile(r"[A-Za-z0-9_.@+-]{1,64}")
HEADER = re.compile(r"\s*\[\s*(.*?)\s*\]\s*([#;].*)?")


@dataclass(frozen=True)
class Profile:
    """Contents of a profile. `ca_bundle`: the server's certificate, if it is not signed by a known authority."""

    name: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    ca_bundle: str | None = None

    @property
    def config(self) -> list[str]:
        """Lines of the config file."""
        trust = [f"ca_bundle = {self.ca_bundle}"] if self.ca_bundle else []
        return [
            f"[profile {self.name}]",
            f"region = {self.region}",
            f"endpoint_url = {self.endpoint}",
            *trust,
        ]

    @property
    def credentials(self) -> list[str]:
        """Lines of the credentials file."""
        return [
            f"[{self.name}]",
            f"aws_access_key_id = {self.access_key}",
            f"aws_secret_access_key = {self.secret_key}",
        ]


def check_name(name: str) -> None:
    """Check a profile name. Raises ValueError for `default`, which all AWS commands use, and for invalid characters."""
    if name == "default":
        raise ValueError("profile default is used by all AWS commands. Choose another name.")
    if not NAME.fullmatch(name):
        raise ValueError(f"profile {name!r}: must have 1 to 64 letters, digits and _.@+- only.")


def files(environ: Mapping[str, str]) -> tuple[Path, Path]:
    """Return the config and the credentials file, at the locations that AWS clients read."""
    config = environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    credentials = environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    return Path(config).expanduser(), Path(credentials).expanduser()


def write(profile: Profile, environ: Mapping[str, str]) -> list[Path]:
    """Write the sections to both files; return the changed files.

    Raises ServiceError, without a change, if the name is taken.
    """
    config, credentials = files(environ)
    texts = {path: _read(path) for path in (config, credentials)}
    kept = _section(texts[credentials], profile.name)
    beside = _section(texts[config], f"profile {profile.name}")
    is_own = any(_value(line, "aws_access_key_id") == profile.access_key for line in (*kept, *beside))
    if (kept or beside) and not is_own:
        place = credentials if kept else config
        raise ServiceError(
            "ProfileTaken",
            f"{place} has a profile {profile.name} with other keys. Remove it, or choose another name.",
            400,
        )
    changed = []
    for path, header, lines in (
        (credentials, profile.name, profile.credentials),
        (config, f"profile {profile.name}", profile.config),
    ):
        text = _replaced(texts[path], header, lines)
        if text != texts[path]:
            _put(path, text)
            changed.append(path)
    return changed


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ServiceError("FileUnreadable", f"{path} cannot be read: {error}", 400) from None


def _bounds(lines: Sequence[str], header: str) -> tuple[int, int] | None:
    """Return the first and last line of a section; trailing empty lines and comments belong to the next section."""
    starts = [n for n, line in enumerate(lines) if _header(line) == header]
    if not starts:
        return None
    start = starts[0]
    end = next((n for n in range(start + 1, len(lines)) if _header(lines[n]) is not None), len(lines))
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith(("#", ";"))):
        end -= 1
    return start, end


def _header(line: str) -> str | None:
    found = HEADER.fullmatch(line)
    return " ".join(found[1].replace('"', "").split()) if found else None


def _section(text: str, header: str) -> list[str]:
    lines = text.splitlines()
    bounds = _bounds(lines, header)
    return lines[slice(*bounds)] if bounds else []


def _value(line: str, key: str) -> str | None:
    name, equals, value = line.partition("=")
    return value.strip() if equals and name.strip().lower() == key else None


def _replaced(text: str, header: str, section: Sequence[str]) -> str:
    """Return the text with the section of that header replaced, or appended if there is none."""
    lines = text.splitlines(keepends=True)
    bounds = _bounds([line.rstrip("\r\n") for line in lines], header)
    body = "".join(f"{line}\n" for line in section)
    if bounds:
        return "".join(lines[: bounds[0]]) + body + "".join(lines[bounds[1] :])
    if not text:
        return body
    return text + ("" if text.endswith("\n") else "\n") + "\n" + body


def _put(path: Path, text: str) -> None:
    """Write a file, following a symbolic link; a new file is readable by its owner only."""
    target = path.resolve()
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        write_atomically(target, text.encode(), mode=mode)
        os.chmod(target, mode)
    except OSError as error:
        raise ServiceError("FileUnwritable", f"{path} cannot be written: {error.strerror}", 400) from None
