"""Source of a dataset: the run's job, any job, or any output.manifest, in a bucket or local."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO

from gtseg.aws.groundtruth import OUTPUT_MANIFEST, JobState
from gtseg.aws.s3 import Bulk, is_s3_uri, join_uri, split_uri
from gtseg.core.labeling.output_manifest import (
    NO_TABLE,
    Failed,
    Labeled,
    Line,
    Unusable,
    count_shared,
    find_bare_attributes,
    find_label_attributes,
    read_manifest,
    split_attributes,
)
from gtseg.core.labeling.references import find_rule, rewrite
from gtseg.core.masks import ColorMap
from gtseg.core.plurals import counted
from gtseg.core.s3_uris import is_path, read_reference
from gtseg.errors import AWSError, JobFailed, ManifestError, SettingsError, StageError
from gtseg.pipeline.run import OWN_LABELS, Context, LabelSource, Run
from gtseg.pipeline.run.freshness import staleness
from gtseg.pipeline.stages.dataset.downloads import download, read_pieces


@dataclass(frozen=True)
class Source:
    """Output manifest. `images` is the URI of the label stage's images.jsonl, which may not exist."""

    manifest: str
    label_attribute: str | None
    job: str | None = None
    images: str | None = None
    rewrites: Mapping[str, str] = field(default_factory=dict)
    table: ColorMap | None = None

    @property
    def is_local(self) -> bool:
        return not is_s3_uri(self.manifest)

    def resolve(self, reference: str) -> str:
        """Return the S3 URI or path of a reference; references without a scheme are relative to the manifest's folder.

        Web URLs of S3 objects become S3 URIs, and prefixes are replaced by `rewrite`.
        """
        reference = rewrite(self._find_form_to_rewrite(reference), self.rewrites)
        if "://" in reference or not is_path(reference):
            return reference
        if not self.is_local:
            bucket, key = split_uri(self.manifest)
            return join_uri(bucket, str(PurePosixPath(key).parent / reference))
        folder = Path(self.manifest).parent
        beside = folder / Path(reference).name
        path = folder / reference
        return str(path if path.exists() or not beside.exists() else beside)

    def describe_unused_rules(self, lines: Iterable[Line]) -> list[str]:
        """Return a message for each rule of `rewrites` that replaces nothing in the manifest's lines."""
        unused, first = dict(self.rewrites), ""
        for line in lines if unused else ():
            references = (line.image, line.mask) if isinstance(line, Labeled) else (line.image,)
            first = first or references[0]
            for reference in references:
                unused.pop(find_rule(self._find_form_to_rewrite(reference), self.rewrites) or "", None)
            if not unused:
                break
        example = f", for example not to {first}" if first else ""
        place = f"any image or mask of {self.manifest}{example}"
        return [f"the rewrite of {old} to {new} did not apply to {place}" for old, new in unused.items()]

    def _find_form_to_rewrite(self, reference: str) -> str:
        """Return the reference as written if a rule applies to it, else with web URLs of S3 objects as S3 URIs."""
        return reference if find_rule(reference, self.rewrites) is not None else read_reference(reference)


def choose_labels(run: Run, context: Context, labels: LabelSource) -> LabelSource:
    """Return the requested source, by default that of the run's dataset until the run has new labels of its own."""
    kept = run.dataset.chosen if run.dataset else None
    if labels != OWN_LABELS or kept is None:
        return labels
    stale = staleness(run, context.settings, "dataset")
    return labels if stale and stale.cause == "data" else kept


def find_source(run: Run, context: Context, labels: LabelSource) -> Source:
    """Return the manifest to read. Raises StageError if its job is not over, JobFailed if it has no output."""
    source = _find_source(run, context, labels)
    return replace(source, rewrites=labels.rewrites, table=labels.table)


def _find_source(run: Run, context: Context, labels: LabelSource) -> Source:
    if labels.manifest:
        return _from_manifest(labels.manifest, labels.label_attribute)
    section = run.labeling_job
    if section is None and labels.is_own:
        raise StageError(
            f"Run {run.name!r} has no labeling job yet. Run `gtseg label`, or give a source: --job NAME, --manifest URI"
        )
    if labels.is_own and section and section.workforce == "import" and section.output_manifest:
        return Source(section.output_manifest, section.label_attribute)
    state = _describe(context, labels.job or (section.name if section else ""))
    own = section if section and section.name == state.name else None
    source = _from_job(state, labels.label_attribute, follows=own.follows if own else None)
    return replace(source, images=own.images) if own and own.images else source


