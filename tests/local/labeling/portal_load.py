"""Load test: many workers at the portal over HTTP, while the server is killed and restarted.

A `Person` signs in by personal link, holds the session cookie, sends the header that guards against foreign pages,
takes a task, fetches its page and its image, submits an RGBA PNG that nobody else submits, and tries again as `api.js`
does while the server does not answer. What the server acknowledged is remembered here, and later looked for in S3.
"""

from __future__ import annotations

import base64
import hashlib
import html
import http.client
import io
import json
import random
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from labeling_fixture import Labeling
from PIL import Image
from polling import wait_for

COLOR = (0x2C, 0xA0, 0x2C)
OVER = 120.0  # seconds that one request may be repeated


class HttpError(Exception):
    """A 4xx response, which is not retried."""


@dataclass
class Load:
    """Measurements of the workers; times in seconds."""

    acknowledged: list[tuple[str, str, str]] = field(default_factory=list)  # (object, person, SHA-256 of the PNG)
    handed_out: list[float] = field(default_factory=list)  # each answered at the first try
    waited: list[tuple[float, float]] = field(default_factory=list)  # for a task: from when to when, tries included
    restarts: list[tuple[float, float]] = field(default_factory=list)  # from a kill to the first answer after it
    submitted: list[float] = field(default_factory=list)
    outlined: list[float] = field(default_factory=list)
    repeated: int = 0
    problems: list[str] = field(default_factory=list)
    kills: int = 0
    wall: float = 0.0

    def waits(self, *, outside: bool) -> list[float]:
        """Seconds from requesting a task to receiving it; `outside`: without those during a restart."""
        return [
            end - begin
            for begin, end in self.waited
            if not (outside and any(begin < up and down < end for down, up in self.restarts))
        ]

    def restart_sentence(self) -> str:
        words = [
            (
                f"{name} {1000 * statistics.median(found):.0f} ms (median), "
                f"{1000 * percentile(found, 0.95):.0f} ms (95th percentile)"
            )
            for name, found in (
                ("outside of restarts", self.waits(outside=True)),
                ("restarts included", self.waits(outside=False)),
            )
        ]
        down = sum(up - down for down, up in self.restarts)
        return (
            f"a task asked for is there after: {'; '.join(words)}; {len(self.restarts)} restarts of {down:.1f} s in all"
        )

    def sentence(self) -> str:
        times = {"handed out": self.handed_out, "answer taken": self.submitted, "outline": self.outlined}
        words = [
            (
                f"{name} in {1000 * statistics.median(found):.0f} ms (median), "
                f"{1000 * percentile(found, 0.95):.0f} ms (95th percentile)"
            )
            for name, found in times.items()
            if found
        ]
        rate = len(self.acknowledged) / self.wall
        return (
            f"{len(self.acknowledged)} answers in {self.wall:.1f} s: {rate:.1f} answers/s; {'; '.join(words)}; "
            f"{self.kills} kills, {self.repeated} requests repeated"
        )


