"""Child processes for templates and outlines: limits of time and memory, and a restart after a crash."""

from __future__ import annotations

import io
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from labeling_fixture import TEMPLATE, Api, Labeling
from PIL import Image

from gtseg.local.algorithm.untrusted.pictures import PictureError
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.answers import read_answer
from gtseg.local.labeling.input_objects import decode_size
from gtseg.local.labeling.links import Links
from gtseg.local.labeling.pictures import PixelSemaphore
from gtseg.local.labeling.portal.outlines import decode_stored
from gtseg.local.labeling.rendering import Renderer

LINKS = Links("http://127.0.0.1:1", "us-east-1", "AKIA", "a-secret-key")
INPUT = {"taskObject": "s3://b/k.jpg", "labels": ["cat"]}


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    made = Renderer(children=1, seconds=1.5)
    yield made
    made.close()


EXCESSIVE = {
    "a range of 20 million, joined": "{{ (1..20000000) | join: ',' | size }}",
    "replace upon replace": "{{ 'a'" + " | replace: 'a', 'aaaaaaaaaa'" * 10 + " | size }}",
    "a base64 of a base64": "{{ (1..5000000) | join | base64_encode | base64_encode | base64_encode | size }}",
    "a number squared and squared": (
        "{% assign n = 99999999 %}{% for i in (1..40) %}{% assign n = n | times: n %}{% endfor %}{{ n }}"
    ),
    "a natural sort of a million": (
        "{{ (1..1000000) | sort_natural | size }}{{ (1..3000000) | sort_natural | size }}{{ (1..5000000) | "
        "sort_natural | size }}"
    ),
}


@pytest.mark.parametrize("name", EXCESSIVE)
def test_a_template_beyond_its_limits_is_refused_and_the_next_one_is_rendered(renderer: Renderer, name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ServiceError, match="cannot be rendered") as caught:
        renderer.render(EXCESSIVE[name], INPUT, LINKS)
    assert caught.value.code == "ValidationException"
    with pytest.raises(ServiceError, match="cannot be rendered"):
        renderer.render(EXCESSIVE[name], INPUT, LINKS)  # remembered: at once
    assert "X-Amz-Signature" in renderer.render(TEMPLATE, INPUT, LINKS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10


def test_a_template_cannot_print_signing_keys(renderer: Renderer) -> None:
    names = ("granting", "grants", "grant", "links", "environment", "self", "context", "task")
    shown = "".join(renderer.render("{{ " + name + " }}{{ " + name + " | to_json }}", INPUT, LINKS) for name in names)
    assert LINKS.secret_key not in shown
    assert LINKS.secret_key not in repr(LINKS)
    assert "Links" not in shown


def test_a_killed_renderer_is_restarted(renderer: Renderer) -> None:
    for _ in range(2):
        assert renderer.render("{{ task.input.labels | join }}", INPUT, LINKS) == "cat"
        child = renderer.free.get()
        os.kill(child.pid or 0, signal.SIGKILL)
        renderer.free.put(child)


@pytest.mark.parametrize("template", ["{% if %}", "{{", "{% for i in (1..3) %}" * 3000])
def test_the_error_of_an_invalid_template_is_returned(renderer: Renderer, template: str) -> None:
    assert renderer.check(template)
    assert renderer.check(TEMPLATE) == ""


def test_decoding_never_exceeds_the_limit_on_pixels() -> None:
    turns, held, most = PixelSemaphore(10), [0], [0]
    lock = threading.Lock()

    def decode(pixels: int) -> None:
        with turns.hold(pixels):
            with lock:
                held[0] += min(pixels, 10)
                most[0] = max(most[0], held[0])
            with lock:
                held[0] -= min(pixels, 10)

    threads = [threading.Thread(target=decode, args=(n % 12 + 1,)) for n in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 10
    assert turns.held == 0
    with turns.hold(10), pytest.raises(ServiceError, match="SlowDown"), turns.hold(1, seconds=0):
        pass


# ---- files of strangers

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n"


def encoded(form: str, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (8, 8)).save(out, form)
    return out.getvalue()


HOSTILE = {
    "PostScript": POSTSCRIPT,
    "nothing": b"",
    "a GIF": encoded("GIF"),
    "a TIFF": encoded("TIFF"),
    "a PNG cut short": encoded("PNG")[:44],
    "a PNG with a huge text": encoded("PNG")[:33] + b"\x7f\xff\xff\xffzTXt" + bytes(50),
    "a JPEG of noise": encoded("JPEG")[:100] + os.urandom(300),
}


def attempt(decode: Callable[[bytes], Any], content: bytes) -> Exception | None:
    """Result of decoding, which may be noise."""
    try:
        decode(content)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("name", HOSTILE)
def test_only_jpeg_and_png_are_opened_and_no_interpreter_is_started(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gs = tmp_path / "gs"
    gs.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert isinstance(attempt(decode_stored, HOSTILE[name]), ServiceError | None)
    assert isinstance(attempt(decode_size, HOSTILE[name]), PictureError | None)
    assert not (tmp_path / "started").exists()


def test_an_mpo_is_read_as_its_first_jpeg() -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 0, 0)).save(out, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 6))])
    assert decode_size(out.getvalue()) == (8, 6)
    assert decode_stored(out.getvalue()).shape == (6, 8, 3)


