"""Simulated workers: clients of the worker HTTP API that submit known masks with errors added.

`error` is the average fraction of the marked area that each worker gets wrong (see worker_errors.py); 0 submits the
masks unchanged. The answer for an object depends only on (seed, worker, object), not on timing.
"""

from __future__ import annotations

import base64
import http.client
import json
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture
from gtseg.local.identity import FalseServer, connect, prove
from gtseg.local.labeling.mask_values import VOID, ValueMeaning, ValueOptions, find_meaning
from gtseg.local.labeling.masks import color_of, encode_answer
from gtseg.local.labeling.pictures import decoding
from gtseg.local.labeling.worker_errors import add_errors, draw_generator

IDLE_SECONDS = (0.05, 1.0)
"""Shortest and longest pause between requests for work; doubles while there is none."""
SURVEY = 5000
"""Number of masks, evenly spread over the folder, whose values are read to decide what the values mean."""
ELEMENT, JUDGING = "crowd-semantic-segmentation", "crowd-image-classifier"
GOOD_IOU = 0.8
"""Mean IoU with the known mask from which a mask is judged good; three workers of --error 0.05 reach 0.9."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrowdSettings:
    """Settings of the simulated workers.

    `slow` is the mean time per task in seconds, which varies by worker; `decline` is the fraction of tasks declined.
    """

    masks: Path
    workers: int = 3
    error: float = 0.05
    seed: int = 0
    decline: float = 0.0
    slow: float = 0.0
    options: ValueOptions = field(default_factory=ValueOptions)


class RequestRejected(Exception):
    """The server answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        try:
            self.reason = str(json.loads(message)["message"])
        except (ValueError, TypeError, KeyError):
            self.reason = str(self)


