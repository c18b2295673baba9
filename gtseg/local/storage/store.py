"""What survives a restart beside objects: the credentials of the data folder and the tables of every service."""

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

__all__ = ["ACCOUNT", "Credentials", "Store", "read_credentials"]

ACCOUNT = "123456789012"
CREDENTIALS_WAY_OUT = (
    "Restore the data folder from a backup (gtseg local restore), or delete credentials.json: new AWS keys and a new owner "
    "token are made; jobs, objects and workers' links stay valid."
)


@dataclass(frozen=True)
class Credentials:
    """The data folder's own AWS keys and the token that opens the owner's HTTP API."""

    access_key: str
    secret_key: str = field(repr=False)
    owner_token: str = field(repr=False)


class Store:
    """The data folder. Every service keeps its tables in `state.sqlite3`; S3 has an index of its own."""

    def __init__(self, folder: Path, *, region: str = "us-east-1") -> None:
        self.folder = Path(folder)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.account = ACCOUNT
        self.region = region
        self.database = Database(self.folder / "state.sqlite3")
        self.credentials = _load_credentials(self.folder / "credentials.json")

    def create(self, ddl: str) -> None:
        """Make a module's own tables: `CREATE TABLE IF NOT EXISTS ...`, any number of statements."""
        self.database.create(ddl)

    def read(self) -> sqlite3.Connection:
        """This thread's connection, rows by name, autocommit."""
        return self.database.read()

    def write(self) -> AbstractContextManager[sqlite3.Connection]:
        """A transaction; one writer at a time in this process."""
        return self.database.write()

    def close(self) -> None:
        self.database.close()


def read_credentials(path: Path) -> Credentials:
    """Raises FileNotFoundError, or ServiceError for a file that is damaged."""
    names = [field.name for field in fields(Credentials)]
    document = read_document(path, dict.fromkeys(names, str), way_out=CREDENTIALS_WAY_OUT)
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
