"""Coverage-guided fuzzing of every reader of outside bytes. Any exception that the reader does not define is a finding.

    scripts/fuzz                           each target for a minute
    scripts/fuzz manifest mask --seconds 600
    scripts/fuzz --replay FILE manifest    one input again, with its traceback

Corpora grow in .fuzz/<target>/, findings are .fuzz/<target>-crash-*. One that is mended becomes a case of
tests/corpus/test_fuzz_targets.py, which runs every target on its seeds and on what was found, without atheris.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".fuzz"
LONGEST = 65_536
SCRATCH = Path(tempfile.gettempdir()) / "gtseg-fuzz"

# ---- targets: each takes bytes, and lets through what its reader does not raise on purpose


def fuzz_manifest(data: bytes) -> None:
    from gtseg.core.labeling.output_manifest import find_label_attributes, read_manifest
    from gtseg.errors import GtsegError

    half = len(data) // 2
    with contextlib.suppress(GtsegError):
        list(read_manifest([data[:half], data[half:]], "job-ref"))
    with contextlib.suppress(GtsegError):
        find_label_attributes([data])


def fuzz_input_manifest(data: bytes) -> None:
    from gtseg.core.labeling.input_manifest import parse_input_manifest, read_side_file
    from gtseg.errors import GtsegError

    with contextlib.suppress(GtsegError):
        list(parse_input_manifest(data))
    with contextlib.suppress(GtsegError):
        read_side_file(data)


def fuzz_mask(data: bytes) -> None:
    _check_mask(data)
    if len(data) > 40:
        _check_mask(build_png(data))


def _check_mask(body: bytes) -> None:
    from gtseg.core.hosting.endpoint_images import read_mask
    from gtseg.core.masks import check_mask
    from gtseg.core.masks.colors import merge_classes, parse_color_map
    from gtseg.errors import GtsegError

    colors = parse_color_map({"0": ("BACKGROUND", "#ffffff"), "1": ("cat", "#2ca02c")})
    with contextlib.suppress(GtsegError):
        check_mask(body, colors, merge_classes([colors]), size=(4, 3))
    with contextlib.suppress(GtsegError):
        read_mask(body)


def build_png(data: bytes) -> bytes:
    """A PNG with valid checksums; its header, palette and pixels come from `data`."""
    width, height, depth, kind, interlace, colors = struct.unpack("<6B", data[:6])
    header = struct.pack(">IIBBBBB", width % 9, height % 9, depth % 20, kind % 8, 0, 0, interlace % 3)
    palette, pixels = data[6 : 6 + colors % 30], data[36:]
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(pixels, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def fuzz_image(data: bytes) -> None:
    from gtseg.core.hosting.endpoint_images import open_image
    from gtseg.core.images.examination import examine_image
    from gtseg.core.images.header import read_header, read_whole
    from gtseg.errors import GtsegError

    read_header(data, is_all=False)
    read_whole(data)
    examine_image("photo.jpg", data)
    with contextlib.suppress(GtsegError):
        open_image(data)


def fuzz_settings(data: bytes) -> None:
    from gtseg.errors import SettingsError
    from gtseg.settings import load

    text, _, flag = data.partition(b"\0")
    SCRATCH.mkdir(exist_ok=True)
    path = SCRATCH / "gtseg.toml"
    path.write_bytes(text)
    key, _, value = flag.decode("utf-8", "replace").partition("=")
    with contextlib.suppress(SettingsError):
        load(path, environ={}, flags=[(key, value)] if key else [])


def fuzz_template(data: bytes) -> None:
    from gtseg.core.labeling.task_template import task_template
    from gtseg.errors import GtsegError
    from gtseg.local.errors import ServiceError
    from gtseg.local.labeling.templates import check_template, render

    text = data.decode("utf-8", "replace")
    with contextlib.suppress(GtsegError):
        task_template(text, header="h", instructions="i")
    task = {"taskObject": "s3://b/a.jpg", "labels": [{"label": "cat"}]}
    with contextlib.suppress(ServiceError):
        render(check_template(text), task, grant=lambda uri: f"https://{uri}")


def fuzz_signature(data: bytes) -> None:
    from gtseg.local.errors import ServiceError
    from gtseg.local.front.signature import parse_query, parse_signed, verify

    path, _, rest = data.partition(b"\n")
    query, _, lines = rest.partition(b"\n")
    pairs = parse_query(query)
    named = (line.partition(":") for line in lines.decode("latin-1").split("\n"))
    headers = {name.strip().lower(): value.strip() for name, _, value in named}
    with contextlib.suppress(ServiceError):
        if signed := parse_signed(headers, dict(pairs)):
            verify(
                signed,
                method="GET",
                raw_path=path,
                query=pairs,
                headers=headers,
                payload_hash="UNSIGNED-PAYLOAD",
                find_secret=lambda key: "secret",
                now=datetime(2026, 11, 20, tzinfo=UTC),
            )


def fuzz_chunked(data: bytes) -> None:
    from gtseg.local.errors import ServiceError
    from gtseg.local.s3.chunked import ChunkedDecoder

    if not data:
        return
    step = data[0] % 50 + 1
    for has_trailer in (True, False):
        decoder, taken = ChunkedDecoder(signer=None, has_trailer=has_trailer), 0
        with contextlib.suppress(ServiceError):
            for at in range(1, len(data), step):
                taken += len(decoder.feed(data[at : at + step]))
            decoder.finish()
        if taken > len(data):
            raise AssertionError("more came out than went in")


def fuzz_json(data: bytes) -> None:
    from gtseg.local.errors import ServiceError
    from gtseg.local.front.protocol import load_model, read_request

    model = load_model("sagemaker")
    for name in ("CreateLabelingJob", "CreateTrainingJob", "ListLabelingJobs"):
        with contextlib.suppress(ServiceError):
            read_request(data, model.operation_model(name).input_shape)


def fuzz_xml(data: bytes) -> None:
    from gtseg.local.errors import ServiceError
    from gtseg.local.s3.multipart import _read_wanted
    from gtseg.local.s3.tags import read_tag_document, read_tag_header
    from gtseg.local.s3.xml import parse

    for read in (
        lambda: parse(data, "Delete"),
        lambda: _read_wanted(data),
        lambda: read_tag_document(data, limit=10),
        lambda: read_tag_header({"x-amz-tagging": data.decode("latin-1")}),
    ):
        with contextlib.suppress(ServiceError):
            read()


def fuzz_answer(data: bytes) -> None:
    import base64

    from gtseg.local.errors import ServiceError
    from gtseg.local.labeling.answers import read_answer

    with contextlib.suppress(ServiceError, ValueError, RecursionError):
        document = json.loads(data)
    if "document" in locals():
        with contextlib.suppress(ServiceError):
            read_answer(document, ["cat"], (4, 3))
    if len(data) > 40:
        for body in (data, build_png(data)):
            painted = {
                "inputImageProperties": {"width": 4, "height": 3},
                "labelMappings": {"cat": {"color": "#2ca02c"}},
                "labeledImage": {"pngImageData": base64.b64encode(body).decode()},
            }
            with contextlib.suppress(ServiceError):
                read_answer({"crowd-semantic-segmentation": painted}, ["cat"], (4, 3))


def fuzz_recordio(data: bytes) -> None:
    from gtseg.core.hosting.recordio import RecordError, decode_probabilities

    with contextlib.suppress(RecordError):
        decode_probabilities(data)
    with contextlib.suppress(RecordError):
        decode_probabilities(struct.pack("<II", 0xCED7230A, len(data)) + data + bytes(-len(data) % 4))


def fuzz_archive(data: bytes) -> None:
    from gtseg.local.algorithm.untrusted.model_archive import BadArchive, unpack

    with tempfile.TemporaryDirectory() as scratch:
        path, folder = Path(scratch) / "model.tar.gz", Path(scratch) / "in" / "side"
        folder.mkdir(parents=True)
        for body in (data, gzip.compress(data, 1)):
            path.write_bytes(body)
            with contextlib.suppress(BadArchive, OSError, EOFError, zlib.error):
                unpack(path, folder)
        if {p.name for p in Path(scratch).iterdir()} | {p.name for p in folder.parent.iterdir()} != {
            "model.tar.gz",
            "in",
            "side",
        }:
            raise AssertionError("something left the folder")


@dataclass(frozen=True)
class Target:
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[str, ...] = field(default=())
    """What the reader looks for, for the fuzzer's dictionary."""


