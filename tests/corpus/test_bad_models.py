"""Unsafe model.tar.gz files: they are rejected with the reason, write nothing outside the folder, and fill no disk."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for

from gtseg.local.algorithm.container import ClientError
from gtseg.local.algorithm.state import open_model_channel
from gtseg.local.algorithm.untrusted import model_archive
from gtseg.local.algorithm.untrusted.model_archive import BadArchive, unpack
from gtseg.local.hosting.artifact import UNREADABLE, read_mxnet_names

Build = Callable[[tarfile.TarFile], None]


def member(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def add(*members: tarfile.TarInfo) -> Build:
    """Return a builder of an archive of these members, filled with zeros."""

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
    "parent folder": (add(member("../escaped", size=3)), "outside"),
    "parent folder within a path": (add(member("a/../../escaped", size=3)), "outside"),
    "parent folder in an absolute path": (add(member("/../escaped", size=3)), "outside"),
    "symbolic link": (add(member("hyperparams.json", tarfile.SYMTYPE, link="/etc/passwd")),
    "is a link to '/etc/passwd'"),
    "link inside": (add(member("a", tarfile.SYMTYPE, link="b")), "is a link to 'b'"),
    "hard link": (add(member("a", tarfile.LNKTYPE, link="../../credentials.json")), "is a link to"),
    "file in a linked folder": (add(member("d", tarfile.SYMTYPE, link="/tmp"), member("d/escaped", size=3)),
    "is a link to"),
    "device": (add(member("null", tarfile.CHRTYPE)), "neither a regular file nor a folder"),
    "pipe": (add(member("pipe", tarfile.FIFOTYPE)), "neither a regular file nor a folder"),
    "zeros": (add(member("zeros", size=300 << 20)), "expands to more than 268,435,456 bytes"),
    "many members": (add(*(member(f"f{n}") for n in range(model_archive.MEMBERS + 1))), "more than 2000 members"),
    "deep": (add(member("a/" * 1500 + "b", size=1)), "more than 32 folders deep"),
    "long name": (add(member("x" * 300, size=1)), "255 in one name"),
    "long path": (add(member(("x" * 200 + "/") * 6 + "b", size=1)), "more than 1024 bytes"),
    "name of 2 MB": (long_name, "a header has 2,097,153 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_an_unsafe_archive_is_rejected_and_nothing_is_written_outside_the_folder(case: str, tmp_path: Path) -> None:
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
    """Return a GNU sparse file: 512 bytes in the archive, 8 GB on disk (tar manual, "Storing Sparse Files")."""
    header = bytearray(member("sparse", b"S", size=512).tobuf(tarfile.GNU_FORMAT))
    header[386:398] = b"%011o\0" % 0
    header[398:410] = b"%011o\0" % 512
    header[483:495] = b"%011o\0" % ((8 << 30) - 1)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return gzip.compress(bytes(header) + bytes(512) + bytes(1024))


def test_a_sparse_file_is_rejected_before_it_is_extracted(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(sparse())
    with pytest.raises(BadArchive, match="neither a regular file nor a folder"):
        unpack(tmp_path / "model.tar.gz", tmp_path)


def with_pax(headers: dict[str, str], body: bytes = b"x") -> bytes:
    """Return an archive with a member that has these PAX headers."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        info = member("model_best.params", size=len(body))
        info.pax_headers = headers
        archive.addfile(info, io.BytesIO(body))
    return packed.getvalue()


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a"}
INVALID_HEADERS: dict[str, bytes] = {
    "a path with NUL": with_pax({"path": "a\0b"}),
    "an invalid sparse map": with_pax({"GNU.sparse.map": "a,b"}),
    "an invalid size": with_pax({"GNU.sparse.size": "zz"}),
    "an invalid block count of sparse format 0.0": with_pax({"GNU.sparse.size": "9", "GNU.sparse.numblocks": "x"}),
    "an invalid table of sparse format 1.0": with_pax(SPARSE, b"zz"),
    "a truncated table of sparse format 1.0": with_pax(SPARSE, b"9" * 20 + b"\n"),
    "a size of 5,000 digits": with_pax({"GNU.sparse.realsize": "9" * 5000}),
    "a negative size": with_pax({"size": "-5"}),
    "3,000 nested headers": gzip.compress(member("h", tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT) * 3000),
}