def percentile(times: Sequence[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


class Person(threading.Thread):
    """One worker with one browser session. Ends when `over` is set, or after adding an error to `load.problems`."""

    def __init__(
        self,
        link: str,
        job: str,
        load: Load,
        *,
        column: int,
        over: threading.Event,
        think: float,
        outlines: bool,
    ) -> None:
        super().__init__(daemon=True)
        parts = urlsplit(link)
        self.address, self.secret = parts.netloc, parts.fragment
        self.job, self.load, self.column, self.over = job, load, column, over
        self.think, self.outlines = think, outlines
        self.cookie = ""
        self.random = random.Random(self.secret)
        self.connection = http.client.HTTPConnection(self.address, timeout=60)

    def run(self) -> None:
        try:
            self.sign_in()
            while not self.over.is_set():
                self.turn()
        except Exception as error:
            self.load.problems.append(f"{type(error).__name__}: {error}")
        finally:
            self.connection.close()

    def sign_in(self) -> None:
        self.retry("GET", "/_portal/signin")
        headers, _, _ = self.retry("POST", "/_portal/api/session", {"token": self.secret})
        self.cookie = headers["Set-Cookie"].partition(";")[0]
        page = self.retry("GET", f"/_portal/work/{self.job}")[1].decode()
        self.name = re.search(r'data-worker="([^"]+)"', page)[1]  # type: ignore[index]

    def turn(self) -> None:
        """Take a task and submit it; if there is none, pause."""
        begun = time.monotonic()
        _, body, took = self.retry("POST", f"/_portal/api/jobs/{self.job}/tasks")
        if not body:
            self.over.wait(0.1)
            return
        self.load.waited.append((begun, time.monotonic()))
        if took is not None:
            self.load.handed_out.append(took)
        task = json.loads(body)
        path = f"/_portal/api/tasks/{task['task']}"
        page = self.retry("GET", f"{path}/page")[1].decode()
        source = urlsplit(html.unescape(re.search(r'<crowd-semantic[^>]*\ssrc="([^"]+)"', page, re.DOTALL)[1]))  # type: ignore[index]
        assert source.netloc == self.address
        image = self.retry("GET", f"{source.path}?{source.query}")[1]
        size = Image.open(io.BytesIO(image)).size
        if self.outlines:
            self.outline(path, *size)
        self.over.wait(self.random.uniform(0.5, 1.5) * self.think)
        self.submit(task, *size)

    def outline(self, path: str, width: int, height: int) -> None:
        """The page's requests when it opens, and one object by its four extreme points."""
        self.retry("GET", f"{path}/autosegment")
        points = [[width * x, height * y] for x, y in ((0.5, 0.3), (0.5, 0.7), (0.3, 0.5), (0.7, 0.5))]
        _, _, took = self.retry("POST", f"{path}/autosegment", {"points": points})
        if took is not None:
            self.load.outlined.append(took)

    def submit(self, task: dict[str, Any], width: int, height: int) -> None:
        png = self.draw(width, height)
        answer = {
            "inputImageProperties": {"height": height, "width": width},
            "labelMappings": {"cat": {"color": "#2ca02c"}},
            "labeledImage": {"pngImageData": base64.b64encode(png).decode()},
        }
        document = {"answer": {"crowd-semantic-segmentation": answer}}
        _, _, took = self.retry("POST", f"/_portal/api/tasks/{task['task']}/answer", document)
        if took is not None:
            self.load.submitted.append(took)
        self.load.acknowledged.append((task["object"], self.name, hashlib.sha256(png).hexdigest()))

    def draw(self, width: int, height: int) -> bytes:
        """An (H, W, 4) PNG: the rectangle that all workers draw, and a pixel in this worker's column."""
        pixels = np.zeros((height, width, 4), np.uint8)
        inside = expected_mask(width, height) == 1
        pixels[inside] = (*COLOR, 255)
        pixels[self.random.randrange(height // 8), self.column] = (*COLOR, 255)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG", compress_level=1)
        return out.getvalue()

    # ---- the browser ----

    def retry(self, method: str, path: str, document: Any = None) -> tuple[Any, bytes, float | None]:
        """Return (headers, body, seconds; None after a retry); retries like `retry` of api.js. Raises HttpError."""
        begun = time.monotonic()
        for n in range(1, 100):
            tried = time.monotonic()
            found = self.ask(method, path, document)
            if found is not None:
                return *found, time.monotonic() - tried if n == 1 else None
            self.load.repeated += 1
            if time.monotonic() - begun > OVER:
                break
            self.over.wait(min(15, 2 ** min(n - 1, 4)))
        raise HttpError(f"{method} {path}: no answer for {OVER:.0f} s")

    def ask(self, method: str, path: str, document: Any) -> tuple[Any, bytes] | None:
        """Return None if the server is unreachable or restarting."""
        headers = {"X-Gtseg-Portal": "1", "Cookie": self.cookie}
        if method == "POST":
            headers["Origin"] = f"http://{self.address}"
        body = None if document is None else json.dumps(document).encode()
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self.connection.request(method, path, body, headers)
            response = self.connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            return None
        if response.status >= 500 or response.status == 429:
            return None
        if response.status >= 300:
            raise HttpError(
                f"{method} {path.partition('?')[0]}: {response.status} {content[:200].decode(errors='replace')}"
            )
        return response.headers, content


def expected_mask(width: int, height: int) -> np.ndarray:
    """(H, W) uint8: the mask that all workers draw, and therefore the consolidated one."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 4 : 3 * width // 4] = 1
    return mask


def run_load(
    labeling: Labeling,
    job: str,
    *,
    people: int,
    answers: int,
    kills: int,
    think: float = 0.0,
    outlines: bool = False,
    seconds: float = 300,
) -> Load:
    """Run workers until the job is done; kill the server with SIGKILL `kills` times and restart it on its port."""
    load, over, dice = Load(), threading.Event(), random.Random(kills)
    links = [f"{labeling.aws.url}/_portal/signin#{labeling.hire().token}" for _ in range(people)]
    crowd = [
        Person(link, job, load, column=column, over=over, think=think, outlines=outlines)
        for column, link in enumerate(links)
    ]
    begun = time.monotonic()
    for person in crowd:
        person.start()
    try:
        for number in range(kills):
            mark = answers * (number + 1) // (kills + 1)
            wait_for(lambda mark=mark: load.problems or len(load.acknowledged) >= mark, seconds=seconds)
            over.wait(dice.uniform(0, 0.1))
            port, killed = labeling.aws.port, time.monotonic()
            labeling.aws.kill9()
            labeling.aws.start(port=port)
            load.restarts.append((killed, time.monotonic()))
            load.kills += 1
        wait_for(lambda: load.problems or len(load.acknowledged) >= answers, seconds=seconds)
        load.wall = time.monotonic() - begun
        labeling.connect()
        labeling.await_end(job, seconds=seconds)
    finally:
        over.set()
        for person in crowd:
            person.join(20)
    return load


def check_load(labeling: Labeling, job: str, load: Load, *, objects: int, per_object: int) -> None:
    """Check that each object has `per_object` answers of different workers, exactly the acknowledged ones."""
    assert not load.problems, load.problems
    assert labeling.describe(job)["LabelingJobStatus"] == "Completed"
    assert labeling.describe(job)["LabelCounters"]["TotalLabeled"] == objects
    written = written_answers(labeling, job)
    assert {line: len(found) for line, found in written.items()} == {str(n): per_object for n in range(objects)}
    assert all(len({name for name, _ in found}) == per_object for found in written.values())
    in_s3 = Counter((line, name, digest) for line, found in written.items() for name, digest in found)
    assert in_s3 == Counter(load.acknowledged)
    assert max(in_s3.values()) == 1
    lines = labeling.manifest(job)
    assert [line["source-ref"].rpartition("/")[2] for line in lines] == [f"{n:03}.jpg" for n in range(objects)]
    for line in lines:
        mask = np.array(Image.open(io.BytesIO(labeling.read(line[f"{job}-ref"]))))
        assert np.array_equal(mask, expected_mask(mask.shape[1], mask.shape[0]))


def written_answers(labeling: Labeling, job: str) -> dict[str, list[tuple[str, str]]]:
    """object -> [(worker, SHA-256 of the PNG)], from the job's worker-response files: one file for each object."""
    found: dict[str, list[tuple[str, str]]] = {}
    for key in labeling.keys(f"out/{job}/annotations/worker-response/"):
        line = key.split("/")[-2]
        assert line not in found, f"two worker-response files for object {line}"
        answers = json.loads(labeling.read(f"s3://{labeling.bucket}/{key}"))["answers"]
        found[line] = [
            (answer["workerId"].rpartition(".")[2].lower(), digest_of(answer["answerContent"])) for answer in answers
        ]
    return found


def digest_of(content: dict[str, Any]) -> str:
    png = content["crowd-semantic-segmentation"]["labeledImage"]["pngImageData"]
    return hashlib.sha256(base64.b64decode(png)).hexdigest()