LINE = json.dumps({
    "source-ref": "s3://b/a.jpg", "job-ref": "s3://b/m.png",
    "job-ref-metadata": {"internal-color-map": {"0": {"class-name": "BACKGROUND", "hex-color": "#ffffff",
    "confidence": 0.9}},
                         "type": "groundtruth/semantic-segmentation", "human-annotated": "yes"},
}).encode()  # fmt: skip
AUTHORIZATION = (
    b"AWS4-HMAC-SHA256 Credential=AKIA/20261120/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=ab"
)
PRESIGNED = b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20261120%2Fus-east-1%2Fs3%2Faws4_request"
TEMPLATE = (
    b'<script src="https://assets.crowd.aws/crowd-html-elements.js"></script><crowd-form><crowd-semantic-segmentation '
    b'name="crowd-semantic-segmentation" src="{{ task.input.taskObject | grant_read_access }}" '
    b'labels="{{ task.input.labels | to_json | escape }}"></crowd-semantic-segmentation></crowd-form>'
)
SETTINGS = (
    b'[project]\nname = "a"\n[labeling]\nlabels = ["cat"]\ntask_lifetime = "10d"\n[dataset]\nsplit = { train = 1.0 }\n'
)
PAINTED = {
    "inputImageProperties": {"width": 4, "height": 3},
    "labelMappings": {"cat": {"color": "#2ca02c"}},
    "labeledImage": {"pngImageData": "iVBORw0KGgo="},
}
TAR = b"a.txt".ljust(100, b"\0") + b"0000644\0" + bytes(16) + b"00000000003\0" + bytes(376)
TARGETS: dict[str, Target] = {
    "manifest": Target(fuzz_manifest, (LINE + b"\n", b"\xef\xbb\xbf" + LINE + b"\r\n\n{}")),
    "input-manifest": Target(fuzz_input_manifest, (b'{"source-ref":"s3://b/a.jpg"}\n', b'{"source":"x"}')),
    "mask": Target(fuzz_mask, (build_png(bytes([4, 3, 8, 3, 0, 6]) + bytes(range(80))), bytes(range(90)))),
    "image": Target(
        fuzz_image,
        (
            build_png(bytes([4, 3, 8, 2, 0, 0]) + bytes(90)),
            b"\xff\xd8\xff\xe1\0\x10Exif\0\0MM\0*\0\0\0\x08\0\x01\xff\xd9",
        ),
    ),
    "settings": Target(fuzz_settings, (SETTINGS, SETTINGS + b"\0train.max_runtime=1h")),
    "template": Target(
        fuzz_template,
        (TEMPLATE, b"{% for a in task.input.labels %}{{ a }}{% endfor %}"),
        ("{%", "%}", "{{", "| json", "include", "capture"),
    ),
    "signature": Target(
        fuzz_signature,
        (
            b"/b/k\n\nauthorization: " + AUTHORIZATION + b"\nx-amz-date: 20261120T000000Z\nhost: h",
            b"/b/k\n"
            + PRESIGNED
            + b"&X-Amz-Date=20261120T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=a\nhost: h",
        ),
    ),
    "chunked": Target(
        fuzz_chunked,
        (
            b"\x075;chunk-signature=ab\r\nhello\r\n0;chunk-signature=ab\r\n\r\n",
            b"\x015\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
        ),
    ),
    "json": Target(
        fuzz_json,
        (
            b'{"LabelingJobName":"a","LabelAttributeName":"a-ref","Tags":[{"Key":"a","Value":"b"}]}',
            b'{"MaxResults":1e2,"CreationTimeAfter":1.5}',
            b'{"CreationTimeAfter":"2026-01-01T00:00:00Z"}',
        ),
    ),
    "xml": Target(
        fuzz_xml,
        (
            b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a</Key></Object></Delete>',
            b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>",
            b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
            b"a=b&c=d",
        ),
    ),
    "answer": Target(
        fuzz_answer,
        (
            json.dumps({"crowd-semantic-segmentation": PAINTED}).encode(),
            build_png(bytes([4, 3, 8, 6, 0, 0]) + bytes(90)),
        ),
    ),
    "recordio": Target(fuzz_recordio, (b"\x0a\x10\x0a\x05shape\x12\x07\x3a\x05\x0a\x03\x01\x02\x03", bytes(20))),
    "archive": Target(fuzz_archive, (TAR + b"abc".ljust(512, b"\0") + bytes(1024),)),
}


