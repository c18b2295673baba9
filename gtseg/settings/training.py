"""[train] and [tune]: the training job and the hyperparameter search.

Names, ranges and defaults: SageMaker developer guide, "Semantic Segmentation Hyperparameters" and "Tuning Semantic
Segmentation". Unset keys are not sent, so that AWS's own defaults apply.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from gtseg.core.limits import DAY, KmsKey, SecurityGroups, Subnets
from gtseg.settings.table import IMAGE, Seconds, Table, check_model

INSTANCE_TYPES = (
    *(f"ml.g4dn.{size}" for size in ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")),
    *(f"ml.g5.{size}" for size in ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")),
    *(f"ml.g5.{size}" for size in ("24xlarge", "48xlarge")),
    *(f"ml.p3.{size}" for size in ("2xlarge", "8xlarge", "16xlarge")),
    "ml.p3dn.24xlarge",
    *(f"ml.p2.{size}" for size in ("xlarge", "8xlarge", "16xlarge")),
)  # fmt: skip
"""Instance types of the algorithm: a single instance with P2, P3, G4dn or G5 GPUs (developer guide)."""

Share = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(gt=16)]
Count = Annotated[int, Field(ge=1)]


class Hyperparameters(Table):
    """Hyperparameters of the built-in algorithm; gtseg sets num_classes and num_training_samples from the dataset."""

    algorithm: Literal["fcn", "psp", "deeplab"] | None = None
    """Default fcn."""
    backbone: Literal["resnet-50", "resnet-101"] | None = None
    """Default resnet-50."""
    use_pretrained_model: bool | None = None
    """Start from ImageNet weights of the backbone. Default true."""
    base_size: Pixels | None = None
    """Longer side in pixels before cropping. Default 520."""
    crop_size: Pixels | None = None
    """Side of a training crop in pixels, rounded up to a multiple of 8. Default 240."""
    mini_batch_size: Count | None = None
    """Default 16."""
    validation_mini_batch_size: Count | None = None
    """Default 16."""
    epochs: Count | None = None
    """Default 10."""
    early_stopping: bool | None = None
    """Default false."""
    early_stopping_min_epochs: Count | None = None
    """Default 5."""
    early_stopping_patience: Count | None = None
    """Default 4."""
    early_stopping_tolerance: Share | None = None
    """Relative improvement of mIOU. Default 0.0."""
    optimizer: Literal["adam", "adagrad", "nag", "rmsprop", "sgd"] | None = None
    """Default sgd."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Default 0.001."""
    lr_scheduler: Literal["poly", "step", "cosine"] | None = None
    """Default poly."""
    lr_scheduler_factor: Share | None = None
    """lr_scheduler "step" only: factor by which the learning rate is multiplied. Default 0.1."""
    lr_scheduler_step: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    """lr_scheduler "step" only, required there: epochs after which the learning rate is reduced, like [10, 20]."""
    momentum: Annotated[float, Field(gt=0, le=1)] | None = None
    """sgd only. Default 0.9."""
    weight_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """sgd only. Default 0.0001."""
    gamma1: Share | None = None
    """rmsprop only. Default 0.9."""
    gamma2: Share | None = None
    """rmsprop only. Default 0.9."""
    syncbn: bool | None = None
    """Default false."""
    precision_dtype: Literal["float32", "float16"] | None = None
    """Undocumented; the container's default is float32."""

    num_classes: Any = Field(default=None, exclude=True)
    num_training_samples: Any = Field(default=None, exclude=True)

    @field_validator("num_classes", "num_training_samples", mode="before")
    @classmethod
    def _refuse_counts(cls, value: Any) -> None:
        raise ValueError("is set from the dataset: remove it")

    @model_validator(mode="after")
    def _check(self) -> Hyperparameters:
        if self.lr_scheduler == "step" and self.lr_scheduler_step is None:
            raise ValueError('lr_scheduler = "step" needs lr_scheduler_step: a list of epochs, like [10, 20]')
        if self.lr_scheduler != "step" and (self.lr_scheduler_step or self.lr_scheduler_factor is not None):
            raise ValueError('lr_scheduler_step and lr_scheduler_factor need lr_scheduler = "step"')
        return self


class Network(Table):
    """VPC and tags, common to training and hosting."""

    subnets: Subnets = ()
    security_groups: SecurityGroups = ()
    network_isolation: bool = False
    tags: dict[str, str] = {}

    @field_validator("tags")
    @classmethod
    def _check_tags(cls, tags: dict[str, str]) -> dict[str, str]:
        wrong = [
            k for k, v in tags.items() if not 1 <= len(k) <= 128 or len(v) > 256 or k.startswith(("aws:", "gtseg:"))
        ]
        if wrong or len(tags) > 40:
            raise ValueError(
                "at most 40 tags; keys must have 1 to 128 characters without an aws: or gtseg: prefix, values at "
                f"most 256: {wrong}"
            )
        return tags

    @model_validator(mode="after")
    def _check_network(self) -> Network:
        if bool(self.subnets) != bool(self.security_groups):
            raise ValueError("subnets and security_groups must be given together")
        return self


