"""Unmodified S3 programs against a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FILES = {
    "a.txt": b"a",
    "dir/b c.jpg": b"b" * 20_000,
    "dir/é.png": b"",
    "deep/er/big.bin": os.urandom(9 << 20),
}


def find_program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def make_folder(folder: Path) -> Path:
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def read_folder(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(aws: Any, *command: str) -> str:
    environment = {**aws.environment, "S3_ENDPOINT_URL": aws.url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_aws_cli_syncs_both_ways(shared_aws: Any, tmp_path: Path) -> None:
    aws = find_program("aws")
    source, target = make_folder(tmp_path / "source"), tmp_path / "target"
    run(shared_aws, aws, "s3", "mb", "s3://cli-bucket")
    run(shared_aws, aws, "s3", "sync", "--only-show-errors", str(source), "s3://cli-bucket/p/")
    run(shared_aws, aws, "s3", "sync", "--only-show-errors", "s3://cli-bucket/p/", str(target))
    assert read_folder(target) == FILES
    assert run(shared_aws, aws, "s3", "sync", str(target), "s3://cli-bucket/p/") == ""  # nothing is left to do
    (source / "a.txt").unlink()
    run(shared_aws, aws, "s3", "sync", "--delete", "--only-show-errors", str(source), "s3://cli-bucket/p/")
    listed = run(shared_aws, aws, "s3", "ls", "--recursive", "s3://cli-bucket/p/")
    assert sorted(line[31:] for line in listed.splitlines()) == sorted(f"p/{name}" for name in FILES if name != "a.txt")
    run(shared_aws, aws, "s3", "rb", "--force", "s3://cli-bucket")


def test_s5cmd_copies_lists_and_deletes(shared_aws: Any, tmp_path: Path) -> None:
    s5cmd = find_program("s5cmd")
    source, target = make_folder(tmp_path / "source"), tmp_path / "target"
    run(shared_aws, s5cmd, "mb", "s3://s5cmd-bucket")
    run(shared_aws, s5cmd, "cp", f"{source}/*", "s3://s5cmd-bucket/p/")
    run(shared_aws, s5cmd, "cp", "s3://s5cmd-bucket/p/*", "s3://s5cmd-bucket/q/")
    run(shared_aws, s5cmd, "cp", "s3://s5cmd-bucket/q/*", f"{target}/")
    assert read_folder(target) == FILES
    run(shared_aws, s5cmd, "rm", "s3://s5cmd-bucket/*")
    run(shared_aws, s5cmd, "rb", "s3://s5cmd-bucket")


def test_obstore_puts_gets_lists_and_renames(shared_aws: Any) -> None:
    obstore = pytest.importorskip("obstore")
    from obstore.store import S3Store

    shared_aws.client("s3").create_bucket(Bucket="obstore-bucket")
    store = S3Store(
        "obstore-bucket",
        endpoint=shared_aws.url,
        access_key_id=shared_aws.access_key,
        secret_access_key=shared_aws.secret_key,
        region="us-east-1",
        client_options={"allow_http": True},
        virtual_hosted_style_request=False,
    )
    for name, content in FILES.items():
        obstore.put(store, name, content, use_multipart=len(content) > 5 << 20)
    assert {name: bytes(obstore.get(store, name).bytes()) for name in FILES} == FILES
    assert {entry["path"] for page in obstore.list(store) for entry in page} == set(FILES)
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store, "a.txt", b"again", mode="create")
    assert bytes(obstore.get_range(store, "dir/b c.jpg", start=5, length=3)) == b"bbb"
    obstore.copy(store, "a.txt", "copy.txt")
    obstore.delete(store, ["a.txt", "dir/b c.jpg"])
    assert len([entry for page in obstore.list(store) for entry in page]) == 3


S3FS = """
import json, os, sys
import s3fs

contents = {name: bytes.fromhex(body) for name, body in json.load(sys.stdin).items()}
files = s3fs.S3FileSystem(client_kwargs={"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}, use_listings_cache=False)
for name, content in contents.items():
    with files.open(f"s3fs-bucket/{name}", "wb") as file:
        file.write(content)
assert {name: files.cat(f"s3fs-bucket/{name}") for name in contents} == contents
assert sorted(files.ls("s3fs-bucket", detail=False)) == [f"s3fs-bucket/{name}" for name in ("a.txt", "deep", "dir")]
files.rm("s3fs-bucket/dir", recursive=True)
print(json.dumps(sorted(files.find("s3fs-bucket"))))
"""


def test_s3fs_reads_and_writes_files(shared_aws: Any) -> None:
    """Runs in a separate environment (scripts/install), because s3fs pins an older botocore."""
    own = Path(__file__).parents[3] / ".venv" / "s3fs" / "bin" / "python"
    if not own.exists():
        assert not os.environ.get("CI"), f"{own}: scripts/install makes it"
        pytest.skip("no environment with s3fs: scripts/install makes it")
    shared_aws.client("s3").create_bucket(Bucket="s3fs-bucket")
    contents = json.dumps({name: content.hex() for name, content in FILES.items()})
    done = subprocess.run(
        [own, "-c", S3FS],
        input=contents,
        env=shared_aws.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == ["s3fs-bucket/a.txt", "s3fs-bucket/deep/er/big.bin"]