# ---- the runs


def run_target(name: str, seconds: int) -> int:
    """One target in a process of its own; its exit code is not 0 where something was found."""
    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = [f"-dict={write_words(name)}"] if TARGETS[name].words else []
    command = [
        sys.executable,
        __file__,
        "--target",
        name,
        str(corpus),
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST // 16}",
        f"-artifact_prefix={FOLDER}/{name}-",
        "-timeout=20",
        "-rss_limit_mb=3000",
        "-print_final_stats=1",
        *words,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    stats = [line for line in done.stderr.splitlines() if line.startswith("stat::number_of_executed_units")]
    print(
        f"{name}: exit code {done.returncode}, {''.join(stats[-1:]).rpartition(' ')[2]} inputs, "
        f"{len(list(corpus.iterdir())):,} kept",
        flush=True,
    )
    if done.returncode:
        print("\n".join(done.stderr.splitlines()[-40:]) + "\n" + done.stdout[-3000:], flush=True)
    return done.returncode


def write_words(name: str) -> Path:
    path = FOLDER / f"{name}.dict"
    path.write_text("".join(f'"{word}"\n' for word in TARGETS[name].words))
    return path


def fuzz(name: str, arguments: list[str]) -> None:
    """This process becomes libFuzzer; gtseg is instrumented as it is imported."""
    import atheris  # type: ignore[import-not-found]

    sys.path.insert(0, str(ROOT))
    target = TARGETS[name]
    with atheris.instrument_imports(include=["gtseg"]):
        for seed in target.seeds:
            target.run(seed)
    atheris.Setup([sys.argv[0], *arguments], target.run)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="run this input through the targets, without atheris"
    )
    if sys.argv[1:2] == ["--target"]:
        return fuzz(sys.argv[2], sys.argv[3:])
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    names: list[Any] = options.targets or list(TARGETS)
    if options.replay:
        sys.path.insert(0, str(ROOT))
        for name in names:
            TARGETS[name].run(options.replay.read_bytes())
        return None
    sys.exit(1 if sum(run_target(name, options.seconds) != 0 for name in names) else 0)


if __name__ == "__main__":
    main()
