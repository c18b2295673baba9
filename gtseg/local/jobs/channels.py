"""Input channels of a training job: S3 objects as files below `input/data/<channel>/`.

S3Prefix has SageMaker's semantics: the prefix is a string, not a folder. `s3://b/p/train` also matches
`p/train_annotation/...`, which is then at `train/train_annotation/`, as the warning in the built-in algorithm's real
log shows. Large objects are hard-linked where possible instead of copied: a stored object's file is never modified.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.storage.objects import Objects, split_uri
from gtseg.local.storage.paths import UnsafeKey, path_below

Place = tuple[str, str]
"""(key in the bucket, path below the channel)."""

MANIFEST_BYTES = 256 << 20
DOWNLOADS, BATCH = 16, 256
"""Concurrent downloads, and objects queued at once."""


class DownloadError(Exception):
    """The job fails with this reason; the text begins with `ClientError:`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"ClientError: Data download failed: {reason}")


@dataclass(frozen=True)
class Source:
    """A channel's S3DataSource with the role that error messages name."""

    uri: str
    bucket: str
    key: str
    region: str
    role: str

    def missing(self) -> DownloadError:
        """Return the error for a prefix without objects, in SageMaker's words."""
        return DownloadError(
            f'No S3 objects found under S3 URL "{self.uri}" given in input data source. Please ensure that the bucket'
            f" exists in the selected region ({self.region}), that objects exist under that S3 prefix, and that the"
            f' role "{self.role}" has "s3:ListBucket" permissions on bucket "{self.bucket}".'
        )


def _input_mode(channel: Mapping[str, Any], default: str) -> str:
    """Return the channel's input mode, else the job's: File, Pipe or FastFile."""
    return str(channel.get("InputMode", default))


