"""agreement: agreement of a labeling job's workers, computed from their answers in S3.

The objects of a follow-up job are all those of its output manifest; labels that it copied count with the answers of the
earlier job.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from gtseg.aws.identities import find_names
from gtseg.aws.s3 import S3, Bulk
from gtseg.core.classes import BACKGROUND, VOID
from gtseg.core.labeling.agreement import Identity, WorkerAnswer, read_answers
from gtseg.core.labeling.agreement_tally import Agreement, Tally
from gtseg.core.labeling.chained_jobs import ChainLine, label_names, machine_lines, read_chain
from gtseg.core.plurals import counted
from gtseg.core.scores.metrics import Mask
from gtseg.errors import AWSError, ManifestError, MaskError, StageError
from gtseg.pipeline.run import Context, Run
from gtseg.pipeline.run.locations import Place
from gtseg.pipeline.run.worker_responses import answered_job, find_responses

THREADS = 8


def agreement(run: Run, context: Context, *, job: str | None = None, gold: str | None = None) -> Agreement:
    """Return scores of a job's workers, classes and images: of the run's job, or any `job` of the account.

    `gold` is a folder or s3:// prefix of known masks, `<image's stem>.png` with class indices in the order of the job's
    labels (255: not scored). Raises StageError if there is no job or no answer yet, MaskError for a gold mask with
    other classes.
    """
    context = context.of("agreement")
    name = job or (run.labeling_job.name if run.labeling_job else None)
    if name is None:
        raise StageError(f"Run {run.name!r} has no labeling job. Run `gtseg label`, or select a job: --job NAME.")
    state = answered_job(run, name, context)
    if state is None:
        raise StageError(
            f"There is no labeling job {name!r} in {context.clients.labeling_region}; imports have no workers."
        )
    manifest = context.s3.read(state.manifest)[0]
    lines = read_chain(manifest, state.label_attribute)
    classes = (BACKGROUND, *label_names(lines, state.label_attribute))
    responses = find_responses(state, lines, state.label_attribute, context)
    if machine := len(machine_lines(lines, state.label_attribute)):
        context.note(f"{counted(machine, 'image')} labeled by a model: not used to score workers")
    if not responses:
        raise StageError(f"{state.name} ({state.status}) has no answer yet.")
    with Bulk(context.clients) as bulk:
        reader = _Reader(bulk, lines, state.label_attribute, classes, _Gold.find(gold, context.s3))
        tally = Tally(classes)
        for done, answered in enumerate(_read_all(reader, responses), start=1):
            if answered.problem:
                context.warn(answered.problem)
            else:
                tally.add(answered.image, answered.answers, consolidated=answered.consolidated, gold=answered.gold)
            context.progress("comparing answers", done, len(responses))
    return _with_names(tally.result(), context)


def _with_names(found: Agreement, context: Context) -> Agreement:
    """Return the scores with the workers' names from Amazon Cognito, or their ids if these cannot be read."""
    people = [worker.identity for worker in found.workers if worker.identity is not None]
    try:
        names = find_names(context.clients, [(person.pool, person.subject) for person in people])
    except AWSError as error:
        context.warn(f"Workers are listed by id: their names cannot be read from Amazon Cognito. {error}")
        return found
    return found.with_names({Identity(*key): name for key, name in names.items()})


@dataclass(frozen=True)
class _AnsweredImage:
    """Image with its answers, or the reason why it cannot be used."""

    image: str
    answers: Sequence[WorkerAnswer] = ()
    consolidated: Mask | None = None
    gold: Mask | None = None
    problem: str = ""


@dataclass(frozen=True)
class _Gold:
    """Known masks by the stem of their file name."""

    place: Place
    names: Mapping[str, str]

    @classmethod
    def find(cls, source: str | None, s3: S3) -> _Gold | None:
        if source is None:
            return None
        place = Place(source, s3)
        names = {PurePosixPath(entry.name).stem: entry.name for entry in place.entries((".png",))}
        if not names:
            raise StageError(f"--gold {source}: no .png found")
        return cls(place, names)

    def read(self, image: str, classes: int) -> Mask | None:
        name = self.names.get(PurePosixPath(image).stem)
        if name is None:
            return None
        mask = _read_indices(self.place.read(name), f"gold mask {name}")
        wrong = sorted({int(value) for value in np.unique(mask)} - {VOID} - set(range(classes)))
        if wrong:
            raise MaskError(f"gold mask {name} has class {wrong[0]}; the job has the classes 0 to {classes - 1}")
        return mask


@dataclass(frozen=True)
class _Reader:
    bulk: Bulk
    lines: Sequence[ChainLine]
    label: str
    classes: tuple[str, ...]
    gold: _Gold | None

    def read(self, line: int, uri: str) -> _AnsweredImage:
        if line >= len(self.lines):
            raise ManifestError(f"{uri} answers line {line}, but the manifest has {len(self.lines)} lines")
        image = self.lines[line].image
        try:
            answers = read_answers(json.loads(self.bulk.get(uri).body), self.classes)
        except (MaskError, ValueError) as error:
            return _AnsweredImage(image, problem=f"{uri}: {error}")
        gold = self.gold.read(image, len(self.classes)) if self.gold else None
        return _AnsweredImage(image, answers, self._consolidated(self.lines[line]), gold)

    def _consolidated(self, line: ChainLine) -> Mask | None:
        if line.state != "labeled":
            return None
        mask = _read_indices(self.bulk.get(line.entry[self.label]).body, line.entry[self.label])
        table = np.zeros(256, np.uint8)
        for key, row in line.entry[f"{self.label}-metadata"]["internal-color-map"].items():
            table[int(key)] = self.classes.index(row["class-name"])
        return table[mask]


def _read_indices(body: bytes, name: str) -> Mask:
    """Return (H, W) uint8 class indices of a PNG. Raises MaskError for a color PNG."""
    try:
        with Image.open(io.BytesIO(body), formats=("PNG",)) as image:
            if image.mode not in ("P", "L"):
                raise MaskError(f"{name} has mode {image.mode}: it must have class indices (palette or gray, 8 bits)")
            return np.asarray(image).astype(np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise MaskError(f"{name} cannot be read: {error}") from None


def _read_all(reader: _Reader, responses: Mapping[int, str]) -> Iterator[_AnsweredImage]:
    """Yield results in the manifest's order, a few images ahead, so that memory does not grow with the job."""
    items = list(responses.items())
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(items), THREADS):
            yield from pool.map(lambda item: reader.read(*item), items[start : start + THREADS])