def test_an_answer_of_81_megapixels_is_in_memory_once() -> None:
    """Peak memory of a process that reads one: RGBA (324 MB), indices (81 MB), and little more."""
    import base64
    import subprocess
    import sys

    size = (9000, 9000)
    out = io.BytesIO()
    Image.new("RGBA", size).save(out, "PNG", compress_level=1)
    text = base64.b64encode(out.getvalue()).decode()
    code = (
        "import sys, resource\n"
        "from gtseg.local.labeling.answers import index_pixels\n"
        "import base64\n"
        "png = base64.b64decode(sys.stdin.read())\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "mask = index_pixels(png, {0x2ca02c: 1})\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10, mask.shape)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True)
    more, shape = found.stdout.split(" ", 1)
    assert shape.strip() == "(9000, 9000)"
    assert int(more) < 480, found.stdout


# ---- outlines in a process of their own, on a real server


def outline_process(aws: Any) -> psutil.Process:
    (found,) = [
        child
        for child in psutil.Process(aws.pid).children()
        if any(part.endswith("outline_process") for part in child.cmdline())
    ]
    return found


def test_a_killed_outline_process_is_restarted(shared_aws: Any) -> None:
    labeling = Labeling(shared_aws)
    labeling.put("large.png", picture(320, 240))
    job = labeling.create([{"source-ref": f"s3://{labeling.bucket}/large.png"}])
    worker: Api = labeling.hire()
    path = f"/tasks/{labeling.lease(worker, job)['task']}/autosegment"
    points = {"points": [[160, 60], [220, 120], [160, 180], [100, 120]]}
    assert worker("GET", path)[0] == 200
    status, first = worker("POST", path, points)
    assert status == 200
    assert first["rows"]
    outline_process(shared_aws).kill()
    assert worker("POST", path, points) == (200, first)
    for bad in (
        {},
        {"points": [[1, 2]] * 3},
        {"points": [["x", "y"]] * 4},
        {"points": [[1, 2]] * 4, "inside": 5},
    ):
        assert worker("POST", path, bad)[0] == 400


def picture(width: int, height: int) -> bytes:
    pixels = np.full((height, width, 3), 90, np.uint8)
    pixels[height // 4 : 3 * height // 4, width // 3 : 2 * width // 3] = (200, 120, 60)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_answers_in_other_formats_than_png_are_refused() -> None:
    with pytest.raises(ServiceError, match="is not a PNG"):
        read_answer(
            {
                "e": {
                    "inputImageProperties": {"width": 8, "height": 8},
                    "labelMappings": {},
                    "labeledImage": {"pngImageData": "JSFQUw=="},
                }
            },
            ["cat"],
            (8, 8),
        )