@pytest.mark.parametrize("case", INVALID_HEADERS)
def test_an_invalid_header_is_a_bad_archive_for_every_reader(case: str, tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(INVALID_HEADERS[case])
    with pytest.raises(BadArchive, match=r"\w"):
        unpack(tmp_path / "model.tar.gz", tmp_path / "out")
    with pytest.raises(ClientError, match="cannot be extracted"):
        open_model_channel(tmp_path)


def mxnet(
    *, count: int = 1, shape: tuple[int, ...] = (2,), names: bytes | None = None, magic: int = 0xF993FAC9
) -> bytes:
    """Return an MXNet list file with one array (mxnet src/ndarray/ndarray.cc, Save)."""
    array = struct.pack(f"<IiI{len(shape)}q", magic, 0, len(shape), *shape) + struct.pack("<iii", 1, 0, 0) + bytes(8)
    if names is None:
        names = struct.pack("<QQ", 1, 6) + b"arg:w1"
    return struct.pack("<QQQ", 0x112, 0, count) + array + names


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (mxnet(), ["arg:w1"]),
        (mxnet(count=1 << 63, shape=(-11,)), [UNREADABLE]),
        (mxnet(shape=(-11,)), [UNREADABLE]),
        (mxnet(count=1 << 63), [UNREADABLE]),
        (mxnet(shape=(1 << 60,)), [UNREADABLE]),
        (mxnet(shape=(-2, -1)), [UNREADABLE]),
        (mxnet(names=struct.pack("<Q", 1 << 63)), [UNREADABLE]),
        (mxnet(names=struct.pack("<QQ", 1, 1 << 40)), [UNREADABLE]),
        (mxnet(magic=7), [UNREADABLE]),
        (mxnet()[:40], [UNREADABLE]),
        (b"PK", []),
        (b"", []),
    ],
)
def test_names_in_an_mxnet_file_are_read_within_its_size(body: bytes, found: list[str], tmp_path: Path) -> None:
    (tmp_path / "m.params").write_bytes(body)
    assert read_mxnet_names(tmp_path / "m.params") == found


@pytest.mark.parametrize(
    "body",
    [b"", b"not an archive", gzip.compress(b"not a tar" * 100), pack(add(member("a", size=9000)))[:-200], bytes(1024)],
    ids=["empty", "no gzip", "no tar", "truncated", "zeros"],
)
def test_a_file_that_is_no_archive_is_rejected(body: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(body)
    with pytest.raises(BadArchive):
        unpack(tmp_path / "model.tar.gz", tmp_path / "out")


def test_a_valid_archive_is_extracted_unchanged(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(
        pack(add(member("./a", size=5), member("d", tarfile.DIRTYPE), member("d/b", size=0)))
    )
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "model.tar.gz", tmp_path / "out")
    assert (tmp_path / "out/a").read_bytes() == bytes(5)
    assert (tmp_path / "out/d/b").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("linked", pack(BAD["symbolic link"][0]), "'hyperparams.json' is a link to '/etc/passwd'"),
        ("odd", INVALID_HEADERS["a path with NUL"], "a NUL in its path"),
    ],
)
def test_an_endpoint_with_an_unsafe_archive_fails_with_the_reason(
    shared_aws: Any, name: str, body: bytes, words: str
) -> None:
    s3, sagemaker = shared_aws.client("s3"), shared_aws.client("sagemaker")
    s3.create_bucket(Bucket=f"bad-models-{name}")
    s3.put_object(Bucket=f"bad-models-{name}", Key="m.tar.gz", Body=body)
    image = "685385470294.dkr.ecr.eu-west-1.amazonaws.com/semantic-segmentation:1"
    container = {"Image": image, "ModelDataUrl": f"s3://bad-models-{name}/m.tar.gz"}
    sagemaker.create_model(
        ModelName=name, ExecutionRoleArn="arn:aws:iam::123456789012:role/r", PrimaryContainer=container
    )
    variant = {
        "VariantName": "A",
        "ModelName": name,
        "InstanceType": "ml.c5.xlarge",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    describe = partial(sagemaker.describe_endpoint, EndpointName=name)
    found = wait_for(lambda: (answer := describe())["EndpointStatus"] != "Creating" and answer)
    assert found["EndpointStatus"] == "Failed"
    assert "Failed to extract model data archive" in found["FailureReason"]
    assert words in found["FailureReason"]