class WorkerApiClient:
    """The worker API over a kept-alive connection. A request is repeated once over a new connection if it broke.

    `secret_key` is that of the server's data folder; with it, each new connection first proves the server's identity.
    Without it, the server is a remote one that the caller trusts.
    """

    def __init__(self, url: str, token: str, *, certificate: Path | None = None, secret_key: str | None = None) -> None:
        self._url, self._secret_key = url, secret_key
        self._connection = connect(url, certificate=certificate, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def request(self, method: str, path: str, document: Any = None) -> Any:
        """Return the JSON response, None for 204.

        Raises RequestRejected, and OSError if the server is unreachable or not the expected one.
        """
        content = self.fetch(method, path, document)
        return json.loads(content) if content else None

    def fetch(self, method: str, path: str, document: Any = None) -> bytes:
        """Return the response's body. Raises as `request` does."""
        body = None if document is None else json.dumps(document, separators=(",", ":")).encode()
        for attempt in (1, 2):
            try:
                self._open()
                self._connection.request(method, f"/_portal/api{path}", body, self._headers)
                response = self._connection.getresponse()
                content = response.read()
                break
            except FalseServer:
                raise
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if attempt == 2:
                    raise OSError(f"the server did not answer: {error}") from error
        if response.status >= 400:
            raise RequestRejected(response.status, content.decode(errors="replace")[:300])
        return content

    def _open(self) -> None:
        """Connect and verify the server before http.client connects and sends the token."""
        if self._connection.sock is None and self._secret_key is not None:
            prove(self._connection, secret_key=self._secret_key, url=self._url)


class MaskFolder:
    """A folder of index masks, looked up by an image's path, else by its stem."""

    def __init__(self, folder: Path, options: ValueOptions | None = None) -> None:
        self.folder, self.options = folder, options or ValueOptions()
        self._values: frozenset[int] | None = None
        self._meanings: dict[tuple[str, ...], ValueMeaning] = {}
        self._lock = threading.Lock()
        self.stems: dict[str, list[Path]] = {}
        for path in sorted(folder.rglob("*.png")):
            self.stems.setdefault(path.stem, []).append(path)
        if not self.stems:
            raise OSError(f"{folder} has no PNG masks")

    def find(self, uri: str) -> Path | None:
        """Return the mask with the longest path suffix in common with the image, else the only one with its stem.

        URIs in a manifest are not percent-encoded; if no mask has the raw name, the decoded name is tried.
        """
        key = uri.partition("://")[2].partition("/")[2]
        return self._find(PurePosixPath(key)) or ("%" in key and self._find(PurePosixPath(unquote(key)))) or None

    def _find(self, key: PurePosixPath) -> Path | None:
        parts = key.parts
        for start in range(len(parts)):
            for name in (
                PurePosixPath(*parts[start:]).with_suffix(".png"),
                PurePosixPath(*parts[start:]).with_name(key.name + ".png"),
            ):
                path = self.folder / name
                if ".." not in name.parts and path.is_file():
                    return path
        found = self.stems.get(key.stem, [])
        return found[0] if len(found) == 1 else None

    def read(self, path: Path, *, labels: Sequence[str], size: tuple[int, int]) -> np.ndarray:
        """Return the mask as (H, W) uint8 label numbers, counted without void labels; 255 is void.

        Raises ValueError.
        """
        mask = read_values(path)
        if (mask.shape[1], mask.shape[0]) != size:
            raise ValueError(f"{path.name} is {mask.shape[1]}x{mask.shape[0]}, but the image is {size[0]}x{size[1]}")
        meaning = self.meaning(labels)
        table = np.zeros(256, np.uint8)
        for value, number in meaning.codes.items():
            table[value] = number
        found = np.flatnonzero(np.bincount(mask.reshape(-1), minlength=256)).tolist()
        if lost := [value for value in found if value not in meaning.codes]:
            raise ValueError(
                f"{path.name} has the value {lost[-1]}, but the job has {len(meaning.labels)} labels: value i is "
                "the i-th label, 0 the background. To name the value of each label, use --label-values V1,V2,..."
            )
        numbers: np.ndarray = table[mask]
        if meaning.void is None and not self.options.drop_void and (void := np.count_nonzero(numbers == VOID)):
            raise ValueError(
                f"{path.name} has {void:,} void pixels, but the job has no label for them: add a label named void, or "
                "use --drop-void to make them background"
            )
        return numbers

    def meaning(self, labels: Sequence[str]) -> ValueMeaning:
        """Return the meaning of the folder's values for a job's labels. Raises ValueError if they do not match."""
        with self._lock:
            if self._values is None:
                self._values = self._survey()
            key = tuple(labels)
            if key not in self._meanings:
                self._meanings[key] = find_meaning(self._values, labels, self.options)
            return self._meanings[key]

    def _survey(self) -> frozenset[int]:
        paths = [path for found in self.stems.values() for path in found]
        seen = np.zeros(256, np.int64)
        for path in paths[:: -(-len(paths) // SURVEY)]:
            try:
                seen += np.bincount(read_values(path).reshape(-1), minlength=256)
            except (OSError, ValueError):
                continue  # declined with the reason when its image is handed out
        return frozenset(np.flatnonzero(seen).tolist())


def read_values(source: Path | bytes, name: str = "") -> np.ndarray:
    """Return the (H, W) uint8 values of an index PNG; `name` is used in errors about bytes. Raises ValueError."""
    name = source.name if isinstance(source, Path) else name
    try:
        with open_picture(source, formats=("PNG",)) as image, decoding(image.size):
            mode = image.mode
            values = np.array(image, dtype=np.uint8) if mode in ("L", "P", "1") else None
    except PictureError as error:
        raise ValueError(f"{name} {error}") from None
    if values is None:
        raise ValueError(f"{name} has mode {mode}; an index mask must have mode L or P")
    return values


class Worker(threading.Thread):
    """A simulated worker: a thread that takes tasks until `stop` is set."""

    def __init__(
        self, server: WorkerApiClient, number: int, *, crowd: CrowdSettings, masks: MaskFolder, stop: threading.Event
    ) -> None:
        super().__init__(name=f"crowd-{number}", daemon=True)
        self.server, self.number = server, number
        self.crowd, self.masks, self.stopping = crowd, masks, stop
        self.answered = 0
        # Workers differ in speed by up to a factor of three.
        self.pace = float(draw_generator(crowd.seed, "pace", number).uniform(0.5, 1.5))

    def run(self) -> None:
        """Take tasks until stopped or until the server rejects the worker's token."""
        pause = IDLE_SECONDS[0]
        while not self.stopping.is_set():
            try:
                worked = self.do_available_tasks()
            except RequestRejected as error:
                if error.status in (401, 403):
                    logger.warning("worker %s leaves: %s", self.number, error)
                    return
                worked = False
            except OSError:
                worked = False
            pause = IDLE_SECONDS[0] if worked else min(IDLE_SECONDS[1], pause * 2)
            if not worked:
                self.stopping.wait(pause)

    def do_available_tasks(self) -> bool:
        """Do all available tasks of every job; return whether there were any."""
        worked = False
        for job in self.server.request("GET", "/jobs")["jobs"]:
            while not self.stopping.is_set():
                task = self.server.request("POST", f"/jobs/{quote(job['job'], safe='')}/tasks")
                if task is None:
                    break
                self.do_task(task)
                worked = True
        return worked

    def do_task(self, task: dict[str, Any]) -> None:
        """Answer one task, or decline it with the reason."""
        path = f"/tasks/{task['task']}"
        begun = time.monotonic()
        try:
            judges = task["kind"] == "verification"
            document = {"answer": {JUDGING: self.judge(task)} if judges else {ELEMENT: self.draw(task)}}
        except (ValueError, OSError, RequestRejected) as error:
            self.server.request("POST", f"{path}/decline", {"reason": str(error)})
            return
        self.stopping.wait(max(0.0, self.draw_duration(task) - (time.monotonic() - begun)))
        try:
            self.server.request("POST", f"{path}/answer", document)
            self.answered += 1
        except RequestRejected as error:
            if error.status == 400:
                logger.warning("the server rejected an answer: %s", error)
                self.server.request("POST", f"{path}/decline", {"reason": str(error)})
            elif error.status != 410:  # the lease expired or the job ended
                raise

    def judge(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return a verdict on an earlier job's mask: good if it matches the known one; inverted at random (`error`).

        Raises ValueError or RequestRejected, with the reason, to decline.
        """
        uri = task["input"]["taskObject"]
        path = self.masks.find(uri)
        if path is None:
            raise ValueError(f"there is no mask for {uri}")
        random = draw_generator(self.crowd.seed, "verdict", self.number, uri)
        if self.crowd.decline and random.random() < self.crowd.decline:
            raise ValueError("declined at random (--decline)")
        given = read_values(self.server.fetch("GET", f"/tasks/{task['task']}/annotation"), "the annotation")
        names = find_classes(task["input"]["manifestLine"])
        truth = self.masks.read(path, labels=names, size=(task["width"], task["height"]))
        if given.shape != truth.shape:
            raise ValueError(
                f"the annotation is {given.shape[1]}x{given.shape[0]}, but the image is "
                f"{task['width']}x{task['height']}"
            )
        is_good = measure_agreement(given, truth) >= GOOD_IOU
        if random.random() < self.crowd.error:
            is_good = not is_good
        good, bad = choose_verdicts(task["labels"])
        return {"label": good if is_good else bad}

    def draw_duration(self, task: dict[str, Any]) -> float:
        """Return the seconds that this worker takes for the task."""
        if not self.crowd.slow:
            return 0.0
        random = draw_generator(self.crowd.seed, "time", self.number, task["input"]["taskObject"])
        return self.crowd.slow * self.pace * float(random.lognormal(-0.08, 0.4))

    def draw(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return what the page's element would submit. Raises ValueError, with the reason, to decline."""
        uri, labels, size = task["input"]["taskObject"], task["labels"], (task["width"], task["height"])
        path = self.masks.find(uri)
        if path is None:
            raise ValueError(f"there is no mask for {uri}")
        name = path.relative_to(self.masks.folder).as_posix()
        random = draw_generator(self.crowd.seed, self.number, name)
        if self.crowd.decline and random.random() < self.crowd.decline:
            raise ValueError("declined at random (--decline)")
        truth = self.masks.read(path, labels=labels, size=size)
        void = truth == VOID
        meaning = self.masks.meaning(labels)
        drawn = add_errors(
            np.where(void, np.uint8(0), truth),
            self.crowd.error,
            labels=len(meaning.labels),
            random=random,
        )
        mask = meaning.to_job(drawn, void)
        colors = {index + 1: color_of(index + 1) for index in range(len(labels))}
        return {
            **({"initialValueModified": True} if task["kind"] == "adjustment" else {}),
            "inputImageProperties": {"height": size[1], "width": size[0]},
            "labelMappings": {label: {"color": colors[index + 1]} for index, label in enumerate(labels)},
            "labeledImage": {"pngImageData": base64.b64encode(encode_answer(mask, colors)).decode()},
        }


def find_classes(line: dict[str, Any]) -> list[str]:
    """Return the names of the classes 1, 2, ... of a manifest line's annotation. Raises ValueError."""
    for name, metadata in line.items():
        if name.endswith("-metadata") and isinstance(metadata, dict) and "internal-color-map" in metadata:
            found = metadata["internal-color-map"]
            return [str(found[index]["class-name"]) for index in sorted(found, key=int) if int(index) > 0]
    raise ValueError("the manifest line has no annotation to judge")


def measure_agreement(given: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean IoU of two (H, W) uint8 masks over the classes in either, without background and void pixels."""
    known = (truth != VOID) & (given != VOID)
    classes = [value for value in np.union1d(given[known], truth[known]).tolist() if value]
    scores = [
        np.count_nonzero(known & (given == value) & (truth == value))
        / np.count_nonzero(known & ((given == value) | (truth == value)))
        for value in classes
    ]
    return float(np.mean(scores)) if scores else 1.0


def choose_verdicts(labels: Sequence[str]) -> tuple[str, str]:
    """Return (good, bad) among a verification job's labels: those with these names, else the first and the last."""
    named = {label.lower(): label for label in labels}
    return named.get("good", labels[0]), named.get("bad", labels[-1])


def register(owner: WorkerApiClient, request: dict[str, Any], *, stop: threading.Event) -> str:
    """Register a worker and return its token. Retries on server errors until `stop` is set.

    Raises OSError, RequestRejected.
    """
    pause = IDLE_SECONDS[0]
    while True:
        try:
            return str(owner.request("POST", "/workers", request)["token"])
        except RequestRejected as error:
            if error.status < 500 or stop.wait(pause):
                raise
            pause = min(IDLE_SECONDS[1], pause * 2)


def run_crowd(
    url: str,
    owner_token: str,
    crowd: CrowdSettings,
    *,
    stop: threading.Event,
    certificate: Path | None = None,
    secret_key: str | None = None,
) -> int:
    """Register the workers and run them until `stop` is set; return the number of answers.

    Raises OSError, RequestRejected.
    """
    masks, owner = (
        MaskFolder(crowd.masks, crowd.options),
        WorkerApiClient(url, owner_token, certificate=certificate, secret_key=secret_key),
    )
    workers = []
    for number in range(crowd.workers):
        request = {"name": f"crowd-{crowd.seed}-{number}", "team": "*", "simulated": True, "renew": True}
        token = register(owner, request, stop=stop)
        server = WorkerApiClient(url, token, certificate=certificate, secret_key=secret_key)
        workers.append(Worker(server, number, crowd=crowd, masks=masks, stop=stop))
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        stop.wait(0.2)
        if stop.is_set():
            for worker in workers:
                worker.join(2)
            break
    return sum(worker.answered for worker in workers)