class Train(Network):
    input: Literal["channels", "augmented-manifest"] = "channels"
    """"augmented-manifest": stream images and masks from where Ground Truth stored them."""
    instance_type: Literal[INSTANCE_TYPES] = "ml.g4dn.xlarge"  # type: ignore[valid-type]
    volume_gb: Annotated[int, Field(ge=1, le=16384)] = 50
    max_runtime: Annotated[Seconds, Field(ge=60, le=28 * DAY)] = DAY
    spot: bool = False
    """Use spot instances, which are cheaper; interrupted jobs continue from their checkpoints."""
    max_wait: Annotated[Seconds, Field(ge=60, le=28 * DAY)] | None = None
    """spot only: limit of waiting and training together. Unset: twice max_runtime."""
    checkpoints: bool | None = None
    """Store checkpoints below the run. Unset: only with spot."""
    initial_model: Annotated[str, AfterValidator(check_model)] | None = None
    """Continue training from an earlier model: s3://.../model.tar.gz or the name of a training job."""
    image_uri: Annotated[str, IMAGE] | None = None
    """Unset: the built-in algorithm's image of the region."""
    kms_key: KmsKey | None = None
    volume_kms_key: KmsKey | None = None
    hyperparameters: Hyperparameters = Hyperparameters()

    @model_validator(mode="after")
    def _check_wait(self) -> Train:
        if self.max_wait is not None and not self.spot:
            raise ValueError("max_wait needs spot = true")
        if self.max_wait is not None and self.max_wait < self.max_runtime:
            raise ValueError("max_wait must be at least max_runtime, which it includes")
        if self.input == "augmented-manifest" and self.initial_model:
            raise ValueError('initial_model needs input = "channels": incremental training supports no other input')
        return self

    @property
    def keeps_checkpoints(self) -> bool:
        return self.spot if self.checkpoints is None else self.checkpoints


LIMITS: dict[str, tuple[Any, Any]] = {
    "learning_rate": (1e-4, 1e-1),
    "mini_batch_size": (1, 128),
    "momentum": (0.9, 0.999),
    "weight_decay": (1e-5, 1e-3),
}
"""Ranges that AWS documents as tunable. AWS also lists the optimizer adadelta, which the algorithm lacks."""
OPTIMIZERS = ("sgd", "adam")


class Tune(Table):
    """Search space and limits of `gtseg tune`: the ranges that are set; all tunable ones of AWS if none is."""

    objective: Literal["validation:mIOU", "validation:pixel_accuracy"] = "validation:mIOU"
    strategy: Literal["Bayesian", "Random", "Grid", "Hyperband"] = "Bayesian"
    max_jobs: Annotated[int, Field(ge=1, le=750)] = 10
    max_parallel_jobs: Annotated[int, Field(ge=1, le=100)] = 1
    early_stopping: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    learning_rate: tuple[float, float] | None = None
    mini_batch_size: tuple[int, int] | None = None
    momentum: tuple[float, float] | None = None
    weight_decay: tuple[float, float] | None = None
    optimizer: (
        Annotated[tuple[Literal["sgd", "adam", "adagrad", "nag", "rmsprop"], ...], Field(min_length=1)] | None
    ) = None

    @field_validator(*LIMITS)
    @classmethod
    def _check_range(cls, span: tuple[float, float] | None, info: Any) -> tuple[float, float] | None:
        low, high = LIMITS[info.field_name]
        if span is not None and not low <= span[0] < span[1] <= high:
            raise ValueError(f"must be two numbers within {low:g} to {high:g}, the smaller first")
        return span

    @model_validator(mode="after")
    def _check_strategy(self) -> Tune:
        if self.strategy == "Grid" and set(self.ranges) != {"optimizer"}:
            raise ValueError('strategy = "Grid" supports categorical ranges only: set optimizer and no numeric range')
        if self.max_parallel_jobs > self.max_jobs:
            raise ValueError("max_parallel_jobs must be at most max_jobs")
        return self

    @property
    def ranges(self) -> dict[str, tuple[Any, ...]]:
        named = {name: value for name in (*LIMITS, "optimizer") if (value := getattr(self, name))}
        return named or {**LIMITS, "optimizer": OPTIMIZERS}
