"""Background work for suggestions and the helpful order: trains and runs a small model per job."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture
from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.answers import read_answer
from gtseg.local.labeling.assist.objects import split_objects
from gtseg.local.labeling.assist.order import as_matrix, order_objects
from gtseg.local.labeling.assist.records import (
    Suggestion,
    find_suggestion,
    has_helpful_order,
    has_suggestions,
    may_have_suggestion,
    store_order,
    store_suggestion,
)
from gtseg.local.labeling.assist.rounds import Pair, Round, find_rounds
from gtseg.local.labeling.automated.inference import read_values
from gtseg.local.labeling.gold import is_gold
from gtseg.local.labeling.pictures import decoding
from gtseg.local.labeling.records import Job, list_active_jobs
from gtseg.local.labeling.tasks import Task
from gtseg.local.loop import Loop
from gtseg.local.storage.objects import StorageUnavailable, split_uri
from gtseg.local.storage.store import Store

SECONDS = 1.0
STOP_SECONDS = 5.0
FIRST = 10
"""Answers per class before the first model is trained."""
GROWTH = 1.5
"""Growth of the number of answers before the next model is trained."""
MOST = 1000
"""Number of latest answers used for training."""
SCORED = 400
"""Number of objects scored for suggestions."""
SCORED_BEFORE_ORDER = 2000
TRIES = 3
ENDED = ("Completed", "Failed", "Stopped")
logger = logging.getLogger(__name__)


class Assistant:
    """Component that runs the assistance of all jobs."""

    def __init__(self, embedded: Embedded) -> None:
        self.store, self.objects = embedded.store, embedded.objects
        self._loop = Loop("assist", self.step, seconds=SECONDS)
        self._tries: dict[Path, int] = {}

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop(STOP_SECONDS)
        for job in list_active_jobs(self.store):
            for current in find_rounds(assist_folder(self.store, job))[:1]:
                current.end()

    def step(self) -> None:
        """Take one short step of every job with assistance."""
        for job in list_active_jobs(self.store):
            if job.status != "InProgress" or not (
                has_suggestions(self.store, job) or has_helpful_order(self.store, job)
            ):
                continue
            try:
                self.advance(job)
            except StorageUnavailable:
                continue
            except Exception:
                logger.exception("A step of assisting the labeling job %s failed; it will be retried.", job.title)
        self._sweep()

    def advance(self, job: Job) -> None:
        """Start the next round, retry its processes, or complete it."""
        folder = assist_folder(self.store, job)
        rounds = find_rounds(folder)
        if not rounds or rounds[0].is_ready:
            self._begin(job, folder, rounds[0] if rounds else None)
            return
        current = rounds[0]
        if current.training.alive() or current.scoring.alive() or current.refining.alive():
            return
        if current.training.exit_code() != 0:
            self._try(current, current.train)
        elif current.scoring.exit_code() != 0:
            self._try(current, lambda: self._score(job, current))
        elif has_suggestions(self.store, job) and current.refining.exit_code() != 0:
            self._try(current, lambda: current.refine(current.folder / "pictures"))
        else:
            self._conclude(job, current, rounds[1:])

    def _try(self, current: Round, launch: object) -> None:
        """Start a process, again if it was killed; give up the round after too many attempts."""
        tries = self._tries[current.folder] = self._tries.get(current.folder, 0) + 1
        if tries > 3 * TRIES or (current.folder / "output" / "failure").exists():
            logger.warning("The model of %s could not be trained; it gives no suggestions.", current.folder)
            (current.folder / "ready.json").write_text(json.dumps({"model": "", "objects": 10**9}))
            return
        assert callable(launch)
        launch()

    # --- training ---

    def _begin(self, job: Job, folder: Path, last: Round | None) -> None:
        """Write the next round's data if there are enough new answers."""
        answered = self._count_answers(job)
        before = int(str(last.ready["objects"])) if last else 0
        if answered < max(FIRST * len(job.labels), GROWTH * before):
            return
        pairs = self._read_pairs(job, folder)
        if len(pairs) < max(4, GROWTH * before):
            return
        number = last.number + 1 if last else 1
        Round(folder / f"round-{number}", number).write_channels(pairs, classes=len(job.labels) + 1)

    def _count_answers(self, job: Job) -> int:
        query = (
            "SELECT (SELECT count(*) FROM labeling_objects WHERE job = ? AND state = 'labeled') + "
            "(SELECT count(DISTINCT line) FROM labeling_answers WHERE job = ?)"
        )
        count: int = self.store.read().execute(query, (job.name, job.name)).fetchone()[0]
        return count

    def _read_pairs(self, job: Job, folder: Path) -> list[Pair]:
        """Return the answers with their images in a fixed random order: consolidated masks, else the first answer."""
        query = (
            "SELECT o.line, o.uri, o.width, o.height, o.result, (SELECT a.content FROM labeling_answers a "
            "WHERE a.job = o.job AND a.line = o.line ORDER BY a.submitted LIMIT 1) AS content "
            "FROM labeling_objects o WHERE o.job = ? AND "
            "(o.state = 'labeled' OR EXISTS (SELECT 1 FROM labeling_answers b WHERE b.job = o.job AND b.line = "
            "o.line)) "
            "ORDER BY o.line DESC LIMIT ?"
        )
        pairs = []
        for row in self.store.read().execute(query, (job.name, MOST)).fetchall():
            mask = self._read_mask(job, row)
            image = self.place_image(folder, row["line"], row["uri"])
            if mask is not None and image is not None:
                pairs.append(Pair(row["line"], image, mask))
        random.Random(job.reference).shuffle(pairs)
        return pairs

    def _read_mask(self, job: Job, row: object) -> np.ndarray | None:
        """Return the (H, W) uint8 class indices of an answer or consolidated mask; None if it cannot be read."""
        try:
            if row["content"] is not None:  # type: ignore[index]
                size = (row["width"], row["height"])  # type: ignore[index]
                return read_answer(json.loads(row["content"]), job.labels, size)  # type: ignore[index]
            uri = json.loads(row["result"])[job.attribute]  # type: ignore[index]
            content = self.objects.get(*split_uri(uri))
            with open_picture(content, formats=("PNG",)) as picture, decoding(picture.size):
                return np.array(picture, dtype=np.uint8)
        except StorageUnavailable:
            raise
        except (ServiceError, PictureError, KeyError, ValueError, TypeError):
            return None

    def place_image(self, folder: Path, line: int, uri: str) -> Path | None:
        """Download an object's image with its suffix, as training requires; None if it cannot be read."""
        suffix = ".png" if uri.lower().endswith(".png") else ".jpg"
        target = folder / "images" / f"{line:06d}{suffix}"
        if target.exists():
            return target
        part = target.with_name(f".{target.name}.part")
        part.unlink(missing_ok=True)
        try:
            self.objects.download(*split_uri(uri), part, shared=True)
        except StorageUnavailable:
            raise
        except ServiceError:
            return None
        os.replace(part, target)
        return target

    # --- scoring ---

    def _score(self, job: Job, current: Round) -> None:
        """Score the objects handed out next; for the helpful order, score more of them and the labeled ones."""
        most = SCORED_BEFORE_ORDER if has_helpful_order(self.store, job) else SCORED
        query = (
            "SELECT line, uri FROM labeling_objects WHERE job = ? AND state IN ('open', 'queued', 'waiting') "
            "ORDER BY CASE state WHEN 'open' THEN 0 WHEN 'queued' THEN 1 ELSE 2 END, line LIMIT ?"
        )
        rows = self.store.read().execute(query, (job.name, most)).fetchall()
        folder, flat = current.folder.parent, current.folder / "pictures"
        flat.mkdir(exist_ok=True)
        names = []
        for row in rows:
            image = self.place_image(folder, row["line"], row["uri"])
            if image is not None:
                names.append(link_image(image, flat, row["line"]))
        for channel in ("train", "validation"):
            for path in sorted((current.folder / "input" / "data" / channel).iterdir()):
                names.append(link_image(path, flat, int(path.stem)))
        current.score(names, flat)

    def _conclude(self, job: Job, current: Round, earlier: list[Round]) -> None:
        if has_helpful_order(self.store, job):
            self._order(job, current)
        shutil.rmtree(current.folder / "pictures", ignore_errors=True)
        current.conclude(f"{job.title}/assist-{current.number}")
        for old in earlier:
            shutil.rmtree(old.folder, ignore_errors=True)

    def _order(self, job: Job, current: Round) -> None:
        scores = current.read_scores()
        labeled = {
            int(path.stem)
            for channel in ("train", "validation")
            for path in (current.folder / "input" / "data" / channel).iterdir()
        }
        lines = sorted(scores.keys() - labeled)
        known = as_matrix([scores[line].features for line in sorted(labeled & scores.keys())])
        chosen = order_objects(
            np.array([scores[line].confidence for line in lines]),
            as_matrix([scores[line].features for line in lines]),
            known,
            count=len(lines),
            seed=int(job.reference[:8], 16) + current.number,
        )
        with self.store.write() as connection:
            store_order(connection, job, [lines[position] for position in chosen])

    def _sweep(self) -> None:
        """Delete the files of jobs that have ended."""
        for folder in self.store.folder.glob("labeling/*/assist"):
            row = (
                self.store.read()
                .execute("SELECT status, name FROM labeling_jobs WHERE reference = ?", (folder.parent.name,))
                .fetchone()
            )
            if row is None or row["status"] in ENDED:
                for current in find_rounds(folder)[:1]:
                    current.end()
                shutil.rmtree(folder, ignore_errors=True)
                if row is not None:
                    with self.store.write() as connection:
                        connection.execute("DELETE FROM labeling_order WHERE job = ?", (row["name"],))
                        connection.execute("UPDATE labeling_suggestions SET mask = NULL WHERE job = ?", (row["name"],))


