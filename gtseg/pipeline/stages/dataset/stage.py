"""Dataset stage: read the manifest, check every mask, split, write the channels, report the result."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TypeVar

from gtseg.aws.s3 import Bulk, FileBody, is_s3_uri, split_uri, work_through
from gtseg.core.labeling.class_names import LookalikeNames
from gtseg.core.labeling.output_manifest import Labeled
from gtseg.core.labeling.references import decoded_forms
from gtseg.core.masks import BACKGROUND, Classes, alike_classes, merge_classes
from gtseg.core.plurals import counted
from gtseg.core.training.channels import label_maps, name_stems
from gtseg.core.training.splits import Item, assign, group_of
from gtseg.errors import StageError
from gtseg.pipeline.run import OWN_LABELS, Context, DatasetSection, LabelSource, Run, provenance
from gtseg.pipeline.run.freshness import LABELS, labels_of
from gtseg.pipeline.stages.dataset.check import APART, CODEC_SLOTS, Candidate, Checker, Finding, Spool
from gtseg.pipeline.stages.dataset.earlier_dataset import Earlier, list_etags, read_earlier, read_facts
from gtseg.pipeline.stages.dataset.ledger import Ledger, Table
from gtseg.pipeline.stages.dataset.messages import (
    account_of,
    finding_events,
    nothing_labeled,
    nothing_usable,
    result_event,
    ungrouped,
)
from gtseg.pipeline.stages.dataset.object_records import assemble
from gtseg.pipeline.stages.dataset.origins import Origin
from gtseg.pipeline.stages.dataset.plan import Plan
from gtseg.pipeline.stages.dataset.records import (
    RecordFile,
    Summary,
    describe_dataset,
    summarize,
    write_dataset,
    write_records,
)
from gtseg.pipeline.stages.dataset.sources import (
    Lines,
    Source,
    Survey,
    choose_label,
    choose_labels,
    copy_manifest,
    find_source,
)
from gtseg.pipeline.stages.dataset.writer import Placement, Writer

READERS, WRITERS = 48, 160
"""Number of concurrent requests. More would not speed up reading masks, which is limited by the processor; copies
inside S3 cost the client almost nothing, so that S3's latency dominates."""
T = TypeVar("T")


def dataset(run: Run, context: Context, *, labels: LabelSource = OWN_LABELS) -> Run:
    """Build the run's channels from the output of a labeling job, the run's own or any other.

    Returns the run with its dataset section. With `dry_run` everything is read and checked, nothing is written, and the
    run is returned unchanged. Objects that cannot be used are counted in the section and listed in objects.jsonl, with
    reasons. Raises StageError, ManifestError, MaskError, AWSError.
    """
    context = context.of("dataset")
    labels = choose_labels(run, context, labels)
    source = find_source(run, context, labels)
    section = run.labeling_job
    if section and section.follows and section.follows == source.job:
        words = f"{section.name} continues from {source.job}: without --job the dataset has the labels of both"
        context.note(words)
    with Bulk(context.clients) as bulk, Ledger() as ledger, ExitStack() as files:
        manifest_file, spool, objects = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        work = _Work(run, context, labels, source, bulk, ledger, Spool(spool))
        plan = work.plan(manifest_file)
        if context.dry_run:
            work.report(plan, work.summarize(plan, work.assemble(plan, objects)), is_dry=True)
            return run
        if not plan.earlier.has_bucket:
            _create_bucket(run, context)
        summary = work.carry_out(plan, objects)
        return run.update(dataset=work.report(plan, summary))


