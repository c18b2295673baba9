"""Labels that a review starts from: the run's own, another job's, an import's, any output manifest's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from gtseg.aws.groundtruth import JobState
from gtseg.aws.s3 import is_s3_uri, split_uri
from gtseg.core.labeling.chained_jobs import ChainLine, label_names, read_chain
from gtseg.core.labeling.output_manifest import find_label_attributes
from gtseg.core.s3_uris import find_problem, is_path
from gtseg.errors import AWSError, ManifestError, SettingsError, StageError
from gtseg.pipeline.run import OWN_LABELS, Context, LabelSource, Run


@dataclass(frozen=True)
class Earlier:
    """Current state of an output manifest.

    `name`: its owner; `images`: URI of the label stage's images.jsonl, if any.
    """

    name: str
    manifest: str
    etag: str
    label: str
    lines: tuple[ChainLine, ...]
    images: str = ""

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of its classes, by index from 1."""
        return label_names(self.lines, self.label)

    @property
    def mark(self) -> str:
        """Six hex digits that identify this manifest in this state: part of a follow-up job's name."""
        return hashlib.sha256(f"{self.manifest}\n{self.etag}".encode()).hexdigest()[:6]

    @property
    def labeled(self) -> int:
        return sum(line.state == "labeled" for line in self.lines)

    @property
    def buckets(self) -> tuple[str, ...]:
        """Buckets of images and masks that the workers' browsers read."""
        uris = [line.image for line in self.lines]
        uris += [str(line.entry[self.label]) for line in self.lines if line.state == "labeled"]
        return tuple(sorted({split_uri(uri)[0] for uri in uris}))


def find_earlier(run: Run, context: Context, source: LabelSource = OWN_LABELS) -> Earlier:
    """Return the labels to start from.

    Raises StageError if there is nothing yet or its job is still running, ManifestError if the manifest cannot be read.
    """
    if source.manifest:
        return read_earlier(source.manifest, source.label_attribute, context, name=source.manifest)
    section = run.labeling_job
    if section is None and source.is_own:
        raise StageError(
            f"Run {run.name!r} has no labels yet. Run `gtseg label`, or give a source: --job NAME, --manifest URI."
        )
    images = section.images if section else ""
    if source.is_own and section and section.workforce == "import" and section.output_manifest:
        return read_earlier(section.output_manifest, section.label_attribute, context, name=section.name)
    state = _describe(context, source.job or (section.name if section else ""))
    if not state.is_over:
        raise StageError(f"Labeling job {state.name} is still {state.status}. Wait for it with `gtseg watch`.")
    label = source.label_attribute or state.label_attribute
    is_own = section is not None and section.name == state.name
    return read_earlier(_output_of(state, context), label, context, name=state.name, images=images if is_own else "")


def read_earlier(manifest: str, label: str | None, context: Context, *, name: str, images: str = "") -> Earlier:
    """Read the manifest at an S3 URI; `label` may be omitted if it has only one label."""
    if not is_s3_uri(manifest):
        raise SettingsError(
            f"--manifest {manifest}: workers can only see objects in S3. Upload it, or use `gtseg import`."
        )
    body, etag = context.s3.read(manifest)
    if label is None:
        label = _only_label(manifest, body)
    try:
        lines = tuple(read_chain(body, label))
    except ManifestError as error:
        raise ManifestError(f"{manifest}: {error}") from None
    _check_addresses(manifest, label, lines)
    return Earlier(name, manifest, etag, label, lines, images)


def _check_addresses(manifest: str, label: str, lines: Iterable[ChainLine]) -> None:
    for line in lines:
        for uri in (line.image, line.entry[label]) if line.state == "labeled" else (line.image,):
            problem = find_problem(str(uri))
            if problem or is_path(str(uri)):
                end = f". {problem[:1].upper()}{problem[1:]}" if problem else ""
                raise ManifestError(
                    f"{manifest}: line {line.number}: {uri} is not an s3:// URI: workers cannot see it{end}"
                )


def refuse_running(run: Run, context: Context) -> None:
    """Raise StageError if the run's labeling job is running: a review replaces it, so it must have ended."""
    section = run.labeling_job
    if section is None or section.workforce == "import":
        return
    state = context.labeling.find_job(section.name)
    if state and not state.is_over:
        raise StageError(
            f"Run {run.name!r} has the running labeling job {section.name} ({state.status}): wait for it with `gtseg "
            "watch`. Review other labels in their own run: --run NAME."
        )


def _only_label(manifest: str, body: bytes) -> str:
    found = find_label_attributes([body])
    if len(found) == 1:
        return next(iter(found))
    listed = ", ".join(f"{name} ({count} objects)" for name, count in found.items()) or "none"
    raise SettingsError(
        f"{manifest} has these semantic segmentation labels: {listed}. Select one with --label-attribute."
    )


def _describe(context: Context, name: str) -> JobState:
    state = context.labeling.find_job(name)
    if state is None:
        raise StageError(
            f"There is no labeling job {name!r} in {context.clients.labeling_region}. `gtseg jobs` lists them."
        )
    return state


def _output_of(state: JobState, context: Context) -> str:
    """Return the job's output manifest; its input manifest if it failed before writing any."""
    uri = state.manifest
    try:
        return uri if context.s3.exists(uri) else state.input_manifest
    except AWSError as error:
        if error.exit_code != 3:
            raise
        return state.input_manifest
