"""Request of a training job from settings and dataset."""

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
    """Return everything of the training job but its name.

    Raises StageError before `dataset`, or if the dataset cannot be trained on; SettingsError for an initial model that
    does not fit.
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
    """Return the buckets of the channels, of the initial model, and of images that are read in place."""
    named = [run.root, context.settings.train.initial_model or ""]
    if context.settings.train.input == "augmented-manifest":
        named.append(context.settings.images.source or "")
    return {split_uri(uri)[0] for uri in named if is_s3_uri(uri)}


def origin_tags(run: Run) -> dict[str, str]:
    """Return tags for the provenance of a training or tuning job."""
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
    """Return the built-in algorithm's image: from SageMaker's SDK if installed, else from an equal table."""
    return image_uri_of_sdk(region) or image_uri(region)


def _dataset(run: Run) -> DatasetSection:
    if run.dataset is None:
        raise StageError(f"Run {run.name!r} has no dataset to train on. Make one: `gtseg dataset`.")
    counts = run.dataset.counts
    for part in ("train", "validation"):
        if not counts.get(part):
            raise StageError(
                f"The dataset has no {part} images: the algorithm needs both. Label more, or change [dataset] split, "
                "then run `gtseg dataset`."
            )
    if not 2 <= len(run.dataset.classes) <= 254:
        raise StageError(
            f"The dataset has {counted(len(run.dataset.classes), 'class', 'classes')}; the algorithm supports 2 to "
            "254, including background."
        )
    return run.dataset


def _counts(data: DatasetSection) -> dict[str, int]:
    """Return the hyperparameters from the data; a wrong number of samples would distort the learning rate schedule."""
    return {"num_classes": len(data.classes), "num_training_samples": data.counts["train"]}


def _needs_label_map(data: DatasetSection, context: Context) -> bool:
    """Return whether annotations have values other than class indices; the container's default is `{"scale": 1}`."""
    for part in ("train", "validation"):
        found = context.s3.read_if_exists(f"{data.channels}label_map/{part}_label_map.json")
        if found and json.loads(found[0]) not in ({"scale": 1}, {"scale": "1"}):
            return True
    return False


def _earlier_model(context: Context, ours: dict[str, str]) -> str | None:
    """Return the model.tar.gz to continue training from; that of a training job is checked for compatibility."""
    earlier = context.settings.train.initial_model
    if earlier is None or is_s3_uri(earlier):
        if earlier and not context.s3.exists(earlier):
            raise StageError(f"[train] initial_model: {earlier} does not exist")
        return earlier
    state = context.training.find_job(earlier)
    if state is None or not state.model_artifact or not state.has_result:
        raise StageError(
            f"[train] initial_model = {earlier!r}: must be an s3:// URI, or the name of a completed training job "
            "with a model"
        )
    if wrong := disagreements(ours, state.hyperparameters):
        raise SettingsError(f"training cannot continue from [train] initial_model = {earlier!r}: {'; '.join(wrong)}")
    return state.model_artifact