@dataclass(frozen=True)
class _Work:
    """One execution of the stage."""

    run: Run
    context: Context
    labels: LabelSource
    source: Source
    bulk: Bulk
    ledger: Ledger
    spool: Spool

    @property
    def channels(self) -> str:
        return f"{self.run.root}channels/"

    def plan(self, file: IO[bytes]) -> Plan:
        etag = copy_manifest(self.source, self.bulk, file)
        lines = Lines(self.source.manifest, file, choose_label(self.source, file), self.source.table)
        survey = lines.survey()
        if not survey.labeled:
            raise nothing_labeled(self.source.manifest, survey, lines.label)
        for message in self.source.describe_unused_rules(lines):
            self.context.warn(message)
        classes = self._classes(survey)
        earlier = read_earlier(self.bulk, self.run.root, self.ledger)
        findings = self._check(lines, classes, earlier, total=survey.labeled)
        plan = Plan(
            lines,
            etag,
            classes,
            earlier,
            findings,
            placements=self.ledger.table(int, Placement),
            parts=self.ledger.table(str, str),
            missing=0,
            spread=(),
        )
        return self._place(plan)

    def _classes(self, survey: Survey) -> Classes:
        """Return the dataset's classes.

        Raises LookalikeNames if names differ only in spelling and no setting decides.
        """
        options = self.context.settings.dataset
        alike = alike_classes(survey.maps, void=options.void)
        if alike and self._alike_labels == "ask":
            error = LookalikeNames(alike)
            error.args = (f"{error} (`gtseg dataset`; for every command: [dataset] alike_labels)",)
            raise error
        classes = merge_classes(survey.maps, void=options.void, merge_alike=self._alike_labels == "merge")
        for name, known in classes.aliases:
            self.context.note(f"{name!r} is {known!r}" + (" (index 0)" if known == BACKGROUND else ""))
        return classes

    @property
    def _alike_labels(self) -> str:
        """How to treat similar names: by the settings, else as decided for the earlier dataset."""
        wanted = self.context.settings.dataset.alike_labels
        origin = self.run.dataset.made_from if self.run.dataset else None
        if wanted != "ask" or origin is None:
            return wanted
        return str(origin.settings.get("dataset", {}).get("alike_labels", "ask"))

    def _check(self, lines: Lines, classes: Classes, earlier: Earlier, *, total: int) -> Table[int, Finding]:
        sources = (
            form
            for _, c in self._candidates(lines)
            for reference in (c.image, c.mask)
            for form in (reference, *decoded_forms(reference))
        )
        checker = Checker(
            Origin(self.bulk),
            classes,
            self.spool,
            facts=read_facts(self.bulk, self.source.images, self.ledger),
            etags=list_etags(self.bulk, sources, self.ledger) if earlier.records else {},
            earlier=earlier,
            min_confidence=self.context.settings.dataset.min_confidence,
            rejects_machine=self.context.settings.dataset.machine_labels == "reject",
            by_palette=self.context.settings.dataset.check == "palette",
        )
        findings, decoded = self.ledger.table(int, Finding), 0
        unknown = self._recall(lines, checker, findings)
        readers = min(READERS, total)
        fetched = work_through(unknown, lambda item: checker.fetch(item[1]), threads=readers, most=readers)
        results = work_through(fetched, lambda item: checker.judge(item[1]), threads=CODEC_SLOTS)
        with closing(fetched), closing(results):
            for ((position, candidate), _), finding in self._follow(results, "checked", total):
                findings[position] = finding
                decoded += (finding.image, finding.mask) != (candidate.image, candidate.mask)
        if decoded:
            self.context.note(
                f"{counted(decoded, 'object')} with URL-encoded names: images and masks were found under the decoded "
                "keys"
            )
        return findings

    def _recall(self, lines: Lines, checker: Checker, findings: Table[int, Finding]) -> Iterator[tuple[int, Candidate]]:
        """Fill in findings known from an earlier dataset and yield the other objects, which must be checked."""
        for position, candidate in self._candidates(lines):
            if known := checker.recall(candidate):
                findings[position] = known
            else:
                yield position, candidate

    def _candidates(self, lines: Lines) -> Iterator[tuple[int, Candidate]]:
        resolve = self.source.resolve
        for position, line in enumerate(lines):
            if isinstance(line, Labeled):
                yield position, Candidate(line, resolve(line.image), resolve(line.mask))

    def _place(self, plan: Plan) -> Plan:
        """Return the plan with split, group and name of every good object, and groups divided by an earlier dataset."""
        options, earlier = self.context.settings.dataset, plan.earlier
        items: list[Item] = []
        for_train: set[int] = set()
        keeps_apart = options.machine_labels == "train-only"
        for _, finding in plan.findings.rows():
            if finding.fact and not finding.reason:
                if finding.is_chosen or (finding.by_machine and keeps_apart):
                    for_train.add(len(items))
                items.append(Item(finding.image, finding.fact.etag, self._group(finding)))
        if not items:
            raise nothing_usable(self.source.manifest, plan.findings)
        if options.group_by and (message := ungrouped(items, options.group_by)):
            self.context.warn(message)
        assignment = assign(
            items,
            options.split.model_dump(),
            seed=options.seed,
            earlier=earlier.splits,
            train_only=for_train,
        )
        names = name_stems([item.key for item in items])
        places = zip(assignment.parts, names, items, strict=True)
        writer, missing = self._writer(earlier), 0
        for position, finding in plan.findings.rows():
            if not finding.fact or finding.reason:
                continue
            part, name, item = next(places)
            if not part:
                plan.findings[position] = replace(finding, reason=APART)
                continue
            group = item.group if options.group_by or finding.group else ""
            place = writer.find_written(Placement(finding, part, name, group))
            plan.placements[position], plan.parts[name] = place, part
            missing += not place.is_written
        return replace(plan, missing=missing, spread=assignment.spread)

    def _group(self, finding: Finding) -> str:
        """Return the group: by [dataset] group_by, else what an import wrote to the line (tiles of one scene), else
        none."""
        pattern = self.context.settings.dataset.group_by
        if pattern is None and finding.group:
            return f"group {finding.group}"
        return group_of(_key(finding.image), pattern)

    def carry_out(self, plan: Plan, objects: IO[bytes]) -> Summary:
        """Write what is missing, remove what is stale, then write objects.jsonl (bytes in `objects`) and dataset.json.

        While the channels change there is no dataset.json: if one exists, everything that it refers to exists too.
        """
        maps = {key: body for key, body in label_maps().items() if not _is_there(plan.earlier, key, body)}
        stale = self.ledger.table(str, str)
        stale.add_all(self._stale(plan))
        is_unchanged = not (plan.missing or maps or stale)
        if not is_unchanged and plan.earlier.marker is not None:
            self.bulk.delete(f"{self.run.root}dataset.json")
        for key, body in maps.items():
            self.bulk.put(self.channels + key, body, content_type="application/json")
        self._write(plan)
        self._remove_rejected(plan, stale)
        self._remove(stale)
        if not plan.placements:
            raise nothing_usable(self.source.manifest, plan.findings)
        records = self.assemble(plan, objects)
        summary = self.summarize(plan, records)
        self._conclude(plan, records, summary, marker=plan.earlier.marker if is_unchanged else None)
        return summary

    def _stale(self, plan: Plan) -> list[tuple[str, str]]:
        """Return (key, its ETag) of objects of an earlier dataset that this one does not have."""
        maps = label_maps()
        return [(k, etag) for k, etag in plan.earlier.present.items() if k not in maps and not plan.holds(k)]

    def _write(self, plan: Plan) -> None:
        writer = self._writer(plan.earlier)
        missing = ((p, place) for p, place in plan.placements.rows() if not place.is_written)
        results = work_through(missing, lambda item: writer.write(item[1]), threads=_writers(plan.missing))
        for (position, _), done in self._follow(results, "written", plan.missing):
            plan.placements[position] = done

    def _remove_rejected(self, plan: Plan, stale: Table[str, str]) -> None:
        """Turn placements that could not be written into findings with a reason; their written parts become stale."""
        for position, place in plan.placements.rows():
            if place.reason:
                found = replace(place.finding, reason=place.reason, is_failure=place.is_failure)
                plan.findings[position] = found
                del plan.placements[position]
                stale[place.object] = stale[place.annotation] = ""

    def _remove(self, stale: Table[str, str]) -> None:
        number = len(stale)
        uris = (self.channels + key for key in stale)
        for _ in work_through(uris, self.bulk.delete, threads=_writers(number)):
            pass
        if number:
            message = f"{number} objects that no longer belong to the dataset were removed from its channels"
            self.context.note(message)

    def _conclude(self, plan: Plan, records: RecordFile, summary: Summary, *, marker: bytes | None) -> None:
        """Write objects.jsonl, then dataset.json; a file with equal bytes is not written again."""
        root, options = self.run.root, self.context.settings.dataset
        if records.digest != plan.earlier.digest:
            self.bulk.put(f"{root}objects.jsonl", FileBody(records.file), content_type="application/x-ndjson")
        description = describe_dataset(
            summary,
            plan.classes,
            run=self.run.name,
            channels=self.channels,
            source={
                "manifest": self.source.manifest,
                "etag": plan.manifest_etag,
                "job": self.source.job,
                "label_attribute": plan.lines.label,
            },
            split={
                "shares": options.split.model_dump(),
                "seed": options.seed,
                "group_by": options.group_by,
            },
            account=account_of(summary).as_json(),
        )
        if (new := write_dataset(description)) != marker:
            self.bulk.put(f"{root}dataset.json", new, content_type="application/json")

    def assemble(self, plan: Plan, objects: IO[bytes]) -> RecordFile:
        records = assemble(plan.lines, plan.findings, plan.placements, classes=plan.classes, splits=plan.earlier.splits)
        return write_records(records, objects)

    def summarize(self, plan: Plan, records: RecordFile) -> Summary:
        return summarize(records, plan.classes, self.ledger.table(str, str))

    def report(self, plan: Plan, summary: Summary, *, is_dry: bool = False) -> DatasetSection:
        for event in finding_events(summary, plan.classes, plan.spread):
            self.context.notify(event)
        settings = self.context.settings
        chosen = settings.dataset.model_copy(update={"alike_labels": self._alike_labels})
        section = DatasetSection(
            channels=self.channels,
            classes=plan.classes.names,
            counts=summary.counts,
            by_machine=summary.by_machine,
            fingerprint=summary.fingerprint,
            account=account_of(summary).as_json(),
            source=self.source.manifest,
            chosen=None if self.labels == OWN_LABELS else self._kept_labels(),
            made_from=provenance(
                settings.model_copy(update={"dataset": chosen}),
                "dataset",
                manifest=self.source.manifest,
                manifest_etag=plan.manifest_etag,
                labeling_job=self.source.job,
                label_attribute=plan.lines.label,
                **{LABELS: labels_of(self.run.labeling_job)},
            ),
        )
        self.context.notify(result_event(section, is_dry=is_dry))
        return section

    def _kept_labels(self) -> LabelSource:
        """Return the labels with the absolute path of a local manifest: the next command may run in another folder."""
        manifest = self.labels.manifest
        if manifest is None or is_s3_uri(manifest):
            return self.labels
        return replace(self.labels, manifest=str(Path(manifest).resolve()))

    def _writer(self, earlier: Earlier) -> Writer:
        return Writer(self.bulk, Origin(self.bulk), self.spool, self.channels, earlier.present)

    def _follow(self, results: Iterable[T], verb: str, total: int) -> Iterator[T]:
        """Yield the results as they arrive and report progress at most two hundred times."""
        step = max(1, total // 200)
        for done, result in enumerate(results, start=1):
            if done % step == 0 or done == total:
                self.context.progress(f"objects {verb}", done, total)
            yield result


def _create_bucket(run: Run, context: Context) -> None:
    """Create the run's bucket if it is the default one or the settings allow it. Raises StageError otherwise."""
    bucket, _ = split_uri(run.root)
    project = context.settings.project
    if project.bucket is not None and not project.create_bucket:
        raise StageError(f"Bucket {bucket!r} does not exist. Create it, or set [project] create_bucket = true")
    context.s3.ensure_bucket(bucket)


def _writers(items: int) -> int:
    return max(1, min(WRITERS, items))


def _key(image: str) -> str:
    return split_uri(image)[1] if is_s3_uri(image) else image


def _is_there(earlier: Earlier, key: str, body: bytes) -> bool:
    return earlier.present.get(key) == hashlib.md5(body, usedforsecurity=False).hexdigest()
