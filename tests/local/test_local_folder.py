"""The data folder: upgrade from 0.1.0, permissions, and errors for damaged files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kept_folder import copy_in_use, unpack

from gtseg.local.environment import find_serving
from gtseg.local.errors import ServiceError
from gtseg.local.execute import start_server
from gtseg.local.options import ServerOptions
from gtseg.local.server import open_folder, serve
from gtseg.local.storage.database import SCHEMA
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.layout import FOLDERS, PLAIN_FILES, read_boot
from gtseg.local.storage.store import Store, read_credentials

Damage = Callable[[Path], None]


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[tuple[Store, FolderObjects]]:
    with contextlib.ExitStack() as stack:
        yield open_folder(folder, "us-east-1", opened=stack)


def list_jobs(store: Store) -> list[str]:
    return [row["title"] for row in store.read().execute("SELECT title FROM labeling_jobs ORDER BY title")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(the data folder of a stopped server, that of a killed server)."""
    home = tmp_path_factory.mktemp("folders")
    unpack(home / "stopped")
    with opened(home / "stopped") as (store, objects):
        objects.create_bucket("later")
        with store.write() as connection:
            connection.execute("UPDATE labeling_jobs SET failure = 'later' WHERE title = 'unfinished'")
        copy_in_use(home / "stopped", home / "killed")
    return home / "stopped", home / "killed"


def test_a_data_folder_of_0_1_0_is_upgraded_and_keeps_its_jobs(tmp_path: Path) -> None:
    unpack(tmp_path / "aws")
    with opened(tmp_path / "aws") as (store, objects):
        assert list_jobs(store) == ["finished", "unfinished"]
        assert len(objects.get("kept", "large.bin")) == 65536
    assert json.loads((tmp_path / "aws" / "folder.json").read_bytes())["schema"] == SCHEMA
    for name in ("state.sqlite3", "objects.sqlite3"):
        assert sqlite3.connect(tmp_path / "aws" / name).execute("PRAGMA user_version").fetchone() == (SCHEMA,)


def test_all_files_are_readable_by_their_owner_only_with_any_umask(tmp_path: Path) -> None:
    unpack(tmp_path / "aws")
    (tmp_path / "aws").chmod(0o777)
    script = "import os, sys; os.umask(0); from gtseg.local.server import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", script, "--data", str(tmp_path / "aws")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("http://")
        paths = [tmp_path / "aws", *(tmp_path / "aws").rglob("*")]
        modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths if path.exists()}
        server.terminate()
    assert modes == {(True, 0o700), (False, 0o600)}


def empty(path: Path) -> None:
    path.write_bytes(b"")


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scramble(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes(byte ^ 0x55 for byte in content[:8192]) + content[8192:])


def scramble_inside(path: Path) -> None:
    """Damage the file after its first pages."""
    content = path.read_bytes()
    path.write_bytes(content[:8192] + bytes(byte ^ 0x55 for byte in content[8192:]))


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("name", ["state.sqlite3", "objects.sqlite3"])
@pytest.mark.parametrize("damage", [empty, halve, scramble, scramble_inside, remove])
@pytest.mark.parametrize("killed", [False, True])
def test_a_damaged_database_is_named_and_the_server_does_not_start(
    tmp_path: Path, folders: tuple[Path, Path], name: str, damage: Damage, killed: bool
) -> None:
    if killed and damage in (halve, scramble_inside):
        pytest.skip("the write-ahead log beside it may hold these pages")
    shutil.copytree(folders[killed], tmp_path / "aws")
    damage(tmp_path / "aws" / name)
    with pytest.raises(ServiceError) as refusal, opened(tmp_path / "aws"):
        pass
    assert str(tmp_path / "aws" / name) in refusal.value.message
    assert "backup" in refusal.value.message
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize("name", ["state.sqlite3-wal", "objects.sqlite3-wal"])
@pytest.mark.parametrize("damage", [empty, scramble, remove])
def test_a_folder_without_its_write_ahead_log_is_refused(
    tmp_path: Path, folders: tuple[Path, Path], name: str, damage: Damage
) -> None:
    shutil.copytree(folders[1], tmp_path / "aws")
    damage(tmp_path / "aws" / name)
    with pytest.raises(ServiceError, match=name), opened(tmp_path / "aws"):
        pass


def damage_log(folder: Path, name: str, *, boot: str) -> None:
    """Flip a bit of an early page of a killed server's write-ahead log; the server ran since `boot`."""
    log = folder / f"{name}-wal"
    content = bytearray(log.read_bytes())
    content[32 + 24 + 100] ^= 1
    log.write_bytes(content)
    (folder / "server.json").write_text(json.dumps({"boot": boot}))


@pytest.mark.skipif(not read_boot(), reason="the system does not tell one start of the machine from another")
@pytest.mark.parametrize("name", ["state.sqlite3", "objects.sqlite3"])
def test_a_damaged_write_ahead_log_is_named_and_the_suggested_fix_works(
    tmp_path: Path, folders: tuple[Path, Path], name: str
) -> None:
    shutil.copytree(folders[1], tmp_path / "aws")
    damage_log(tmp_path / "aws", name, boot=read_boot())
    with (
        pytest.raises(ServiceError, match=rf"{name}-wal is damaged: \d+ transactions.*PRAGMA application_id=0"),
        opened(tmp_path / "aws"),
    ):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "aws" / name)) as tool:
        tool.execute("PRAGMA application_id=0")
    with opened(tmp_path / "aws") as (store, _):
        assert list_jobs(store) == ["finished", "unfinished"]