def link_image(image: Path, folder: Path, line: int) -> str:
    """Link an image's file under a name without suffix, by which scores are keyed; return the name."""
    name = f"{line:06d}"
    if not (folder / name).exists():
        os.link(image, folder / name)
    return name


def assist_folder(store: Store, job: Job) -> Path:
    """Return the folder of a job's assistance."""
    return (job.folder(store) / "assist").resolve()


def list_suggested(store: Store, task: Task) -> tuple[str, list[dict[str, Any]]]:
    """Return the model and the objects of a task's suggestion (see split_objects).

    Raises ServiceError NotFound 404 if the task has none.
    """
    suggestion = find_suggestion(store, task.id)
    if suggestion is None:
        raise ServiceError("NotFound", "This task opened without a suggestion.", 404)
    return suggestion.model, split_objects(read_values(suggestion.mask))


def offer_suggestion(store: Store, task: Task) -> None:
    """Store the suggestion with which a new task opens, or none; does nothing for a job without suggestions."""
    job = task.job
    if not has_suggestions(store, job):
        return
    offer = None
    if not is_gold(job) and may_have_suggestion(job, task.line):
        for current in find_rounds(assist_folder(store, job)):
            if current.is_ready and current.ready["model"]:
                mask = current.mask(task.line)
                offer = Suggestion(str(current.ready["model"]), mask) if mask else None
                break
    store_suggestion(store, task.id, job, task.line, task.worker, offer)
