"""Project and ProjectRun: the commands as methods."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtseg.core.s3_uris import require_location
from gtseg.errors import SettingsError
from gtseg.library.progress import listen
from gtseg.library.results import (
    Dataset,
    Endpoint,
    Evaluation,
    Labeling,
    Prediction,
    Predictions,
    Report,
    Training,
    dataset_of,
    section_needed,
)
from gtseg.library.tables import html_table, make_table
from gtseg.pipeline.run import OWN_LABELS, Context, LabelSource, Run, RunFile, list_runs, locate
from gtseg.pipeline.run.account import open_clients
from gtseg.pipeline.run.cost import check_budget
from gtseg.pipeline.run.events import Consent, Event, Notify
from gtseg.pipeline.stages.order import STAGES, standings
from gtseg.settings import Settings, load
from gtseg.settings.table import check_run_name

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients


StageFunction = Callable[[Run, Context], Run]


@dataclass(frozen=True)
class Project:
    """Project: its settings, and AWS clients from the usual AWS configuration (or the embedded AWS)."""

    settings: Settings = field(repr=False)

    @classmethod
    def open(cls, path: str | Path = "gtseg.toml", *, settings: Mapping[str, Any] | None = None) -> Project:
        """Open the project of a settings file. `settings` overrides keys: `{"train.max_runtime": "1h"}`.

        Raises SettingsError naming each wrong key. Makes no AWS calls yet.
        """
        flags = list((settings or {}).items())
        return cls(load(Path(path), environ=os.environ, flags=flags))

    @property
    def name(self) -> str:
        """[project] name."""
        return self.settings.project.name

    @cached_property
    def _clients(self) -> Clients:
        return open_clients(self.settings)

    def run(self, name: str | None = None) -> ProjectRun:
        """Return a run by its name, by default the run with the project's name. It need not exist yet."""
        if name is not None:
            check_run_name(name)
        return ProjectRun(self, name or self.name)

    def runs(self) -> list[str]:
        """Return the names of the existing runs."""
        return list_runs(self.settings, self._clients)