def _from_manifest(manifest: str, label_attribute: str | None) -> Source:
    if not is_s3_uri(manifest) and not Path(manifest).is_file():
        raise SettingsError(f"--manifest {manifest}: file not found (an S3 URI starts with s3://)")
    return Source(manifest, label_attribute, images=_images_beside(manifest))


def _images_beside(manifest: str) -> str | None:
    return manifest.removesuffix(OUTPUT_MANIFEST) + "images.jsonl" if manifest.endswith(OUTPUT_MANIFEST) else None


def _describe(context: Context, name: str) -> JobState:
    try:
        return context.labeling.describe_job(name)
    except AWSError as error:
        if error.exit_code != 3:
            raise
        raise StageError(
            f"There is no labeling job {name!r} in {context.clients.labeling_region}. `gtseg jobs` lists them"
        ) from None


def _from_job(state: JobState, label_attribute: str | None, *, follows: str | None) -> Source:
    if not state.is_over:
        raise StageError(f"Labeling job {state.name} is still {state.status}. Wait for it with `gtseg watch`")
    if state.status == "Failed" and not state.output_manifest:
        way = f". `gtseg dataset --job {follows}` uses the labels that it continues from" if follows else ""
        raise JobFailed(f"Labeling job {state.name} failed without an output manifest: {state.reason}{way}")
    manifest = state.manifest
    return Source(manifest, label_attribute or state.label_attribute, state.name, _images_beside(manifest))


def copy_manifest(source: Source, bulk: Bulk, target: IO[bytes]) -> str:
    """Copy the manifest to an open file and return its ETag ('' for a local one)."""
    if not source.is_local:
        return download(source.manifest, bulk, target)
    with Path(source.manifest).open("rb") as file:
        shutil.copyfileobj(file, target)
    target.flush()
    return ""


def choose_label(source: Source, file: IO[bytes]) -> str:
    """Return the label attribute to read: the requested one, the job's, or the manifest's only one.

    Several names are separated by commas.
    """
    if source.label_attribute:
        return ",".join(split_attributes(source.label_attribute))
    try:
        found = find_label_attributes(read_pieces(file))
    except ManifestError as error:
        raise ManifestError(f"{source.manifest}: {error}") from None
    if not found:
        return _choose_bare(source, file)
    if len(found) > 1:
        raise _several(source, found, count_shared(read_pieces(file), tuple(found)))
    return next(iter(found))


def _several(source: Source, found: Mapping[str, int], shared: int) -> SettingsError:
    listed = ", ".join(f"{name} ({counted(count, 'object')})" for name, count in found.items())
    if shared:
        way = f"{counted(shared, 'line')} have more than one of them. Select one with --label-attribute"
    else:
        way = (
            "No line has two of them, as in joined manifests of two jobs: use both with --label-attribute "
            f"{','.join(found)}, or one of them with its name"
        )
    return SettingsError(f"{source.manifest} has several labels: {listed}. {way}")


def _choose_bare(source: Source, file: IO[bytes]) -> str:
    """Return the only member with masks but no metadata, if a color table is given. Raises ManifestError."""
    bare = find_bare_attributes(read_pieces(file))
    if not bare:
        raise ManifestError(
            f"{source.manifest} has no semantic segmentation label (no '...-metadata' with an internal-color-map)"
        )
    listed = ", ".join(f"{name} ({counted(count, 'object')})" for name, count in bare.items())
    if source.table is None:
        raise ManifestError(
            f"{source.manifest} has masks under {listed} without metadata: the meaning of their values is unknown. "
            f"{NO_TABLE}"
        )
    if len(bare) > 1:
        raise SettingsError(f"{source.manifest} has masks under {listed}. Select one with --label-attribute")
    return next(iter(bare))


@dataclass(frozen=True)
class Lines:
    """Lines of a manifest; each reader starts from the beginning, and none stays in memory."""

    uri: str
    file: IO[bytes]
    label: str
    table: ColorMap | None = None

    def __iter__(self) -> Iterator[Line]:
        try:
            yield from read_manifest(read_pieces(self.file), self.label, table=self.table)
        except ManifestError as error:
            raise ManifestError(f"{self.uri}: {error}") from None

    def survey(self) -> Survey:
        """Scan all lines once."""
        total = labeled = 0
        maps: dict[ColorMap, None] = {}
        reason = ""
        for line in self:
            total += 1
            if isinstance(line, Labeled):
                labeled += 1
                maps[line.colors] = None
            elif isinstance(line, Unusable | Failed):
                reason = reason or line.reason
        return Survey(total, labeled, tuple(maps), reason)


@dataclass(frozen=True)
class Survey:
    """Number of lines and of masks, all different color maps, and the first reason for a missing mask."""

    total: int
    labeled: int
    maps: tuple[ColorMap, ...]
    reason: str
