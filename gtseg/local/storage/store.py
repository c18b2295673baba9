"""Persistent state of the embedded AWS other than objects: credentials and the services' tables."""

from __future__ import annotations

import json
import secrets
import sqlite3
import string
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from gtseg.local.storage.atomic_files import read_document, write_atomically
from gtseg.local.storage.database import SCHEMA, Database

ACCOUNT = "123456789012"
CREDENTIALS_REMEDY = (
    "Restore the data folder from a backup (gtseg local restore), or delete credentials.json: new AWS keys and a new "
    "owner token are created; jobs, objects and workers' links stay valid."
)


@dataclass(frozen=True)
class Credentials:
    """AWS keys of the data folder and the token that authorizes the owner's HTTP API."""

    access_key: str
    secret_key: str = field(repr=False)
    owner_token: str = field(repr=False)


class Store:
    """State of the data folder. Every service has its tables in `state.sqlite3`; S3 has its own index."""

    def __init__(self, folder: Path, *, region: str = "us-east-1") -> None:
        self.folder = Path(folder)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.account = ACCOUNT
        self.region = region
        self.database = Database(self.folder / "state.sqlite3")
        self.credentials = _load_credentials(self.folder / "credentials.json")

    def create(self, ddl: str) -> None:
        """Create a module's tables from any number of `CREATE TABLE IF NOT EXISTS ...` statements."""
        self.database.create(ddl)

    def read(self) -> sqlite3.Connection:
        """Return this thread's connection: rows by name, autocommit."""
        return self.database.read()

    def write(self) -> AbstractContextManager[sqlite3.Connection]:
        """Return a transaction context; one writer at a time in this process."""
        return self.database.write()

    def close(self) -> None:
        self.database.close()


def read_credentials(path: Path) -> Credentials:
    """Read the credentials file. Raises FileNotFoundError, or ServiceError if it is damaged."""
    names = [field.name for field in fields(Credentials)]
    document = read_document(path, dict.fromkeys(names, str), remedy=CREDENTIALS_REMEDY)
    return Credentials(**{name: document[name] for name in names})


def _load_credentials(path: Path) -> Credentials:
    try:
        return read_credentials(path)
    except FileNotFoundError:
        credentials = _make_credentials()
        document = {**asdict(credentials), "schema": SCHEMA}
        write_atomically(path, json.dumps(document, indent=1).encode())
        return credentials


def _make_credentials() -> Credentials:
    alphabet = string.ascii_uppercase + "234567"
    letters = string.ascii_letters + string.digits
    return Credentials(
        access_key="AKIA" + "".join(secrets.choice(alphabet) for _ in range(16)),
        secret_key="".join(secrets.choice(letters) for _ in range(40)),
        owner_token=secrets.token_urlsafe(24),
    )
