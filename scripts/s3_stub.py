"""A small S3 in memory that adds a fixed delay to every request and spends little CPU of its own: a ruler for clients.

    python scripts/s3_stub.py --objects 300 [--delay 0.025] [--rgba] [--size 1024 768]

It prints its address when it serves.

It holds what a finished labeling job leaves: images/, labeling/job/ with masks, worker responses and output.manifest,
and the label stage's images.jsonl. It believes every signature. GET /_stub/counters, POST /_stub/reset.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import io
import json
import re
import zlib
from typing import cast
from urllib.parse import parse_qs, quote, unquote
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

BUCKET = "bench"
SIZE = (1024, 768)
CLASSES = (("BACKGROUND", "#ffffff"), ("boat", "#2ca02c"), ("car", "#1f77b4"), ("tree", "#ff7f0e"))
LABEL = "job-ref"
DISTINCT = 40
MODIFIED = "2026-11-20T10:00:00.000Z"


class Shelf:
    """key -> (body, ETag), with counters of what came and went."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.reset()

    def reset(self) -> None:
        self.requests = self.received = self.sent = 0
        self.kinds: dict[str, int] = {}

    def put(self, key: str, body: bytes) -> str:
        small = len(body) < 65536
        etag = hashlib.md5(body).hexdigest() if small else f"{zlib.crc32(body):032x}-1"
        self.objects[f"{BUCKET}/{key}"] = body, etag
        return etag


def make_mask(seed: int, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8: outlines of a labeler's hand, about 12 KB as Ground Truth writes it."""
    random, (width, height) = np.random.default_rng(seed), size
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), dtype=np.uint8)
    for _ in range(26):
        cx, cy, r = random.uniform(0, width), random.uniform(0, height), random.uniform(15, 90)
        angle = np.arctan2(y - cy, x - cx)
        wobble = 1 + 0.15 * np.sin(angle * random.integers(3, 9) + random.uniform(0, 6))
        noise = 1 + 0.02 * np.sin(angle * 80) + random.normal(0, 0.004, mask.shape)
        mask[np.hypot(x - cx, y - cy) < r * wobble * noise] = random.integers(1, len(CLASSES))
    return mask


def encode_mask(mask: np.ndarray, *, rgba: bool) -> bytes:
    colors = [int(color[i : i + 2], 16) for _, color in CLASSES for i in (1, 3, 5)]
    image = Image.fromarray(mask, "P")
    image.putpalette(colors + [255] * (768 - len(colors)))
    target = io.BytesIO()
    (image.convert("RGBA") if rgba else image).save(target, "PNG")
    return target.getvalue()


