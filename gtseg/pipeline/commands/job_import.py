"""import job: merge the labels of a job on another server (a laptop in the field) into a run.

The input is the folder of the Ground Truth job, as `aws s3 sync` copies it: manifests/output/output.manifest, masks,
the workers' answers, and gtseg's images.jsonl if present. Folders of jobs that it continues are expected beside it.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gtseg.aws.calls import TERMINAL
from gtseg.aws.groundtruth import OUTPUT_MANIFEST
from gtseg.aws.s3 import S3, is_s3_uri, join_uri, split_uri, work_through
from gtseg.core.account import Account, Flow, Loss, merge_losses
from gtseg.core.labeling.chained_jobs import ChainLine, read_chain, write_lines
from gtseg.core.labeling.merge import STAYS, Arrival, Images, KnownImage, Merged, merge_lines, read_images_jsonl
from gtseg.core.labeling.output_manifest import find_label_attributes
from gtseg.core.plurals import counted
from gtseg.errors import GtsegError, ManifestError, SettingsError, StageError
from gtseg.pipeline.run import Context, LabelingJobSection, Provenance, Run
from gtseg.pipeline.run.locations import Place
from gtseg.pipeline.stages.label.buckets import ensure_run_bucket
from gtseg.pipeline.stages.label.images import gather_images
from gtseg.pipeline.stages.label.job import upload_images
from gtseg.version import __version__

MASKS = "annotations/consolidated-annotation/"
ANSWERS = "annotations/worker-response/"
THREADS = 16
SHOWN_JOBS = 5
"""Number of folders of jobs that a message lists."""
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class MergedJob:
    """The run with the labels, and the account of the import."""

    run: Run
    account: Account
    name: str | None
    """Name of the run's labels; None if it has none."""


def merge_job(
    run: Run,
    context: Context,
    *,
    source: str,
    name: str | None = None,
    label: str | None = None,
    replace: bool = False,
    insist: bool = False,
) -> MergedJob:
    """Merge the labels of the job below `source`, a folder or an s3:// prefix, for every image that the run has too.

    Existing labels of the run are kept unless `replace`; merging the same job twice changes nothing. Raises StageError
    if there is no such job, or the run's own is running, and GtsegError if less than half arrives unless `insist`.
    """
    context = context.of("import")
    _refuse_running(run)
    job = _Job(Place(source.rstrip("/") or "/", context.s3), label)
    own = _Own.of(run, context)
    name = name or job.name_for(own)
    base = f"{run.root}labeling/{name}/"
    with tempfile.TemporaryDirectory(prefix="gtseg-import-") as folder:
        staged = Path(folder)
        arrivals, losses = _receive(job, own, staged, base, context)
        merged = merge_lines(own.lines, own.label or f"{name}-ref", arrivals, replace=replace)
        labels = sum(line.state == "labeled" for line in job.lines)
        account = _account(job, merged, arrivals, losses, labels=labels)
        if account.shortfall and not insist:
            first = next((loss.text for loss in account.losses), "")
            raise GtsegError(f"{account.shortfall}; the run is unchanged. To continue anyway, use --yes. {first}")
        if not merged.taken:
            there = counted(len(merged.there), "label")
            known = f"nothing new, the run already has its {there}" if merged.there else "no label arrived"
            context.finish(f"{source}: {known}; the run is unchanged")
            return MergedJob(run, account, own.section.name if own.section else None)
        answers = _stage_answers(job, merged, arrivals, staged)
        run = _write(run, context, own, merged, staged, base=base, name=name, source=source)
    words = (
        f"{counted(len(merged.taken), 'image')} labeled by {job.name} are in the run, with "
        f"{counted(answers, 'file')} of answers"
    )
    context.finish(f"{words} (below {base})")
    return MergedJob(run, account, name)


def _refuse_running(run: Run) -> None:
    job = run.labeling_job
    if job and job.workforce != "import" and job.status not in TERMINAL:
        raise StageError(
            f"Run {run.name!r} has the running labeling job {job.name}: wait for it with `gtseg watch`, then import "
            "the labels."
        )


