"""Untrusted images: every reader accepts JPEG and PNG only, and reports other input as an error."""

from __future__ import annotations

import ast
import contextlib
import io
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from gtseg.local.algorithm.container import ClientError
from gtseg.local.algorithm.inference.predict import decode
from gtseg.local.algorithm.pairs import Pair, check_pair, read_image, read_mask
from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.answers import index_pixels
from gtseg.local.labeling.crowd import read_values
from gtseg.local.labeling.input_objects import InputError, measure_image
from gtseg.local.labeling.portal.gallery import make_background_transparent
from gtseg.local.labeling.portal.outlines import decode_stored
from gtseg.local.storage.folder import FolderObjects

LOCAL = Path(__file__).resolve().parents[2] / "gtseg" / "local"
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def save(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 6)).save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def claim(width: int, height: int) -> bytes:
    """A PNG of a few bytes with a header of any size."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def scan(times: int) -> bytes:
    """A progressive JPEG with its last scan repeated; each repetition of a few bytes is work for every pixel."""
    whole = save("JPEG", progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * times + whole[-2:]


PNG = save("PNG")
HOSTILE = {
    "PostScript": POSTSCRIPT,
    "GIF": save("GIF"),
    "TIFF": save("TIFF"),
    "text": b"no picture",
    "nothing": b"",
    "cut short": PNG[: len(PNG) // 2],
    "no pixels in it": claim(8, 6),
    "100,000 x 100,000": claim(100_000, 100_000),
    "11,000 x 11,000": claim(11_000, 11_000),
    "a JPEG of 5,000 scans": scan(5000),
    "damaged pixels": PNG.replace(b"IDAT", b"IDAT\xff\xff"),
}


def measure(body: bytes, folder: Path) -> object:
    objects = FolderObjects(folder)
    objects.create_bucket("b")
    objects.put("b", "a.png", body)
    return measure_image(objects, "s3://b/a.png").size


def write(body: bytes, folder: Path) -> Path:
    path = folder / "a.png"
    path.write_bytes(body)
    return path


TABLE = np.zeros(256, np.int16)
READERS: dict[str, tuple[type[Exception], Callable[[bytes, Path], object]]] = {
    "mask of a channel": (ClientError, lambda body, folder: read_mask(write(body, folder), TABLE)),
    "pair of a channel": (
        ClientError,
        lambda body, folder: check_pair(Pair(write(body, folder), write(body, folder)), TABLE),
    ),
    "request to an endpoint": (ClientError, lambda body, _: decode(body, smallest=8)),
    "data object of a job": (InputError, measure),
    "image to outline": (ServiceError, lambda body, _: decode_stored(body)),
    "mask to show": (ServiceError, lambda body, _: make_background_transparent(body)),
    "mask of a worker": (ServiceError, lambda body, _: index_pixels(body, {})),
    "mask of the crowd": (ValueError, lambda body, folder: read_values(write(body, folder))),
}


@pytest.fixture(autouse=True)
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `gs` program on PATH that creates a file when started."""
    trace, program = tmp_path / "started", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho $* >> {trace}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return trace


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_refused_and_starts_no_program(
    name: str, reader: str, tmp_path: Path, interpreter: Path
) -> None:
    error, read = READERS[reader]
    if (name, reader) == ("no pixels in it", "data object of a job"):
        pytest.skip("a data object's PNG is checked by its checksums, which are right here")
    with pytest.raises(error):
        read(HOSTILE[name], tmp_path)
    assert not interpreter.exists()


def test_pillow_alone_would_start_the_postscript_interpreter(tmp_path: Path, interpreter: Path) -> None:
    with (
        Image.open(io.BytesIO(POSTSCRIPT)) as image,
        contextlib.suppress(OSError, subprocess.CalledProcessError),
    ):
        image.load()
    assert interpreter.exists()


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_reads_a_png(reader: str, tmp_path: Path) -> None:
    READERS[reader][1](PNG, tmp_path)


def test_a_jpeg_with_two_images_is_read_as_its_first(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (32, 24), color) for color in ("red", "blue")]
    file = io.BytesIO()
    pictures[0].save(file, "MPO", save_all=True, append_images=pictures[1:])
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    assert measure(file.getvalue(), tmp_path) == (32, 24)
    for image in (
        decode(file.getvalue(), smallest=8)[0],
        read_image(tmp_path / "a.jpg", smallest=8),
        decode_stored(file.getvalue())[..., ::-1],
    ):
        assert image[0, 0].tolist() == pytest.approx([0, 0, 254], abs=3)


def test_the_error_of_a_damaged_image_gives_the_reason() -> None:
    with (
        pytest.raises(PictureError, match="has 11000x11000 pixels, more than the allowed 100000000"),
        open_picture(HOSTILE["11,000 x 11,000"]),
    ):
        pass
    with pytest.raises(PictureError, match="is not a JPEG or PNG image"), open_picture(POSTSCRIPT):
        pass


def test_the_embedded_aws_opens_images_in_one_module_only() -> None:
    calls = {
        path.name
        for path in LOCAL.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open"
    }
    assert calls == {"pictures.py"}


def test_a_normal_progressive_jpeg_is_opened() -> None:
    for body in (save("JPEG", progressive=True), scan(50)):
        with open_picture(body) as image:
            assert np.array(image).shape == (6, 8)
