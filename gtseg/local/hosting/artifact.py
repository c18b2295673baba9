"""Model artifacts: extraction for a container, and detection of content that the container cannot load."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from gtseg.local.algorithm.untrusted.model_archive import BadArchive, unpack
from gtseg.local.errors import ServiceError
from gtseg.local.jobs.channels import DownloadError, place_object
from gtseg.local.storage.objects import Objects, StorageUnavailable, split_uri

NEEDED = ("hyperparams.json", "model_best.params")
SHOWN = 12
"""Maximum number of names in a message."""
MXNET_LIST = 0x112
"""kMXAPINDArrayListMagic (ndarray.cc)."""
MXNET_ARRAY = (0xF993FAC9, 0xF993FACA)
"""NDARRAY_V2_MAGIC, NDARRAY_V3_MAGIC."""
MXNET_DIMENSIONS = 32
MXNET_SMALLEST = 24
"""Bytes of an array without elements: three words, no shape, three words."""
UNREADABLE = "(unreadable names)"
MXNET_BYTES = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8}
"""mshadow type flag -> bytes of an element."""


class ArtifactError(Exception):
    """The artifact cannot be used; the text is the FailureReason of the endpoint or transform job."""


def find_artifact(objects: Objects, uri: str) -> bool:
    """Return whether the model data exists: an object, or any object below a URI that ends with /."""
    try:
        bucket, key = split_uri(uri)
        if key.endswith("/"):
            return next(iter(objects.list(bucket, key)), None) is not None
        return objects.head(bucket, key) is not None
    except StorageUnavailable:
        raise
    except ServiceError:
        return False


def unpack_artifact(objects: Objects, uri: str, folder: Path, *, image: str, runnable: bool) -> None:
    """Extract model data to files in `folder`, atomically. Raises ArtifactError naming what cannot be loaded.

    `runnable`: whether `image` is the one that the embedded AWS runs.
    """
    if folder.exists():
        return
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    bucket, key = split_uri(uri)
    if key.endswith("/"):
        _place_files(objects, bucket, key, partial)
    else:
        _extract(objects, bucket, key, partial)
    _check_content(partial, uri, image=image, runnable=runnable)
    os.replace(partial, folder)


def _place_files(objects: Objects, bucket: str, prefix: str, folder: Path) -> None:
    try:
        for info in objects.list(bucket, prefix):
            if not info.key.endswith("/"):
                place_object(objects, bucket, info.key, folder=folder, name=info.key.removeprefix(prefix))
    except DownloadError as error:
        raise ArtifactError(str(error)) from None


def _extract(objects: Objects, bucket: str, key: str, folder: Path) -> None:
    uri = f"s3://{bucket}/{key}"
    try:
        with objects.file(bucket, key) as archive:
            unpack(archive, folder)
    except ServiceError:
        raise ArtifactError(f"Could not find model data at {uri}.") from None
    except (BadArchive, OSError) as error:
        why = f" ({error})" if isinstance(error, BadArchive) else ""
        raise ArtifactError(
            f'Failed to extract model data archive for container "container_1" from URL "{uri}". Please ensure that'
            f" the object located at the URL is a valid tar.gz archive.{why}"
        ) from None


def _check_content(folder: Path, uri: str, *, image: str, runnable: bool) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    parameters = _find_foreign_parameters(folder, names)
    missing = [name for name in NEEDED if name not in names]
    if runnable and not missing and not parameters:
        return
    found = f"it contains {_list(names)}{_name_framework(names, parameters)}"
    cause = f"the embedded AWS cannot run the image {image}" if not runnable else "the container cannot load it"
    listed = f" Parameters that cannot be loaded: {_list(parameters)}." if parameters else ""
    raise ArtifactError(
        f'Model data "{uri}": {cause}; {found}.{listed} It serves models of its own semantic segmentation training'
        " jobs: hyperparams.json, model_best.params, model_algo-1."
    )


def _name_framework(names: Sequence[str], parameters: Sequence[str]) -> str:
    """Return the probable framework of a foreign model, for the message."""
    endings = {
        ("saved_model.pb", ".pbtxt", ".h5", ".keras"): "a TensorFlow model",
        (".pth", ".pt"): "a PyTorch model",
        ("-symbol.json",): "an MXNet model",
    }
    for suffixes, kind in endings.items():
        if any(name.endswith(suffixes) for name in names):
            return f", {kind}"
    return ", an MXNet model" if parameters else ""


def _find_foreign_parameters(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the parameter names of the first file in MXNet's format, e.g. from a job that ran on AWS."""
    for name in names:
        if name.endswith(".params"):
            found = read_mxnet_names(folder / name)
            if found:
                return [f"{name}: {found[0]}", *found[1:]]
    return []


def read_mxnet_names(path: Path) -> list[str]:
    """Return the names in an MXNet NDArray list file, [] for other files (mxnet src/ndarray/ndarray.cc, Save and Load).

    The file is untrusted: no number in it is used beyond what the file's size allows.
    """
    try:
        with path.open("rb") as file:
            if file.read(16) != struct.pack("<QQ", MXNET_LIST, 0):
                return []
            end = path.stat().st_size
            for _ in range(_read_count(file, end, smallest=MXNET_SMALLEST)):
                _skip_array(file, end)
            count = _read_count(file, end, smallest=8)
            return [file.read(_read_count(file, end, smallest=1)).decode(errors="replace") for _ in range(count)]
    except (ValueError, struct.error, KeyError):
        return [UNREADABLE]
    except OSError:
        return []


def _read_count(file: BinaryIO, end: int, *, smallest: int) -> int:
    """Return the number of items of at least `smallest` bytes that follow.

    Raises ValueError if the file is too short.
    """
    (count,) = struct.unpack("<Q", file.read(8))
    if count * smallest > end - file.tell():
        raise ValueError(count)
    return int(count)


def _skip_array(file: BinaryIO, end: int) -> None:
    """Skip an array. Raises ValueError, struct.error or KeyError if it is invalid or extends beyond the file."""
    magic, kind, dimensions = struct.unpack("<IiI", file.read(12))
    if magic not in MXNET_ARRAY or kind not in (0, -1) or dimensions > MXNET_DIMENSIONS:
        raise ValueError(magic)
    size = 1
    for length in struct.unpack(f"<{dimensions}q", file.read(8 * dimensions)):
        if length < 0:
            raise ValueError(length)
        size *= length
    _, _, flag = struct.unpack("<iii", file.read(12))
    if size * MXNET_BYTES[flag] > end - file.tell():
        raise ValueError(size)
    file.seek(size * MXNET_BYTES[flag], os.SEEK_CUR)


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN]) or "no files"
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