class _Job:
    """Folder of a labeling job, and of the jobs beside it."""

    def __init__(self, place: Place, label: str | None) -> None:
        self.place = place
        self._lock = threading.Lock()
        self._masks: dict[str, frozenset[str]] = {}
        if place.entry(OUTPUT_MANIFEST) is None:
            raise StageError(
                f"{place.root} is not the folder of a labeling job: it has no {OUTPUT_MANIFEST}.{_inner_jobs(place)} "
                "Copy the job's whole folder: aws --profile FIELD s3 sync s3://BUCKET/RUN/labeling/JOB/ JOB/"
            )
        self.body = place.read_inside(OUTPUT_MANIFEST)
        try:
            self.label = label or self._only_label()
            self.lines = read_chain(self.body, self.label)
        except ManifestError as error:
            raise ManifestError(f"{self._manifest}: {error}") from None
        if all(line.state == "unlabeled" for line in self.lines):
            raise SettingsError(
                f"--label-attribute {label}: {self._manifest} has no such label. Its semantic segmentation labels: "
                f"{self._listed()}. Select one of them, or leave out the option."
            )

    @property
    def _manifest(self) -> str:
        return f"{self.place.root}/{OUTPUT_MANIFEST}"

    def _only_label(self) -> str:
        found = find_label_attributes([self.body])
        own = f"{self.place.root.rsplit('/', 1)[-1]}-ref"
        if not found:
            raise StageError(
                f"{self._manifest} has no semantic segmentation labels yet. Label its images on that server, wait "
                "until the job has ended, and copy its folder again."
            )
        if len(found) == 1 or own in found:
            return own if own in found else next(iter(found))
        raise SettingsError(
            f"{self._manifest} has these semantic segmentation labels: {self._listed()}. Select one with "
            "--label-attribute."
        )

    def _listed(self) -> str:
        found = find_label_attributes([self.body])
        return ", ".join(f"{name} ({counted(count, 'object')})" for name, count in found.items()) or "none"

    @cached_property
    def name(self) -> str:
        """Return the folder's name if a line was labeled by such a job, else the name of most lines."""
        makers = Counter(maker for line in self.lines if (maker := self.maker(line)))
        folder = self.place.root.rsplit("/", 1)[-1].lower()
        return folder if folder in makers or not makers else makers.most_common(1)[0][0]

    def maker(self, line: ChainLine) -> str:
        """Return the labeling job, in lower case, that labeled a line; '' if none did."""
        if line.state != "labeled":
            return ""
        kind, _, name = str(line.entry[f"{self.label}-metadata"].get("job-name", "")).partition("/")
        return name.lower() if kind == "labeling-job" else ""

    def name_for(self, own: _Own) -> str:
        """Return a job name that is unique to these labels and these lines."""
        mark = hashlib.sha256(b"%s\n%s" % (self.body, own.mark.encode())).hexdigest()[:6]
        plain = re.sub(r"[^a-z0-9]+", "-", self.name).strip("-")[:50].strip("-") or "job"
        return f"{plain}-{mark}"

    @cached_property
    def beside(self) -> Mapping[str, Place]:
        """Return the folders of other jobs beside this one, by name in lower case."""
        parent, _, own = self.place.root.rpartition("/")
        if is_s3_uri(self.place.root):
            assert self.place.s3 is not None
            folders = (
                [uri.rstrip("/") for uri in self.place.s3.list_folders(f"{parent}/")] if parent.count("/") > 2 else []
            )
        else:
            resolved = Path(self.place.root).resolve()
            own, folders = resolved.name, [str(p) for p in resolved.parent.iterdir() if p.is_dir()]
        found = {uri.rsplit("/", 1)[-1]: Place(uri, self.place.s3) for uri in folders}
        return {name.lower(): place for name, place in found.items() if name != own}

    @cached_property
    def seen(self) -> Mapping[str, KnownImage]:
        """Return the known facts about its images, by their URIs on that server."""
        makers = {self.maker(line) for line in self.lines}
        places = [self.place, *(place for name, place in self.beside.items() if name in makers)]
        return {uri: seen for place in reversed(places) for uri, seen in _read_images(place).items()}

    def mask(self, line: ChainLine) -> bytes:
        """Return a line's mask. Raises GtsegError if it is not in the folders or not a PNG."""
        uri = str(line.entry[self.label])
        before, found, after = uri.partition(f"/{MASKS}")
        if not found:
            raise GtsegError(f"its mask {uri} is in no folder of a labeling job")
        maker = before.rsplit("/", 1)[-1].lower()
        place = self.beside.get(maker, self.place) if maker != self.name else self.place
        if after not in self._masks_in(place):
            raise GtsegError(f"its mask does not exist ({place.root}/{MASKS}{after})")
        body = place.read_inside(MASKS + after)
        if not body.startswith(PNG):
            raise GtsegError(f"its mask is not a PNG ({place.root}/{MASKS}{after})")
        return body

    def _masks_in(self, place: Place) -> frozenset[str]:
        """Return the names of the masks of a job's folder, listed once."""
        with self._lock:
            if place.root not in self._masks:
                inner = Place(f"{place.root}/{MASKS.rstrip('/')}", place.s3)
                try:
                    self._masks[place.root] = frozenset(entry.name for entry in inner.entries((".png",)))
                except StageError:
                    self._masks[place.root] = frozenset()
            return self._masks[place.root]

    def answers(self, line: ChainLine) -> tuple[Place, str] | None:
        """Return the file with the answers for a line's label."""
        if entry := self._answered.get(line.image):
            return self.place, entry
        maker = self.maker(line)
        if maker in self.beside and (entry := self._other_answers(maker).get(line.image)):
            return self.beside[maker], entry
        return None

    @cached_property
    def _answered(self) -> Mapping[str, str]:
        return _last_answers(self.place, self.lines)

    def _other_answers(self, maker: str) -> Mapping[str, str]:
        if maker not in self._others:
            place = self.beside[maker]
            lines = read_chain(place.read_inside(OUTPUT_MANIFEST), self.label) if place.entry(OUTPUT_MANIFEST) else []
            self._others[maker] = _last_answers(place, lines)
        return self._others[maker]

    @cached_property
    def _others(self) -> dict[str, Mapping[str, str]]:
        return {}


