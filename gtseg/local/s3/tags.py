"""Tags of objects and buckets. Limits: S3 User Guide, "Categorizing your storage using tags"."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import element, malformed, parse, wrap

OBJECT_TAGS_MAXIMUM, BUCKET_TAGS_MAXIMUM = 10, 50
KEY_MAXIMUM, VALUE_MAXIMUM = 128, 256


def read_tag_header(headers: dict[str, str]) -> dict[str, str]:
    """Parse `x-amz-tagging: a=1&b=2`."""
    text = headers.get("x-amz-tagging")
    if not text:
        return {}
    return _check(parse_qsl(text, keep_blank_values=True), OBJECT_TAGS_MAXIMUM)


def read_tag_document(document: bytes, *, limit: int) -> dict[str, str]:
    """Parse a Tagging document with at most `limit` tags. Raises ServiceError."""
    tags = parse(document, "Tagging", "TagSet", "Tag", "Key", "Value").find("TagSet")
    if tags is None:
        raise malformed()
    return read_tag_nodes(tags, limit=limit)


def read_tag_nodes(tags: Element, *, limit: int) -> dict[str, str]:
    """Parse the `<Tag>` elements of a tag set. Raises ServiceError."""
    pairs = [(node.findtext("Key") or "", node.findtext("Value") or "") for node in tags.findall("Tag")]
    return _check(pairs, limit)


def get_object_tags(s3: S3, request: Request) -> Answer:
    return _render(s3.objects.find(request.bucket, request.key).tags)


def put_object_tags(s3: S3, request: Request) -> Answer:
    _set_tags(s3, request, read_tag_document(request.body, limit=OBJECT_TAGS_MAXIMUM))
    return Answer()


def delete_object_tags(s3: S3, request: Request) -> Answer:
    _set_tags(s3, request, {})
    return Answer(204)


def get_bucket_tags(s3: S3, request: Request) -> Answer:
    code, message = "NoSuchTagSet", "The TagSet does not exist"
    return _render(s3.read_setting(request.bucket, "tags", code=code, message=message))


def put_bucket_tags(s3: S3, request: Request) -> Answer:
    tags = read_tag_document(request.body, limit=BUCKET_TAGS_MAXIMUM)
    s3.objects.index.write_setting(request.bucket, "tags", tags)
    return Answer(204)


def delete_bucket_tags(s3: S3, request: Request) -> Answer:
    s3.objects.index.write_setting(request.bucket, "tags", None)
    return Answer(204)


def _set_tags(s3: S3, request: Request, tags: dict[str, str]) -> None:
    with s3.objects.index.database.write():
        s3.objects.index.replace(replace(s3.objects.find(request.bucket, request.key), tags=tags))


def _check(pairs: list[tuple[str, str]], limit: int) -> dict[str, str]:
    tags = dict(pairs)
    if len(tags) < len(pairs):
        raise ServiceError("InvalidTag", "Cannot provide multiple Tags with the same key")
    if len(tags) > limit:
        raise ServiceError("BadRequest", f"Object tags cannot be greater than {limit}")
    for key, value in tags.items():
        if not 1 <= len(key) <= KEY_MAXIMUM:
            raise ServiceError("InvalidTag", "The TagKey you have provided is invalid", fields={"TagKey": key})
        if len(value) > VALUE_MAXIMUM:
            raise ServiceError("InvalidTag", "The TagValue you have provided is invalid", fields={"TagValue": value})
        if key.startswith("aws:"):
            raise ServiceError("InvalidTag", "System tags cannot be added/updated by requester")
    return tags


def _render(tags: dict[str, str]) -> Answer:
    listed = "".join(
        f"<Tag>{element('Key', key)}{element('Value', value)}</Tag>" for key, value in sorted(tags.items())
    )
    return Answer(body=wrap("Tagging", f"<TagSet>{listed}</TagSet>"))
