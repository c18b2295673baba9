"""Handler of GetObjectAttributes."""

from __future__ import annotations

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import element, format_http_time, wrap
from gtseg.local.storage.stored import StoredObject

KNOWN = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
PAGE = {"max-parts": "1000", "part-number-marker": "0"}


def get_attributes(s3: S3, request: Request) -> Answer:
    asked = [name.strip() for name in request.headers.get("x-amz-object-attributes", "").split(",") if name.strip()]
    if not asked or not set(asked) <= set(KNOWN):
        raise ServiceError("InvalidArgument", "Invalid attribute name specified.")
    info = s3.objects.find(request.bucket, request.key)
    limit, after = _read_part_page(request)
    parts = _render_parts(info, limit, after) if "ObjectParts" in asked and info.parts else ""
    described = "".join(parts if name == "ObjectParts" else _render(info, name) for name in KNOWN if name in asked)
    return Answer(
        200,
        {"last-modified": format_http_time(info.modified_ms)},
        wrap("GetObjectAttributesResponse", described),
    )


def _read_part_page(request: Request) -> tuple[int, int]:
    """Return the page of parts to describe: (x-amz-max-parts, x-amz-part-number-marker)."""
    given = {name: request.headers.get(f"x-amz-{name}", default) for name, default in PAGE.items()}
    for name, text in given.items():
        if not text.isdecimal():
            raise ServiceError(
                "InvalidArgument",
                f"Provided {name} not an integer or within integer range",
                fields={"ArgumentName": name, "ArgumentValue": text},
            )
    return min(int(given["max-parts"]), int(PAGE["max-parts"])), int(given["part-number-marker"])


def _render_parts(info: StoredObject, limit: int, after: int) -> str:
    """Render the number of parts and the paging; single parts only if the upload had checksums, as AWS documents."""
    numbers = range(after + 1, len(info.parts) + 1)
    shown = numbers[:limit]
    parts = [
        element("PartsCount", len(info.parts)),
        element("PartNumberMarker", after),
        element("NextPartNumberMarker", shown[-1] if shown else after),
        element("MaxParts", limit),
        element("IsTruncated", "true" if len(shown) < len(numbers) else "false"),
    ]
    if info.part_checksums:
        algorithm = next(name for name in info.checksums if name != "type")
        parts += [
            f"<Part>{element('PartNumber', number)}{element('Size', info.parts[number - 1])}"
            f"{element(f'Checksum{algorithm}', info.part_checksums[number - 1])}</Part>"
            for number in shown
        ]
    return f"<ObjectParts>{''.join(parts)}</ObjectParts>"


def _render(info: StoredObject, name: str) -> str:
    if name == "ETag":
        return element("ETag", info.etag)
    if name == "ObjectSize":
        return element("ObjectSize", info.size)
    if name == "StorageClass":
        return element("StorageClass", info.headers.get("x-amz-storage-class", "STANDARD"))
    sums = "".join(
        element("ChecksumType" if kind == "type" else f"Checksum{kind}", value)
        for kind, value in info.checksums.items()
    )
    return f"<Checksum>{sums}</Checksum>" if sums else ""
