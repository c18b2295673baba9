"""Invalid manifests and masks in `gtseg dataset`: exit code, error message, counts and written files."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from corpus_project import Project
from PIL import Image

from gtseg.aws.s3 import S3

SIZE = (16, 12)
WHITE, GREEN = (255, 255, 255), (0x2C, 0xA0, 0x2C)
MAP = {
    "0": {"class-name": "BACKGROUND", "hex-color": "#ffffff", "confidence": 0},
    "1": {"class-name": "cat", "hex-color": "#2ca02c", "confidence": 0},
}
KIND = "groundtruth/semantic-segmentation"


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def photo(number: int = 0, size: tuple[int, int] = SIZE) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return encode(Image.fromarray(pixels), "JPEG")


def indices(number: int = 0) -> np.ndarray:
    values = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    values[2:6, 3 : 6 + number % 5] = 1
    return values


def palette_png(values: np.ndarray, colors: list[tuple[int, int, int]], **options: Any) -> bytes:
    image = Image.fromarray(values, "P")
    image.putpalette([v for color in colors for v in color])
    return encode(image, **options)


def mask(number: int = 0) -> bytes:
    return palette_png(indices(number), [WHITE, GREEN])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(
    width: int, height: int, data: bytes, *, depth: int = 8, kind: int = 3, palette: bytes = b"\xff" * 6
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [
        chunk(b"IHDR", header),
        chunk(b"PLTE", palette) if palette else b"",
        chunk(b"IDAT", data),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def rgb(color: tuple[int, ...]) -> np.ndarray:
    table = np.array([WHITE, GREEN], np.uint8)[indices()]
    table[0, 0] = color
    return table


def line(image: str, label: str, colors: Any = MAP, **more: Any) -> dict[str, Any]:
    return {
        "source-ref": image,
        "a-ref": label,
        "a-ref-metadata": {"internal-color-map": colors, "type": KIND, **more},
    }


# ---- manifests that are rejected completely --------------------------------------------------------------------------

GOOD = json.dumps(line("s3://BUCKET/0.jpg", "s3://BUCKET/0.png")).encode()
FATAL: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "has no semantic segmentation label"),
    "blank lines only": (b"\n\r\n \n", "has no semantic segmentation label"),
    "a line cut off": (GOOD + b"\n" + GOOD[:60], "line 2 is not a JSON object"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "line 1 is not a JSON object"),
    "gzip": (gzip.compress(GOOD), "line 1 is not a JSON object"),
    "pretty-printed JSON": (json.dumps([json.loads(GOOD)], indent=1).encode(), "line 1"),
    "one JSON array": (b"[" + GOOD + b"]", "line 1 is not a JSON object"),
    "CSV": (b"image,mask\na.jpg,a.png\n", "line 1 is not a JSON object"),
    "a web page": (b"<html>403 Forbidden</html>", "line 1 is not a JSON object"),
    "NUL bytes": (GOOD + b"\n" + bytes(100), "line 2 is not a JSON object"),
    "JSON nested 50,000 levels deep": (GOOD + b"\n" + b'{"a":' * 50_000, "line 2 is not a JSON object"),
    "a line of 5 MB": (GOOD + b"\n" + b'{"source-ref":"' + b"x" * 5_000_000, "line 2 is longer than"),
    "no source-ref": (GOOD + b'\n{"source":"some text"}', "line 2 names no image"),
    "a source-ref that is a number": (GOOD + b'\n{"source-ref":7}', "line 2 names no image"),
    "no labeled object": (b'{"source-ref":"s3://b/a.jpg"}\n' * 3, "label"),
    "only failed objects": (
        b'{"source-ref":"s3://b/a.jpg","a-ref-metadata":{"failure-reason":"no worker answered","type":"' + KIND.encode()
        + b'"}}',
        "no worker answered",
    ),
    "another task type": (
        (
            b'{"source-ref":"s3://b/a.jpg","a":0,"a-metadata":{"class-name":"cat",'
            b'"type":"groundtruth/image-classification"}}'
        ),
        "label",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FATAL)
def test_an_unreadable_manifest_is_one_error_and_nothing_is_written(project: Project, name: str) -> None:
    body, words = FATAL[name]
    project.put("0.jpg", photo())
    project.put("0.png", mask())
    uri = project.put("output.manifest", body.replace(b"BUCKET", project.bucket.encode()))
    result = project.run("dataset", "--manifest", uri)
    assert result.code in (1, 2, 3), result
    assert len(result.lines) == 1, result.err
    assert words in result.lines[0]
    assert "Traceback" not in result.err
    assert len(result.lines[0]) < 1500
    assert uri in result.lines[0]
    assert result.lines[0].isprintable()
    assert project.keys("bad/") == []


# ---- one bad object among good ones ----------------------------------------------------------------------------------

HUGE = zlib.compress(bytes(60_000_000))
MASKS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a PNG"),
    "a JPEG": (photo(), "not a PNG"),
    "a web page": (b"<html>", "not a PNG"),
    "another size": (palette_png(np.zeros((3, 4), np.uint8), [WHITE]), "its image 16x12"),
    "transposed": (palette_png(indices().T.copy(), [WHITE, GREEN]), "EXIF orientation"),
    "RGBA with a soft edge": (encode(Image.fromarray(np.dstack([rgb(WHITE), np.full((12, 16), 128, np.uint8)]))),
    "anti-aliased"),
    "RGB with an unknown color": (encode(Image.fromarray(rgb((1, 2, 3)))), "#010203"),
    "16-bit gray": (encode(Image.fromarray(indices().astype(np.uint16) * 999)), "map"),
    "gray with colors in the map": (encode(Image.fromarray(indices())), "hex-color"),
    "a palette without the label's color": (palette_png(indices(), [WHITE, (9, 9, 9)]), "#090909"),
    "a palette that is too short": (
        raw_png(*SIZE, zlib.compress(b"".join(b"\0" + bytes([7] * 16) for _ in range(12)))), "without a label",
    ),
    "a palette PNG without palette": (raw_png(*SIZE, zlib.compress(bytes(17 * 12)), palette=b""), ""),
    "truncated": (mask()[:-20], "truncated"),
    "a wrong checksum": (mask()[:60] + b"\0" + mask()[61:], ""),
    "fewer rows than in the header": (raw_png(*SIZE, zlib.compress(bytes(40))), "decoded"),
    "more rows than in the header (decompression bomb)": (raw_png(*SIZE, HUGE), ""),
    "billions of pixels": (raw_png(100_000, 100_000, zlib.compress(bytes(100))), "100000x100000"),
    "zero pixels": (raw_png(0, 0, zlib.compress(b"")), "0x0"),
    "an invalid bit depth in the header": (raw_png(*SIZE, zlib.compress(bytes(50)), depth=3), ""),
}  # fmt: skip
MAPS: dict[str, tuple[Any, str]] = {
    "no map": (None, "internal-color-map"),
    "a map that is a list": ([1, 2], "internal-color-map"),
    "an empty map": ({}, "internal-color-map"),
    "a key that is not a pixel value": ({"x": {"class-name": "cat"}}, "'x'"),
    "a pixel value of 300": ({"300": {"class-name": "cat"}}, "300"),
    "a class without a name": ({"1": {"hex-color": "#2ca02c"}}, "class-name"),
    "a color name instead of a hex color": ({"1": {"class-name": "cat", "hex-color": "green"}}, "green"),
    "a class that is a number": ({"1": {"class-name": 7}}, "class-name"),
}
PLACES: dict[str, tuple[dict[str, Any], str]] = {
    "a missing image": ({"source-ref": "s3://BUCKET/nowhere.jpg"}, "nowhere.jpg"),
    "an image in a missing bucket": (
        {"source-ref": "s3://no-such-bucket-here/a.jpg"},
        "no-such-bucket-here",
    ),
    "a missing mask": ({"a-ref": "s3://BUCKET/nowhere.png"}, "nowhere.png"),
    "a mask that is a number": ({"a-ref": 5}, "a-ref"),
    "an image that is text": ({"source-ref": "s3://BUCKET/words.jpg"}, ""),
    "an image that is a GIF": ({"source-ref": "s3://BUCKET/moving.jpg"}, "GIF"),
    "an image truncated in its header": ({"source-ref": "s3://BUCKET/cut.jpg"}, ""),
    "a local file as the image": ({"source-ref": "/etc/passwd"}, "/etc/passwd"),
    "a local file as the mask": ({"a-ref": "/etc/hostname"}, "/etc/hostname"),
    "another scheme": ({"source-ref": "http://127.0.0.1:9/a.jpg"}, "http://127.0.0.1:9"),
}


def test_invalid_objects_are_rejected_with_a_reason_and_valid_ones_become_the_dataset(project: Project) -> None:
    lines: dict[str, dict[str, Any]] = {}
    for key, body in (
        ("words.jpg", b"hello"),
        ("moving.jpg", encode(Image.new("P", SIZE), "GIF")),
        ("cut.jpg", photo()[:30]),
    ):
        project.put(key, body)

    def place(name: str, label: bytes, colors: Any = MAP) -> dict[str, Any]:
        number = len(lines)
        return line(project.put(f"{number}.jpg", photo(number)), project.put(f"{number}.png", label), colors)

    for number in range(10):
        lines[f"good {number}"] = place("", mask(number))
    for name, (body, _) in MASKS.items():
        lines[f"mask: {name}"] = place(name, body)
    for name, (colors, _) in MAPS.items():
        lines[f"map: {name}"] = place(name, mask(), colors)
    for name, (changes, _) in PLACES.items():
        text = json.dumps(place(name, mask()) | changes)
        lines[f"place: {name}"] = json.loads(text.replace("BUCKET", project.bucket))
    body = b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(one).encode() for one in lines.values())
    uri = project.put("output.manifest", body)
    result = project.run("dataset", "--manifest", uri, "--label-attribute", "a-ref")
    assert result.code == 5, result.err[-3000:]
    assert "Traceback" not in result.err
    records = [
        json.loads(text)
        for text in S3(project.clients).read(f"s3://{project.bucket}/bad/objects.jsonl")[0].splitlines()
    ]
    assert len(records) == len(lines)
    found = dict(zip(lines, records, strict=True))
    wrong = {}
    for title, cases in (("mask", MASKS), ("map", MAPS), ("place", PLACES)):
        for name, (_, words) in cases.items():
            record = found[f"{title}: {name}"]
            reason = record.get("reason", "")
            if (
                record["status"] not in ("rejected", "failed")
                or not reason
                or words not in f"{reason} {record['image']} {record.get('mask', '')}"
            ):
                wrong[f"{title}: {name}"] = (record["status"], reason[:200])
    assert not wrong, json.dumps(wrong, indent=1)
    assert all(found[f"good {number}"]["status"] == "accepted" for number in range(10))
    written = [key for key in project.keys("bad/channels/") if key.endswith((".jpg", ".png"))]
    assert len(written) == 20
    described = json.loads(S3(project.clients).read(f"s3://{project.bucket}/bad/dataset.json")[0])
    counts = described["counts"]
    assert sum(counts[part] for part in ("train", "validation", "test")) == 10
    assert counts["rejected"] + counts["failed"] == len(lines) - 10


def test_lines_with_the_same_image_are_in_one_split(project: Project) -> None:
    one = [line(project.put(f"{n}.jpg", photo(n)), project.put(f"{n}.png", mask(n))) for n in range(10)]
    body = b"\n".join(json.dumps(entry).encode() for entry in [*one, one[0]])
    result = project.run("dataset", "--manifest", project.put("output.manifest", body))
    assert result.code in (0, 5), result.err
    records = [
        json.loads(text)
        for text in S3(project.clients).read(f"s3://{project.bucket}/bad/objects.jsonl")[0].splitlines()
    ]
    pair = [record for record in records if record["image"] == one[0]["source-ref"]]
    assert len({record["split"] for record in pair if record["status"] == "accepted"}) == 1