def _inner_jobs(place: Place) -> str:
    """Return a hint, as a sentence, if a local folder has folders of jobs."""
    folder = Path(place.root)
    if place.is_remote or not folder.is_dir():
        return ""
    names = sorted(inner.name for inner in folder.iterdir() if (inner / OUTPUT_MANIFEST).is_file())
    return f" Import a folder in it: {', '.join(names[:SHOWN_JOBS])}." if names else ""


def _read_images(place: Place) -> Mapping[str, KnownImage]:
    return read_images_jsonl(place.read_inside("images.jsonl")) if place.entry("images.jsonl") else {}


def _last_answers(place: Place, lines: list[ChainLine]) -> Mapping[str, str]:
    """Return image -> its last worker-response file (iteration-<n>/<line>/<time>.json)."""
    found: dict[int, tuple[int, str]] = {}
    try:
        entries = Place(f"{place.root}/{ANSWERS.rstrip('/')}", place.s3).entries((".json",))
    except StageError:
        return {}
    for entry in entries:
        parts = entry.name.split("/")
        if len(parts) == 3 and parts[1].isdecimal() and int(parts[1]) < len(lines):
            iteration = parts[0].rpartition("-")[2]
            candidate = (int(iteration) if iteration.isdecimal() else 0, ANSWERS + entry.name)
            found[int(parts[1])] = max(found.get(int(parts[1]), candidate), candidate)
    return {lines[number].image: name for number, (_, name) in found.items()}


@dataclass(frozen=True)
class _Own:
    """The run's current lines. `label`: '' if nothing is labeled yet."""

    lines: tuple[ChainLine, ...]
    label: str
    images: Images
    mark: str
    side: bytes = b""
    """images.jsonl, if it does not exist yet."""
    section: LabelingJobSection | None = None

    @classmethod
    def of(cls, run: Run, context: Context) -> _Own:
        section = run.labeling_job
        digest = lambda uri: hashlib.md5(context.s3.read(uri)[0], usedforsecurity=False).hexdigest()  # noqa: E731
        if section is None:
            return cls._of_images(run, context)
        manifest = _manifest_of(run, section, context)
        body, etag = context.s3.read(manifest)
        lines = tuple(read_chain(body, section.label_attribute))
        kept = context.s3.read_if_exists(section.images) if section.images else None
        seen = read_images_jsonl(kept[0]) if kept else {}
        known = [seen.get(line.image) for line in lines]
        if not all(known):
            seen = dict(_list_images([line.image for line in lines], context.s3)) | seen
        images = Images([seen.get(line.image) or KnownImage(line.image) for line in lines], digest=digest)
        return cls(lines, section.label_attribute, images, f"{manifest} {etag}", section=section)

    @classmethod
    def _of_images(cls, run: Run, context: Context) -> _Own:
        """Start with a run that has no labels: use the images of [images] source, uploading a local folder."""
        ensure_run_bucket(run, context)
        gathered = gather_images(run, context)
        upload_images(gathered, context)
        manifest = gathered.manifest
        lines = tuple(read_chain(manifest.body, ""))
        images = Images(
            [KnownImage(item.uri, item.size, item.etag) for item in manifest.objects], digest=lambda uri: ""
        )
        return cls(lines, "", images, hashlib.sha256(manifest.body).hexdigest(), side=manifest.side_body())


def _manifest_of(run: Run, section: LabelingJobSection, context: Context) -> str:
    """Return the output manifest of the run's job; its input manifest if it failed before writing any."""
    if section.output_manifest and context.s3.exists(section.output_manifest):
        return section.output_manifest
    usual = f"{run.root}labeling/{section.name}/{OUTPUT_MANIFEST}"
    return usual if context.s3.exists(usual) else section.input_manifest