def make_photograph(size: tuple[int, int]) -> bytes:
    """A JPEG, of about 184 KB where it is as large as usual."""
    random = np.random.default_rng(7)
    small = Image.fromarray(random.integers(0, 255, (96, 128, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    noisy = np.asarray(small).astype(int) + random.normal(0, 9, (size[1], size[0], 1)).astype(int)
    target = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(target, "JPEG", quality=68)
    return target.getvalue()


def fill(shelf: Shelf, objects: int, *, rgba: bool, size: tuple[int, int] = SIZE) -> None:
    photograph = make_photograph(size)
    masks = [encode_mask(make_mask(seed, size), rgba=rgba) for seed in range(24)]
    answer = base64.b64encode(encode_mask(make_mask(0, size), rgba=True)).decode()
    lines, known = [], []
    colors = {str(i): {"class-name": n, "hex-color": c, "confidence": 0} for i, (n, c) in enumerate(CLASSES)}
    for number in range(objects):
        comment = b"image %08d" % number
        body = photograph[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + photograph[2:]
        image, job = f"images/scene_{number:06}.jpg", "labeling/job/annotations"
        mask = f"{job}/consolidated-annotation/output/{number}_2026-11-20T10:00:00.{number:06}.png"
        etag = hashlib.md5(body).hexdigest()
        shelf.objects[f"{BUCKET}/{image}"] = body, etag
        shelf.put(mask, masks[number % len(masks)])
        content = {"crowd-semantic-segmentation": {"labeledImage": {"pngImageData": answer}}}
        response = {"answers": [{"answerContent": content, "workerId": "private.us-east-1.abc"}]}
        shelf.put(
            f"{job}/worker-response/iteration-1/{number}/2026-11-20_10:00:00.json",
            json.dumps(response).encode(),
        )
        metadata = {
            "internal-color-map": colors,
            "type": "groundtruth/semantic-segmentation",
            "human-annotated": "yes",
        }
        lines.append(
            {
                "source-ref": f"s3://{BUCKET}/{image}",
                LABEL: f"s3://{BUCKET}/{mask}",
                f"{LABEL}-metadata": metadata,
            }
        )
        facts = {
            "size": len(body),
            "etag": etag,
            "width": size[0],
            "height": size[1],
            "format": "JPEG",
            "mode": "RGB",
            "orientation": 1,
        }
        known.append({"source-ref": f"s3://{BUCKET}/{image}", **facts})
    shelf.put("labeling/job/manifests/output/output.manifest", _lines(lines))
    shelf.put("labeling/copy/manifests/output/output.manifest", _lines(lines))  # with no images.jsonl
    shelf.put("labeling/job/images.jsonl", _lines(known))


def fill_photographs(shelf: Shelf, count: int, megabytes: float) -> None:
    """images/00000.jpg and following, JPEGs of noise; only 40 of them differ, so that any number fits into memory."""
    bodies = [draw_noise(number, megabytes) for number in range(min(DISTINCT, count))]
    kept = [(body, hashlib.md5(body).hexdigest()) for body in bodies]
    for number in range(count):
        shelf.objects[f"{BUCKET}/images/{number:05}.jpg"] = kept[number % DISTINCT]


def draw_noise(seed: int, megabytes: float) -> bytes:
    side = int(1000 * megabytes**0.5)
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    target = io.BytesIO()
    Image.fromarray(noise).save(target, "JPEG", quality=75)
    return target.getvalue()


def _lines(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()


class Connection(asyncio.Protocol):
    """One client: request in, delay, answer out."""

    def __init__(self, shelf: Shelf, delay: float) -> None:
        self.shelf, self.delay = shelf, delay
        self.data = bytearray()
        self.need: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self.need is None:
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                return
            self.head, self.start = bytes(self.data[:end]), end + 4
            lower = self.head.lower()
            found = re.search(rb"\r\ncontent-length: *(\d+)", lower)
            self.need = self.start + (int(found[1]) if found else 0)
            if b"\r\nexpect: 100-continue" in lower:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(self.data) >= self.need:
            body, size = bytes(self.data[self.start : self.need]), self.need
            del self.data[: self.need]
            self.need = None
            self.answer(body, size)

    def answer(self, body: bytes, size: int) -> None:
        first, *rest = self.head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        path, _, query = target.partition("?")
        if path.startswith("/_stub/"):
            self.send(200, {}, self.inspect(path))
            return
        status, extra, content = handle(self.shelf, method, unquote(path).lstrip("/"), query, headers, body)
        self.shelf.requests += 1
        self.shelf.received += size
        kind = f"{method}{' copy' if 'x-amz-copy-source' in headers else ''}{' list' if 'list-type' in query else ''}"
        self.shelf.kinds[kind] = self.shelf.kinds.get(kind, 0) + 1
        self.loop.call_later(self.delay, self.send, status, extra, content, method == "HEAD")

    def inspect(self, path: str) -> bytes:
        shelf = self.shelf
        if path.endswith("reset"):
            shelf.objects = {k: v for k, v in shelf.objects.items() if not k.startswith(f"{BUCKET}/out/")}
            shelf.reset()
        return json.dumps(
            {"requests": shelf.requests, "bytes": shelf.received + shelf.sent, "kinds": shelf.kinds}
        ).encode()

    def send(self, status: int, extra: dict[str, str], body: bytes, is_head: bool = False) -> None:
        fields = {"content-length": str(len(body)), **extra}
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
        content = b"" if is_head else body
        self.shelf.sent += len(head) + len(content)
        self.transport.write(head.encode() + content)


Reply = tuple[int, dict[str, str], bytes]


def handle(shelf: Shelf, method: str, key: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
    if method == "POST" and not key:
        return 200, {}, ACCOUNT
    if method in ("GET", "HEAD") and key in (BUCKET, f"{BUCKET}/"):
        return 200, {}, list_keys(shelf, parse_qs(query, keep_blank_values=True)) if query else b""
    if method in ("GET", "HEAD"):
        return get(shelf, key, headers)
    if method == "DELETE":
        shelf.objects.pop(key, None)
        return 204, {}, b""
    if source := headers.get("x-amz-copy-source"):
        return copy(shelf, unquote(source).lstrip("/"), key, headers)
    if "aws-chunked" in headers.get("content-encoding", ""):
        body = unchunk(body)
    return 200, {"etag": f'"{shelf.put(key.removeprefix(BUCKET + "/"), body)}"'}, b""


def get(shelf: Shelf, key: str, headers: dict[str, str]) -> Reply:
    if key not in shelf.objects:
        return (
            404,
            {},
            b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>",
        )
    body, etag = shelf.objects[key]
    extra = {
        "etag": f'"{etag}"',
        "last-modified": "Fri, 20 Nov 2026 10:00:00 GMT",
        "content-type": "binary/octet-stream",
    }
    if headers.get("if-none-match") == extra["etag"]:
        return 304, extra, b""
    if found := re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", "")):
        first, last = int(found[1]), min(int(found[2] or len(body)), len(body) - 1)
        return 206, extra | {"content-range": f"bytes {first}-{last}/{len(body)}"}, body[first : last + 1]
    return 200, extra, body


def copy(shelf: Shelf, source: str, key: str, headers: dict[str, str]) -> Reply:
    if source not in shelf.objects:
        return 404, {}, b"<Error><Code>NoSuchKey</Code><Message>no source</Message></Error>"
    body, etag = shelf.objects[source]
    if headers.get("x-amz-copy-source-if-match", etag).strip('"') != etag:
        return 412, {}, b"<Error><Code>PreconditionFailed</Code><Message>other version</Message></Error>"
    shelf.objects[key] = body, etag
    return 200, {}, f"<CopyObjectResult><ETag>&quot;{etag}&quot;</ETag></CopyObjectResult>".encode()


def list_keys(shelf: Shelf, query: dict[str, list[str]]) -> bytes:
    prefix = f"{BUCKET}/" + query.get("prefix", [""])[0]
    after = query.get("continuation-token", query.get("start-after", [""]))[0]
    keys = sorted(k for k in shelf.objects if k.startswith(prefix) and k[len(BUCKET) + 1 :] > after)
    folders: list[str] = []
    if "delimiter" in query:
        cut = {k: k.find("/", len(prefix)) for k in keys}
        folders = sorted({k[: at + 1] for k, at in cut.items() if at >= 0})
        keys = [k for k in keys if cut[k] < 0]
    page, coded = keys[:1000], query.get("encoding-type") == ["url"]
    rows = [f"<IsTruncated>{str(len(keys) > 1000).lower()}</IsTruncated>"]
    if len(keys) > 1000:
        rows.append(f"<NextContinuationToken>{escape(page[-1][len(BUCKET) + 1 :])}</NextContinuationToken>")
    rows += [f"<CommonPrefixes><Prefix>{escape(f[len(BUCKET) + 1 :])}</Prefix></CommonPrefixes>" for f in folders]
    for key in page:
        body, etag = shelf.objects[key]
        name = key[len(BUCKET) + 1 :]
        shown = quote(name, safe="/") if coded else escape(name)
        rows.append(
            f"<Contents><Key>{shown}</Key><LastModified>{MODIFIED}</LastModified><ETag>&quot;{etag}&quot;</ETag>"
            f"<Size>{len(body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
    head = f"<Name>{BUCKET}</Name><EncodingType>url</EncodingType>" if coded else f"<Name>{BUCKET}</Name>"
    return f'<?xml version="1.0"?><ListBucketResult>{head}{"".join(rows)}</ListBucketResult>'.encode()


def unchunk(body: bytes) -> bytes:
    """The payload of an aws-chunked body; its trailing checksum is believed."""
    parts, at = [], 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size


ACCOUNT = (
    b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    b"<Arn>arn:aws:iam::123456789012:root</Arn><UserId>123456789012</UserId><Account>123456789012</Account>"
    b"</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


async def serve(shelf: Shelf, delay: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(shelf, delay), "127.0.0.1", 0, backlog=1024
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=300)
    parser.add_argument("--delay", type=float, default=0.025)
    parser.add_argument("--rgba", action="store_true")
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, help="width and height in pixels")
    parser.add_argument("--photographs", type=int, default=0, help="so many images of --megabytes, and nothing else")
    parser.add_argument("--megabytes", type=float, default=1.0)
    options = parser.parse_args()
    shelf = Shelf()
    if options.photographs:
        fill_photographs(shelf, options.photographs, options.megabytes)
    else:
        fill(shelf, options.objects, rgba=options.rgba, size=tuple(options.size))
    try:
        import uvloop

        uvloop.run(serve(shelf, options.delay))
    except ImportError:
        asyncio.run(serve(shelf, options.delay))


if __name__ == "__main__":
    main()
