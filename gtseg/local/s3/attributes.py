"""GetObjectAttributes."""

from __future__ import annotations

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import element, format_http_time, wrap
from gtseg.local.storage.stored import StoredObject

__all__ = ["get_attributes"]

KNOWN = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


def get_attributes(s3: S3, request: Request) -> Answer:
    asked = [
        name.strip() for name in request.headers.get("x-amz-object-attributes", "").split(",") if name.strip()
    ]
    if not asked or not set(asked) <= set(KNOWN):
        raise ServiceError("InvalidArgument", "Invalid attribute name specified.")
    info = s3.objects.find(request.bucket, request.key)
    described = "".join(_render(info, name) for name in KNOWN if name in asked)
    return Answer(
        200,
        {"last-modified": format_http_time(info.modified_ms)},
        wrap("GetObjectAttributesResponse", described),
    )


def _render(info: StoredObject, name: str) -> str:
    if name == "ETag":
        return element("ETag", info.etag)
    if name == "ObjectSize":
        return element("ObjectSize", info.size)
    if name == "StorageClass":
        return element("StorageClass", info.headers.get("x-amz-storage-class", "STANDARD"))
    if name == "ObjectParts":
        return f"<ObjectParts>{element('PartsCount', len(info.parts))}</ObjectParts>" if info.parts else ""
    sums = "".join(
        element("ChecksumType" if kind == "type" else f"Checksum{kind}", value)
        for kind, value in info.checksums.items()
    )
    return f"<Checksum>{sums}</Checksum>" if sums else ""