def describe_channel(channel: Mapping[str, Any], default: str) -> dict[str, str]:
    """Return a channel's entry in inputdataconfig.json, as SageMaker writes it for the container."""
    source = channel["DataSource"]["S3DataSource"]
    entry = {
        "TrainingInputMode": _input_mode(channel, default),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    if "ContentType" in channel:
        entry["ContentType"] = channel["ContentType"]
    return entry


def materialize_channel(objects: Objects, channel: Mapping[str, Any], data: Path, *, region: str, role: str) -> int:
    """Write the files of a channel below `data`; return their number. Raises DownloadError."""
    given = channel["DataSource"]["S3DataSource"]
    bucket, key = split_uri(given["S3Uri"])
    source = Source(given["S3Uri"], bucket, key, region, role)
    name = channel["ChannelName"]
    try:
        folder = path_below(data, name)
    except UnsafeKey as error:
        raise DownloadError(f"the channel name {name!r} cannot be a folder: {error.reason}.") from None
    if given["S3DataType"] == "AugmentedManifestFile":
        return _write_pairs(objects, source, given.get("AttributeNames", []), data=data, channel=name)
    return _write_files(objects, list_places(objects, source, given["S3DataType"]), folder)


def list_places(objects: Objects, source: Source, kind: str) -> Iterator[tuple[str, str, str]]:
    """Yield (bucket, key, relative path) for the objects of an S3Prefix or a ManifestFile. Raises DownloadError."""
    return _read_manifest(objects, source) if kind == "ManifestFile" else _list(objects, source)


def _write_files(objects: Objects, places: Iterable[tuple[str, str, str]], folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return _place_objects(objects, ((bucket, key, folder, path) for bucket, key, path in places))


def _place_objects(objects: Objects, wanted: Iterable[tuple[str, str, Path, str]]) -> int:
    """Download every (bucket, key, folder, name), several concurrently; return their number. Raises DownloadError."""
    count, rest = 0, iter(wanted)
    with ThreadPoolExecutor(DOWNLOADS, thread_name_prefix="download") as pool:
        while batch := list(islice(rest, BATCH)):
            for _ in pool.map(lambda item: place_object(objects, *item[:2], folder=item[2], name=item[3]), batch):
                count += 1
    return count


def _list(objects: Objects, source: Source) -> Iterator[tuple[str, str, str]]:
    """Yield (bucket, key, path below the channel) of every object under the prefix except folder markers."""
    if not objects.bucket_exists(source.bucket):
        raise source.missing()
    folder = source.key if source.key.endswith("/") or not source.key else source.key + "/"
    parent = source.key.rpartition("/")[0]
    empty = True
    for info in objects.list(source.bucket, source.key):
        empty = False
        if not info.key.endswith("/"):
            inside = info.key.startswith(folder)
            path = info.key.removeprefix(folder) if inside else info.key[len(parent) :].lstrip("/")
            yield source.bucket, info.key, path
    if empty:
        raise source.missing()


def _read_manifest(objects: Objects, source: Source) -> Iterator[tuple[str, str, str]]:
    """Read a ManifestFile: `[{"prefix": "s3://bucket/prefix/"}, "relative/path", ...]`."""
    try:
        entries = json.loads(_read(objects, source))
        prefix = entries[0]["prefix"]
        names = entries[1:]
        if not all(isinstance(name, str) for name in names):
            raise ValueError
    except (ValueError, LookupError, TypeError):
        raise DownloadError(
            f'the manifest {source.uri} must be a JSON array [{{"prefix": "s3://..."}}, "relative path", ...].'
        ) from None
    for name in names:
        bucket, key = _split(prefix + name, source.uri)
        yield bucket, key, name


def _write_pairs(objects: Objects, source: Source, attributes: Sequence[str], *, data: Path, channel: str) -> int:
    """Write each record of an augmented manifest as `<channel>/00000012.jpg` and
    `<channel>_annotation/00000012.png`.
    """
    if len(attributes) != 2:
        raise DownloadError(
            f"channel {channel} must have two attributes, the image's and the annotation's, in AttributeNames;"
            f" it has {list(attributes)}."
        )
    folders = [data / channel, data / f"{channel}_annotation"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    count = _place_objects(objects, _list_pairs(_read(objects, source), source, attributes, folders)) // 2
    if not count:
        raise DownloadError(f"the augmented manifest {source.uri} has no records.")
    return count


def _list_pairs(
    manifest: bytes, source: Source, attributes: Sequence[str], folders: Sequence[Path]
) -> Iterator[tuple[str, str, Path, str]]:
    """Yield (bucket, key, folder, name) of the two objects of each record."""
    count = 0
    for number, line in enumerate(manifest.splitlines(), 1):
        if not line.strip():
            continue
        uris = _read_record(line, attributes, where=f"line {number} of {source.uri}")
        for uri, folder in zip(uris, folders, strict=True):
            bucket, key = _split(uri, f"line {number} of {source.uri}")
            yield bucket, key, folder, f"{count:08d}{PurePosixPath(key).suffix}"
        count += 1


def _read_record(line: bytes, attributes: Sequence[str], *, where: str) -> list[str]:
    try:
        record = json.loads(line)
    except ValueError:
        raise DownloadError(f"{where} is not JSON.") from None
    if not isinstance(record, dict):
        raise DownloadError(f"{where} is not a JSON object.")
    for attribute in attributes:
        if not isinstance(record.get(attribute), str):
            raise DownloadError(f"{where} has no attribute {attribute!r} with the URI of an S3 object.")
    return [record[attribute] for attribute in attributes]


def _read(objects: Objects, source: Source) -> bytes:
    try:
        return objects.get(source.bucket, source.key, limit=MANIFEST_BYTES)
    except ServiceError as error:
        if error.code == "EntityTooLarge":
            raise DownloadError(error.message) from None
        raise source.missing() from None


def _split(uri: str, where: str) -> Place:
    try:
        return split_uri(uri)
    except ServiceError:
        raise DownloadError(f"{where} has {uri!r}, which is not an S3 URI.") from None


def place_object(objects: Objects, bucket: str, key: str, *, folder: Path, name: str, shared: bool = True) -> None:
    """Write an object's bytes to the new file `name` below `folder`. Raises DownloadError.

    `shared`: the file will never be modified, so that it may be a hard link.
    """
    uri = f"s3://{bucket}/{key}"
    try:
        objects.download(bucket, key, path_below(folder, name), shared=shared)
    except UnsafeKey as error:
        raise DownloadError(f"{uri} cannot be a file name below {folder.name}/: {error.reason}.") from None
    except ServiceError as error:
        raise DownloadError(f"{uri}: {error.message}") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise DownloadError(f"two objects have the same path, or one is a folder of the other: {uri}.") from None
    except OSError as error:
        raise DownloadError(f"{uri}: {error.strerror or error}.") from None