def test_an_incomplete_end_of_the_log_after_a_power_cut_is_accepted(
    tmp_path: Path, folders: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folders[1], tmp_path / "aws")
    damage_log(tmp_path / "aws", "state.sqlite3", boot="another")
    with opened(tmp_path / "aws") as (store, _):
        assert list_jobs(store) == ["finished", "unfinished"]
    assert "were lost in the power failure" in caplog.text


@pytest.mark.parametrize("name", ["state.sqlite3", "objects.sqlite3"])
def test_a_database_opened_by_a_tool_after_a_kill_is_refused_with_a_fix(
    tmp_path: Path, folders: tuple[Path, Path], name: str
) -> None:
    shutil.copytree(folders[1], tmp_path / "aws")
    with contextlib.closing(sqlite3.connect(tmp_path / "aws" / name)) as tool:
        tool.execute("SELECT count(*) FROM sqlite_master").fetchall()
    assert not (tmp_path / "aws" / f"{name}-wal").exists()
    with pytest.raises(ServiceError, match=r"PRAGMA application_id=0 in that tool"), opened(tmp_path / "aws"):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "aws" / name)) as tool:
        tool.execute("PRAGMA application_id=0")
    with opened(tmp_path / "aws") as (store, objects):
        assert objects.bucket_exists("later")
        assert store.read().execute("SELECT 1 FROM labeling_jobs WHERE failure = 'later'").fetchone()


def test_a_folder_of_the_first_version_without_its_write_ahead_log_is_refused(tmp_path: Path) -> None:
    unpack(tmp_path / "aws")
    (tmp_path / "aws" / "server.json").write_text("{}")  # the server was killed
    with (
        pytest.raises(ServiceError, match=r"state\.sqlite3-wal.*delete server\.json"),
        opened(tmp_path / "aws"),
    ):
        pass
    (tmp_path / "aws" / "server.json").unlink()
    with opened(tmp_path / "aws") as (store, _):
        assert list_jobs(store) == ["finished", "unfinished"]


def test_a_killed_server_loses_nothing_in_its_log(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    shutil.copytree(folders[1], tmp_path / "aws")
    with opened(tmp_path / "aws") as (store, objects):
        assert objects.bucket_exists("later")
        assert store.read().execute("SELECT 1 FROM labeling_jobs WHERE failure = 'later'").fetchone()


@pytest.mark.parametrize("name", ["credentials.json", "folder.json"])
@pytest.mark.parametrize("damage", [empty, halve, scramble])
def test_a_damaged_file_is_named_and_the_suggested_fix_works(
    tmp_path: Path, folders: tuple[Path, Path], name: str, damage: Damage
) -> None:
    shutil.copytree(folders[0], tmp_path / "aws")
    damage(tmp_path / "aws" / name)
    with pytest.raises(ServiceError, match=f"{name}.*delete {name}"), opened(tmp_path / "aws"):
        pass
    remove(tmp_path / "aws" / name)
    with opened(tmp_path / "aws") as (store, _):
        assert list_jobs(store) == ["finished", "unfinished"]


def test_a_newer_folder_is_refused_with_both_versions(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    shutil.copytree(folders[0], tmp_path / "aws")
    (tmp_path / "aws" / "folder.json").write_text(json.dumps({"schema": SCHEMA + 1, "gtseg": "9.1"}))
    with pytest.raises(ServiceError, match=rf"gtseg 9\.1 \(schema {SCHEMA + 1}\).*reads schema {SCHEMA}"):
        open_folder(tmp_path / "aws", "us-east-1", opened=contextlib.ExitStack())
    remove(tmp_path / "aws" / "folder.json")
    connection = sqlite3.connect(tmp_path / "aws" / "state.sqlite3")
    connection.execute(f"PRAGMA user_version={SCHEMA + 1}")
    connection.close()
    with pytest.raises(ServiceError, match=rf"schema {SCHEMA + 1}\).*reads schema {SCHEMA}"):
        open_folder(tmp_path / "aws", "us-east-1", opened=contextlib.ExitStack())


def test_an_interrupted_first_start_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite3").touch()
    with opened(tmp_path):
        pass
    with opened(tmp_path) as (_, objects):
        objects.create_bucket("b")


def test_the_command_line_reports_a_damaged_folder_in_one_line(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    shutil.copytree(folders[0], tmp_path / "aws")
    empty(tmp_path / "aws" / "state.sqlite3")
    command = [sys.executable, "-m", "gtseg.local.cli", "up", "--data", str(tmp_path / "aws"), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"gtseg: {tmp_path / 'aws' / 'state.sqlite3'} is empty.")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", [*PLAIN_FILES, *FOLDERS])
def test_a_pipe_instead_of_a_file_or_folder_is_named_with_a_fix(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    assert find_serving(tmp_path) is None
    with pytest.raises(ServiceError, match=rf"{name} is not a (regular file|folder)\. Move it away") as caught:
        serve(tmp_path)
    with pytest.raises(ServiceError, match=f"{name} is not a"):
        start_server(tmp_path, options=ServerOptions(), region="us-east-1")
    assert "\n" not in caught.value.message


def test_a_folder_instead_of_a_file_is_named_and_a_pipe_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "calls.jsonl").mkdir()
    with pytest.raises(ServiceError, match=r"calls\.jsonl is not a regular file\. Move it away"):
        serve(tmp_path)
    os.mkfifo(tmp_path / "credentials.json")
    with pytest.raises(ServiceError, match="is not a regular file"):
        read_credentials(tmp_path / "credentials.json")
