"""Settings and dataset -> the training job that is asked for."""

from __future__ import annotations

import json
from dataclasses import replace

from gtseg.aws.s3 import is_s3_uri, split_uri
from gtseg.aws.training import image_uri_of_sdk
from gtseg.core.plurals import counted
from gtseg.core.training.image_uris import image_uri
from gtseg.core.training.job import Manifests, TrainingJob, disagreements, hyperparameter_strings
from gtseg.errors import SettingsError, StageError
from gtseg.pipeline.run import RUN_TAG, Context, DatasetSection, Provenance, Run, lineage_tags, provenance
from gtseg.pipeline.run.regions import check_regions
from gtseg.pipeline.stages.train.manifests import write_manifests


def plan_training(run: Run, context: Context) -> TrainingJob:
    """Everything of the training job but its name.

    Raises StageError before `dataset`, or where the dataset cannot be trained on; SettingsError for an earlier model that does
    not fit.
    """
    data = _dataset(run)
    check_regions(_buckets(run, context), context, what="training job")
    wanted, region = context.settings.train, context.clients.region
    given = wanted.hyperparameters.model_dump()
    hyperparameters = hyperparameter_strings(given | _counts(data))
    job = TrainingJob(
        role_arn=context.role_arn,
        image_uri=wanted.image_uri or built_in_image(region),
        hyperparameters=hyperparameters,
        output=f"{run.root}training/",
        channels=data.channels,
        label_map=_needs_label_map(data, context),
        initial_model=_earlier_model(context, hyperparameters),
        instance_type=wanted.instance_type,
        volume_gb=wanted.volume_gb,
        max_runtime=wanted.max_runtime,
        spot=wanted.spot,
        max_wait=wanted.max_wait,
        checkpoints=f"{run.root}checkpoints/{data.fingerprint[:12]}/" if wanted.keeps_checkpoints else None,
        kms_key=wanted.kms_key or context.settings.project.kms_key,
        volume_kms_key=wanted.volume_kms_key,
        subnets=wanted.subnets,
        security_groups=wanted.security_groups,
        network_isolation=wanted.network_isolation,
        tags=wanted.tags | {RUN_TAG: run.name, "gtseg:dataset": data.fingerprint},
    )
    if wanted.input == "channels":
        return job
    train, validation, label = write_manifests(run, context)
    return replace(job, manifests=Manifests(train, validation, label), label_map=False)


def _buckets(run: Run, context: Context) -> set[str]:
    """Of the channels, of an earlier model, and of the images where they are read as they lie."""
    named = [run.root, context.settings.train.initial_model or ""]
    if context.settings.train.input == "augmented-manifest":
        named.append(context.settings.images.source or "")
    return {split_uri(uri)[0] for uri in named if is_s3_uri(uri)}


def origin_tags(run: Run) -> dict[str, str]:
    """What a training or tuning job comes from, as tags beside those of the request itself."""
    return lineage_tags(run.root, manifest=_manifest(run), labeling_job=_labeling_job(run))


def made_from(run: Run, context: Context, job: TrainingJob, mark: str, *tables: str) -> Provenance:
    return provenance(
        context.settings,
        *tables,
        dataset=run.dataset.fingerprint if run.dataset else None,
        manifest_etag=_manifest(run),
        labeling_job=_labeling_job(run),
        initial_model=job.initial_model,
        request=mark,
    )


def _manifest(run: Run) -> str | None:
    origin = run.dataset.made_from if run.dataset else None
    return origin.sources.get("manifest_etag") if origin else None


def _labeling_job(run: Run) -> str | None:
    origin = run.dataset.made_from if run.dataset else None
    return origin.sources.get("labeling_job") if origin else None


def built_in_image(region: str) -> str:
    """The built-in algorithm's image: by SageMaker's SDK where it is installed, else by the table, which is equal."""
    return image_uri_of_sdk(region) or image_uri(region)


def _dataset(run: Run) -> DatasetSection:
    if run.dataset is None:
        raise StageError(f"Run {run.name!r} has no dataset to train on. Make one: `gtseg dataset`.")
    counts = run.dataset.counts
    for part in ("train", "validation"):
        if not counts.get(part):
            raise StageError(
                f"The dataset has no {part} images: the algorithm needs both. Label more, or change [dataset] split, then `gtseg dataset`."
            )
    if not 2 <= len(run.dataset.classes) <= 254:
        raise StageError(
            f"The dataset has {counted(len(run.dataset.classes), 'class', 'classes')}; the algorithm takes 2 to 254, background included."
        )
    return run.dataset


def _counts(data: DatasetSection) -> dict[str, int]:
    """What the algorithm must know of the data; a wrong number of samples would distort its learning rate."""
    return {"num_classes": len(data.classes), "num_training_samples": data.counts["train"]}


def _needs_label_map(data: DatasetSection, context: Context) -> bool:
    """Whether annotations hold anything else than class indices: the container's default is `{"scale": 1}`."""
    for part in ("train", "validation"):
        found = context.s3.read_if_exists(f"{data.channels}label_map/{part}_label_map.json")
        if found and json.loads(found[0]) not in ({"scale": 1}, {"scale": "1"}):
            return True
    return False


def _earlier_model(context: Context, ours: dict[str, str]) -> str | None:
    """The model.tar.gz to go on from; a training job's by its name, checked to fit."""
    earlier = context.settings.train.initial_model
    if earlier is None or is_s3_uri(earlier):
        if earlier and not context.s3.exists(earlier):
            raise StageError(f"[train] initial_model: there is no {earlier}")
        return earlier
    state = context.training.find_job(earlier)
    if state is None or not state.model_artifact or not state.has_result:
        raise StageError(
            f"[train] initial_model = {earlier!r}: no completed training job of that name with a model, and no s3:// address"
        )
    if wrong := disagreements(ours, state.hyperparameters):
        raise SettingsError(f"[train] initial_model = {earlier!r} cannot be gone on from: {'; '.join(wrong)}")
    return state.model_artifact
