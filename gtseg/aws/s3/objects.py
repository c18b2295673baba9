"""Single-object operations of S3: conditional reads and writes, listing, copies, buckets, CORS."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtseg.aws.failures import translate
from gtseg.aws.s3.bulk import Bulk
from gtseg.aws.s3.listing import Listed, list_pages
from gtseg.aws.s3.parallel import work_through
from gtseg.aws.s3.uris import guess_content_type, join_uri
from gtseg.core.s3_uris import split_uri
from gtseg.errors import AWSError

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients

CONDITION_CODES = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
MISSING_CODES = frozenset({"NoSuchKey", "404", "NotFound"})
UPLOAD_THREADS = 16


@dataclass(frozen=True)
class Uploaded:
    """A local file and the object it became. `sent`: False if the object already had the same bytes."""

    path: Path
    uri: str
    etag: str
    size: int
    sent: bool


class S3:
    """S3 by URI. Every method raises AWSError with AWS's code."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    @property
    def _client(self) -> Any:
        return self._clients.s3

    def read(self, uri: str) -> tuple[bytes, str]:
        """Return the object's bytes and its ETag (without quotes). Raises AWSError NoSuchKey if there is none."""
        with Bulk(self._clients) as bulk:
            fetched = bulk.get(uri)
        return fetched.body, fetched.etag

    def read_if_exists(self, uri: str) -> tuple[bytes, str] | None:
        try:
            return self.read(uri)
        except AWSError as error:
            if error.code in MISSING_CODES:
                return None
            raise

    def write(
        self,
        uri: str,
        body: bytes,
        *,
        if_match: str | None = None,
        if_none_match: bool = False,
        content_type: str | None = None,
    ) -> str:
        """Put one object and return its ETag.

        `if_match`: overwrite this version only; `if_none_match`: create only. Otherwise raises AWSError with a code of
        CONDITION_CODES.
        """
        bucket, key = split_uri(uri)
        extra: dict[str, Any] = {"ContentType": content_type or guess_content_type(key)}
        if if_match is not None:
            extra["IfMatch"] = if_match
        if if_none_match:
            extra["IfNoneMatch"] = "*"
        with translate(f"PutObject {uri}"):
            return str(self._client.put_object(Bucket=bucket, Key=key, Body=body, **extra)["ETag"].strip('"'))

    def head(self, uri: str) -> Listed | None:
        """Return size, ETag and time of one object, or None if there is none."""
        bucket, key = split_uri(uri)
        try:
            with translate(f"HeadObject {uri}"):
                answer = self._client.head_object(Bucket=bucket, Key=key)
        except AWSError as error:
            if error.code in MISSING_CODES:
                return None
            raise
        return Listed(key, answer["ContentLength"], answer["ETag"].strip('"'), answer["LastModified"])

    def exists(self, uri: str) -> bool:
        return self.head(uri) is not None

    def list_objects(self, uri: str) -> Iterator[Listed]:
        """Iterate over the objects whose key starts with the URI's key, in key order, page by page."""
        with Bulk(self._clients) as bulk:
            for page in list_pages(bulk, uri):
                yield from page

    def list_folders(self, uri: str) -> Iterator[str]:
        """Return the URIs, each with its slash, of the direct subfolders: S3's common prefixes."""
        bucket, prefix = split_uri(uri)
        with translate(f"ListObjectsV2 {uri}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
            for page in pages:
                for item in page.get("CommonPrefixes", ()):
                    yield join_uri(bucket, item["Prefix"])

    def copy(self, source: str, target: str, *, if_match: str | None = None) -> str:
        """Copy an object within S3 and return the new ETag. `if_match`: copy this version of the source only."""
        from_bucket, from_key = split_uri(source)
        bucket, key = split_uri(target)
        extra = {"CopySourceIfMatch": if_match} if if_match else {}
        with translate(f"CopyObject {source} -> {target}"):
            answer = self._client.copy_object(
                Bucket=bucket, Key=key, CopySource={"Bucket": from_bucket, "Key": from_key}, **extra
            )
        return str(answer["CopyObjectResult"]["ETag"].strip('"'))

    def delete(self, uris: Iterable[str]) -> None:
        """Delete objects, a thousand per request; a missing one is not an error."""
        for bucket, keys in _by_bucket(uris).items():
            for start in range(0, len(keys), 1000):
                objects = [{"Key": key} for key in keys[start : start + 1000]]
                with translate(f"DeleteObjects s3://{bucket}/"):
                    answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
                for failed in answer.get("Errors", ())[:1]:
                    raise AWSError(f"DeleteObjects s3://{bucket}/{failed['Key']}", failed["Code"], failed["Message"])

    def bucket_exists(self, bucket: str) -> bool:
        """Return whether the bucket exists. Raises AWSError if it belongs to another account."""
        try:
            with translate(f"HeadBucket {bucket}"):
                self._client.head_bucket(Bucket=bucket)
        except AWSError as error:
            if error.code in MISSING_CODES | {"NoSuchBucket"}:
                return False
            raise
        return True

    def ensure_bucket(self, bucket: str) -> bool:
        """Create the bucket in the client's region if it is missing. Return True if it was created."""
        if self.bucket_exists(bucket):
            return False
        region = self._client.meta.region_name
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            with translate(f"CreateBucket {bucket}"):
                self._client.create_bucket(Bucket=bucket, **place)
        except AWSError as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise
        return True

    def bucket_region(self, bucket: str) -> str:
        """Return the region of the bucket (GetBucketLocation returns None for us-east-1 and EU for eu-west-1).

        A bucket of another account denies GetBucketLocation; the header of that error names its region.
        """
        try:
            with translate(f"GetBucketLocation {bucket}"):
                place = self._client.get_bucket_location(Bucket=bucket).get("LocationConstraint")
        except AWSError as error:
            if error.exit_code != 4 or (named := self._named_region(bucket)) is None:
                raise
            return named
        return {"": "us-east-1", "EU": "eu-west-1"}.get(place or "", str(place))

    def _named_region(self, bucket: str) -> str | None:
        """Return the headers of HeadBucket, also if it is denied."""
        from botocore.exceptions import ClientError

        try:
            with translate(f"HeadBucket {bucket}"):
                answer = self._client.head_bucket(Bucket=bucket)
        except AWSError as error:
            if not isinstance(error.__cause__, ClientError):
                return None
            answer = error.__cause__.response
        named = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
        return str(named) if named else None

    def cors_rules(self, bucket: str) -> list[dict[str, Any]]:
        """Return the bucket's CORS rules, [] if it has none."""
        try:
            with translate(f"GetBucketCors {bucket}"):
                return list(self._client.get_bucket_cors(Bucket=bucket).get("CORSRules", []))
        except AWSError as error:
            if error.code == "NoSuchCORSConfiguration":
                return []
            raise

    def put_cors(self, bucket: str, rules: list[dict[str, Any]]) -> None:
        """Replace the bucket's CORS rules."""
        with translate(f"PutBucketCors {bucket}"):
            self._client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})

    def upload_folder(
        self,
        folder: Path,
        uri: str,
        *,
        files: Iterable[Path] | None = None,
        progress: Callable[[Uploaded], None] | None = None,
    ) -> list[Uploaded]:
        """Upload `files` (default: every file below `folder`) under `uri`, keeping their relative paths.

        A file is skipped if the object has the same size and MD5 (ETag). Results are in the order of the files.
        """
        paths = sorted(p for p in folder.rglob("*") if p.is_file()) if files is None else list(files)
        bucket, prefix = split_uri(uri)
        there = {item.key: item for item in self.list_objects(uri)} if paths else {}

        def send(item: tuple[int, Path]) -> Uploaded:
            key = prefix + item[1].relative_to(folder).as_posix()
            return _upload(bulk, item[1], join_uri(bucket, key), there=there.get(key))

        uploaded: dict[int, Uploaded] = {}
        with Bulk(self._clients) as bulk:
            for (place, _), result in work_through(enumerate(paths), send, threads=UPLOAD_THREADS):
                uploaded[place] = result
                if progress:
                    progress(result)
        return [uploaded[place] for place in range(len(paths))]


def _upload(bulk: Bulk, path: Path, uri: str, *, there: Listed | None) -> Uploaded:
    body = path.read_bytes()
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if there and there.size == len(body) and there.etag == digest:
        return Uploaded(path, uri, digest, len(body), sent=False)
    etag = bulk.put(uri, body, content_type=guess_content_type(uri))
    return Uploaded(path, uri, etag, len(body), sent=True)


def _by_bucket(uris: Iterable[str]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for uri in uris:
        bucket, key = split_uri(uri)
        keys.setdefault(bucket, []).append(key)
    return keys
