"""model.tar.gz files that nobody should unpack: each is refused by name, leaves nothing outside, and fills no disk."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gtseg.local.algorithm import unpacking
from gtseg.local.algorithm.unpacking import BadArchive, unpack

Build = Callable[[tarfile.TarFile], None]


def member(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def add(*members: tarfile.TarInfo) -> Build:
    """An archive of these, their bytes zero."""

    def build(archive: tarfile.TarFile) -> None:
        for info in members:
            archive.addfile(info, io.BytesIO(bytes(info.size)) if info.size else None)

    return build


def pack(build: Build) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
        build(archive)
    return body.getvalue()


def long_name(archive: tarfile.TarFile) -> None:
    archive.addfile(member("x" * (2 << 20), size=1), io.BytesIO(b"x"))


BAD: dict[str, tuple[Build, str]] = {
    "climbs out": (add(member("../escaped", size=3)), "outside"),
    "climbs out from below": (add(member("a/../../escaped", size=3)), "outside"),
    "absolute path is taken below the folder, climbing": (add(member("/../escaped", size=3)), "outside"),
    "symbolic link": (add(member("hyperparams.json", tarfile.SYMTYPE, link="/etc/passwd")), "is a link to '/etc/passwd'"),
    "link inside": (add(member("a", tarfile.SYMTYPE, link="b")), "is a link to 'b'"),
    "hard link": (add(member("a", tarfile.LNKTYPE, link="../../credentials.json")), "is a link to"),
    "link, then through it": (add(member("d", tarfile.SYMTYPE, link="/tmp"), member("d/escaped", size=3)), "is a link to"),
    "device": (add(member("null", tarfile.CHRTYPE)), "neither a plain file nor a folder"),
    "pipe": (add(member("pipe", tarfile.FIFOTYPE)), "neither a plain file nor a folder"),
    "zeros": (add(member("zeros", size=300 << 20)), "unpacks to more than 268,435,456 bytes"),
    "many members": (add(*(member(f"f{n}") for n in range(unpacking.MEMBERS + 1))), "more than 2000 members"),
    "endless name": (long_name, "a header of 2,097,153 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_archive_is_refused_by_name_and_nothing_leaves_the_folder(case: str, tmp_path: Path) -> None:
    build, words = BAD[case]
    path, folder = tmp_path / "model.tar.gz", tmp_path / "inside" / "model"
    path.write_bytes(pack(build))
    folder.mkdir(parents=True)
    with pytest.raises(BadArchive, match=words):
        unpack(path, folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["inside", "model.tar.gz"]
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model"]
    assert not [p for p in folder.rglob("*") if p.is_symlink()]


def sparse() -> bytes:
    """A GNU sparse file: 512 bytes in the archive, a terabyte on disk (tar manual, "Storing Sparse Files")."""
    header = bytearray(member("sparse", b"S", size=512).tobuf(tarfile.GNU_FORMAT))
    header[386:398] = b"%011o\0" % 0
    header[398:410] = b"%011o\0" % 512
    header[483:495] = b"%011o\0" % ((8 << 30) - 1)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return gzip.compress(bytes(header) + bytes(512) + bytes(1024))


def test_a_file_with_holes_is_refused_before_it_is_blown_up(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(sparse())
    with pytest.raises(BadArchive, match="neither a plain file nor a folder"):
        unpack(tmp_path / "model.tar.gz", tmp_path)


@pytest.mark.parametrize(
    "body",
    [b"", b"not an archive", gzip.compress(b"not a tar" * 100), pack(add(member("a", size=9000)))[:-200], bytes(1024)],
    ids=["empty", "no gzip", "no tar", "cut off", "zeros"],
)  # fmt: skip
def test_what_is_no_archive_raises_one_of_three_errors(body: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(body)
    with pytest.raises((BadArchive, OSError, EOFError)):
        unpack(tmp_path / "model.tar.gz", tmp_path / "out")


def test_a_good_archive_comes_out_as_it_went_in(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(
        pack(add(member("./a", size=5), member("d", tarfile.DIRTYPE), member("d/b", size=0)))
    )
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "model.tar.gz", tmp_path / "out")
    assert (tmp_path / "out/a").read_bytes() == bytes(5)
    assert (tmp_path / "out/d/b").stat().st_mode & 0o777 == 0o644


def test_an_endpoint_of_a_bad_archive_fails_and_says_why(shared_aws: Any) -> None:
    s3, sagemaker = shared_aws.client("s3"), shared_aws.client("sagemaker")
    s3.create_bucket(Bucket="bad-models")
    s3.put_object(Bucket="bad-models", Key="m.tar.gz", Body=pack(BAD["symbolic link"][0]))
    image = "685385470294.dkr.ecr.eu-west-1.amazonaws.com/semantic-segmentation:1"
    container = {"Image": image, "ModelDataUrl": "s3://bad-models/m.tar.gz"}
    sagemaker.create_model(
        ModelName="bad", ExecutionRoleArn="arn:aws:iam::123456789012:role/r", PrimaryContainer=container
    )
    variant = {
        "VariantName": "A",
        "ModelName": "bad",
        "InstanceType": "ml.c5.xlarge",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName="bad", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="bad", EndpointConfigName="bad")
    end = time.monotonic() + 60
    while (found := sagemaker.describe_endpoint(EndpointName="bad"))["EndpointStatus"] == "Creating":
        assert time.monotonic() < end
        time.sleep(0.2)
    assert found["EndpointStatus"] == "Failed"
    assert "'hyperparams.json' is a link to '/etc/passwd'" in found["FailureReason"]