@dataclass(frozen=True)
class ProjectRun:
    """Run of a project. Each method corresponds to the command of its name: it runs once, resumes, and never pays
    twice.

    Methods that start something on AWS take `agree`: without it they raise SettingsError with the possible cost. The
    embedded AWS costs nothing and needs no `agree`.
    """

    project: Project
    name: str

    def label(self, *, agree: bool = False) -> Labeling:
        """Start the labeling job of [images] and [labeling], or find the running one."""
        from gtseg.pipeline.stages.label import label

        return _labeling(self._run_stage(label, agree=agree))

    def watch(self) -> Labeling:
        """Follow the labeling job to its end. Interrupting the cell does not stop the job."""
        from gtseg.pipeline.stages.watch import watch

        return _labeling(self._run_stage(watch))

    def dataset(
        self, *, job: str | None = None, manifest: str | None = None, label_attribute: str | None = None
    ) -> Dataset:
        """Convert the labels of the run, of any labeling `job`, or of any output `manifest`, to channels."""
        from gtseg.pipeline.stages.dataset import dataset

        if job and manifest:
            raise SettingsError("job and manifest exclude each other")
        is_own = not (job or manifest or label_attribute)
        source = OWN_LABELS if is_own else LabelSource(job, manifest, label_attribute)
        run = self._run_stage(partial(dataset, labels=source))
        return dataset_of(run, self._context())

    def train(self, *, agree: bool = False) -> Training:
        """Train on the dataset, and follow the job to its end."""
        from gtseg.pipeline.stages.train import train

        job = section_needed(self._run_stage(train, agree=agree).training_job, "training job")
        epochs = tuple(epoch.model_dump(mode="json") for epoch in job.epochs)
        best = job.best.model_dump(mode="json") if job.best else None
        return Training(job.name, job.status or "", job.model_artifact, dict(job.hyperparameters), best, epochs)

    def deploy(self, *, agree: bool = False) -> Endpoint:
        """Deploy the model to an endpoint, and wait until it is in service. It costs money until `cleanup()`."""
        from gtseg.pipeline.stages.deploy import deploy

        there = section_needed(self._run_stage(deploy, agree=agree).endpoint, "endpoint")
        return Endpoint(there.name, there.status or "", there.instance_type, there.instance_count)

    def predict(
        self,
        images: str | Path | Sequence[str | Path],
        output: str | Path | None = None,
        *,
        in_batch: bool = False,
        agree: bool = False,
    ) -> Predictions:
        """Predict masks of images: files, folders or s3:// prefixes.

        `output` is a folder or prefix [default: predictions/ beside gtseg.toml]. `in_batch`: use a transform job, whose
        cost is confirmed, instead of the endpoint. Existing masks are not predicted again. Images without a mask are in
        `failed` of the result, with reasons.
        """
        from gtseg.pipeline.commands.predict import classes_of, gather, predict, predict_in_batch

        given = [images] if isinstance(images, str | Path) else list(images)
        sources = [require_location(str(one), "images") for one in given]
        target = require_location(str(output or self.project.settings.folder / "predictions"), "output")
        run, context = self._load(), self._context(agree=agree)
        ask = predict_in_batch if in_batch else predict
        done = ask(run, context, sources=sources, output=target)
        failed, classes = dict(done.failed), classes_of(run, context.s3)
        items = tuple(
            Prediction(item.name, item.entry.address, f"{target.rstrip('/')}/{item.name}.png", context, classes)
            for item in gather(sources, context.s3)
            if item.entry.address not in failed
        )
        return Predictions(target, failed, classes.names, items)

    def evaluate(self, *, in_batch: bool = False, agree: bool = False) -> Evaluation:
        """Score the model on the test split, which training did not use.

        `in_batch`: use a transform job, not an endpoint.
        """
        from gtseg.pipeline.stages.evaluate import evaluate

        run = self._run_stage(partial(evaluate, in_batch=in_batch), agree=agree)
        return Evaluation.of(section_needed(run.evaluation, "evaluation"))

    def report(self) -> Report:
        """Write the report to the run's bucket and beside gtseg.toml."""
        from gtseg.pipeline.stages.report import report

        section = section_needed(self._run_stage(report).report, "report")
        page = self._context().s3.read(section.html)[0].decode()
        return Report(section.html, page)

    def cleanup(self) -> list[str]:
        """Delete the endpoint, its config and its models, never data; return what was deleted."""
        from gtseg.pipeline.stages.cleanup import sweep

        _, swept = sweep(self._load(), self._context())
        return list(swept.deleted)

    def status(self) -> Any:
        """Return a row for each stage: whether it is done, and its result. pandas if installed, else dicts."""
        return make_table(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        run = self._load()
        found = standings(run, self.project.settings)
        return [
            {
                "stage": stage.name,
                "done": found[stage.name].is_done,
                "result": stage.summary(run) or found[stage.name].reason,
            }
            for stage in STAGES
        ]

    def _repr_html_(self) -> str:
        return html_table(self._rows())

    @property
    def _run_file(self) -> RunFile:
        settings, clients = self.project.settings, self.project._clients
        return RunFile(clients, locate(settings, clients, name=self.name))

    def _load(self) -> Run:
        run = self._run_file.load()
        return run if run.etag else run.update(project=self.project.name)

    def _context(self, *, agree: bool = False, notify: Notify | None = None) -> Context:
        settings, clients = self.project.settings, self.project._clients
        listener = notify or listen()
        plain = Context(settings, clients, listener)

        def check_cost(stage: str, run: Run, objects: int | None) -> None:
            rows, warning = check_budget(stage, run, plain, objects=objects)
            for row in rows:
                usd = "unknown" if row.usd is None else f"{row.usd:,.2f} USD"
                listener(Event(stage, "note", f"{row.what}: {row.quantity:,.2f} {row.unit}, at most {usd}"))
            if warning:
                listener(Event(stage, "warning", warning))

        def spend(words: str) -> bool:
            if not agree:
                raise SettingsError(f"{words} This spends money: pass agree=True.")
            return True

        consent = Consent(
            spend=spend, check_cost=check_cost, stop=lambda words: agree, create_bucket=not clients.is_aws("s3")
        )
        return Context(settings, clients, listener, consent)

    def _run_stage(self, stage: StageFunction, *, agree: bool = False) -> Run:
        """Run one stage, show its events, and save its run."""
        return self._run_file.save(stage(self._load(), self._context(agree=agree)))


def _labeling(run: Run) -> Labeling:
    job = section_needed(run.labeling_job, "labeling job")
    return Labeling(
        job.name,
        job.status or "InProgress",
        job.objects,
        dict(job.counters),
        job.output_manifest,
        job.label_attribute,
    )