def _list_images(uris: list[str], s3: S3) -> Iterator[tuple[str, KnownImage]]:
    """Yield URI, size and ETag of the objects below each folder of the images."""
    for folder in sorted({uri.rpartition("/")[0] + "/" for uri in uris}):
        bucket = split_uri(folder)[0]
        for item in s3.list_objects(folder):
            uri = join_uri(bucket, item.key)
            yield uri, KnownImage(uri, item.size, item.etag)


def _receive(job: _Job, own: _Own, staged: Path, base: str, context: Context) -> tuple[dict[str, Arrival], list[Loss]]:
    """Return the job's labels by the run's images, their masks staged, and the losses, in the manifest's order."""
    found: dict[str, ChainLine] = {}
    losses: dict[str, Loss] = {}
    for line in (line for line in job.lines if line.state == "labeled"):
        image, problem = own.images.find(job.seen.get(line.image) or KnownImage(line.image))
        if not problem and image in found:
            problem = f"{found[image].image} is the same image of the run"
        if problem:
            losses[line.image] = Loss("label", problem, line.image)
        else:
            found[image] = line
    folder, name = staged / MASKS / "output", base.rstrip("/").rsplit("/", 1)[-1]
    folder.mkdir(parents=True)
    writing = threading.Lock()

    def fetch(item: tuple[str, ChainLine]) -> str | Loss:
        """Return the name of the staged mask, its digest."""
        try:
            mask = job.mask(item[1])
        except GtsegError as error:
            return Loss("label", str(error), item[1].image)
        file = f"{hashlib.sha256(mask).hexdigest()[:32]}.png"
        with writing:  # several images may have equal masks
            (folder / file).write_bytes(mask)
        return file

    arrivals: dict[str, Arrival] = {}
    for (image, line), got in work_through(found.items(), fetch, threads=THREADS):
        if isinstance(got, Loss):
            losses[line.image] = got
            continue
        metadata = {**line.entry[f"{job.label}-metadata"], "job-name": f"labeling-job/{name}"}
        arrivals[image] = Arrival(image, f"{base}{MASKS}output/{got}", metadata, source_uri=line.image)
        context.progress("reading masks", len(arrivals), len(found))
    return arrivals, [losses[line.image] for line in job.lines if line.image in losses]


def _account(job: _Job, merged: Merged, arrivals: Mapping[str, Arrival], losses: list[Loss], *, labels: int) -> Account:
    losses += [Loss("label", STAYS, arrivals[image].source_uri) for image in merged.stays]
    for line in job.lines:
        if line.state != "labeled":
            why = "failed there" if line.state == "failed" else "was not labeled there"
            losses.append(Loss("object", f"{why}: nothing to import", line.image, kind="note"))
    merged_labels = len(merged.taken) + len(merged.there)
    return Account((Flow("label", labels, merged_labels),), losses=merge_losses(losses))


def _stage_answers(job: _Job, merged: Merged, arrivals: Mapping[str, Arrival], staged: Path) -> int:
    """Write the workers' answers where Ground Truth stores them, by merged line number; return the number of files."""
    lines = {line.image: line for line in job.lines}
    files = {number: job.answers(lines[arrivals[image].source_uri]) for number, image in merged.taken.items()}

    def fetch(item: tuple[int, tuple[Place, str] | None]) -> bool:
        if item[1] is None:
            return False
        place, name = item[1]
        target = staged / ANSWERS / "iteration-1" / str(item[0]) / name.rsplit("/", 1)[-1]
        target.parent.mkdir(parents=True)
        target.write_bytes(place.read_inside(name))
        return True

    return sum(is_there for _, is_there in work_through(files.items(), fetch, threads=THREADS))


def _write(
    run: Run, context: Context, own: _Own, merged: Merged, staged: Path, *, base: str, name: str, source: str
) -> Run:
    """Write masks and answers first, the manifest last; return the run with its new section."""
    context.s3.upload_folder(staged, base)
    label, images = own.label or f"{name}-ref", own.section.images if own.section else ""
    if own.side:
        images = f"{base}images.jsonl"
        context.s3.write(images, own.side)
    manifest = base + OUTPUT_MANIFEST
    etag = context.s3.write(manifest, write_lines(merged.entries))
    origin = Provenance(
        gtseg=__version__,
        settings={"import": {"name": name, "job": source}},
        sources={"manifest": manifest, "manifest_etag": etag},
    )
    section = LabelingJobSection(
        name=name,
        arn=f"arn:aws:sagemaker:{run.region}:{run.account}:labeling-job/{name}",
        label_attribute=label,
        workforce="import",
        objects=len(merged.entries),
        images=images,
        rejected=own.section.rejected if own.section else 0,
        status="Completed",
        counters=merged.count(label),
        output_manifest=manifest,
        follows=own.section.name if own.section else None,
        made_from=origin,
    )
    return run.update(labeling_job=section, dataset=None)
