"""[train] and [tune]: the training job and the search for hyperparameters.

Names, ranges and defaults: SageMaker developer guide, "Semantic Segmentation Hyperparameters" and "Tuning Semantic Segmentation".
What is not set is not sent, so that AWS's own default holds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from gtseg.core.limits import DAY, KmsKey, SecurityGroups, Subnets
from gtseg.settings.table import Seconds, Table

INSTANCE_TYPES = (
    *(f"ml.g4dn.{size}" for size in ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")),
    *(f"ml.g5.{size}" for size in ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge")),
    *(f"ml.p3.{size}" for size in ("2xlarge", "8xlarge", "16xlarge")),
    "ml.p3dn.24xlarge",
    *(f"ml.p2.{size}" for size in ("xlarge", "8xlarge", "16xlarge")),
)  # fmt: skip
"""The algorithm trains on one machine with P2, P3, G4dn or G5 GPUs (developer guide)."""

Share = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(gt=16)]
Count = Annotated[int, Field(ge=1)]


class Hyperparameters(Table):
    """The built-in algorithm's own. num_classes and num_training_samples come from the dataset."""

    algorithm: Literal["fcn", "psp", "deeplab"] | None = None
    """Default fcn."""
    backbone: Literal["resnet-50", "resnet-101"] | None = None
    """Default resnet-50."""
    use_pretrained_model: bool | None = None
    """ImageNet weights for the backbone. Default true."""
    base_size: Pixels | None = None
    """Longer side before cropping. Default 520."""
    crop_size: Pixels | None = None
    """Side of a training crop, rounded up to a multiple of 8. Default 240."""
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
    """Relative gain of mIOU. Default 0.0."""
    optimizer: Literal["adam", "adagrad", "nag", "rmsprop", "sgd"] | None = None
    """Default sgd."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Default 0.001."""
    lr_scheduler: Literal["poly", "step", "cosine"] | None = None
    """Default poly."""
    lr_scheduler_factor: Share | None = None
    """For step. Default 0.1."""
    lr_scheduler_step: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    """For step, where it is required: the epochs after which the rate falls, [10, 20]."""
    momentum: Annotated[float, Field(gt=0, le=1)] | None = None
    """For sgd. Default 0.9."""
    weight_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """For sgd. Default 0.0001."""
    gamma1: Share | None = None
    """For rmsprop. Default 0.9."""
    gamma2: Share | None = None
    """For rmsprop. Default 0.9."""
    syncbn: bool | None = None
    """Default false."""
    precision_dtype: Literal["float32", "float16"] | None = None
    """Not documented; the container's default is float32."""

    num_classes: Any = Field(default=None, exclude=True)
    num_training_samples: Any = Field(default=None, exclude=True)

    @field_validator("num_classes", "num_training_samples", mode="before")
    @classmethod
    def _count_nothing_by_hand(cls, value: Any) -> None:
        raise ValueError("comes from the dataset, never by hand: leave it out")

    @model_validator(mode="after")
    def _agree(self) -> Hyperparameters:
        if self.lr_scheduler == "step" and self.lr_scheduler_step is None:
            raise ValueError('lr_scheduler = "step" needs lr_scheduler_step: the epochs, like [10, 20]')
        if self.lr_scheduler != "step" and (self.lr_scheduler_step or self.lr_scheduler_factor is not None):
            raise ValueError('lr_scheduler_step and lr_scheduler_factor need lr_scheduler = "step"')
        return self


class Network(Table):
    """What training and hosting share: a VPC of the user's own."""

    subnets: Subnets = ()
    security_groups: SecurityGroups = ()
    network_isolation: bool = False
    tags: dict[str, str] = {}

    @field_validator("tags")
    @classmethod
    def _fit(cls, tags: dict[str, str]) -> dict[str, str]:
        wrong = [
            k for k, v in tags.items() if not 1 <= len(k) <= 128 or len(v) > 256 or k.startswith(("aws:", "gtseg:"))
        ]
        if wrong or len(tags) > 40:
            raise ValueError(
                f"at most 40 tags, keys of 1 to 128 characters without aws: or gtseg:, values up to 256: {wrong}"
            )
        return tags

    @model_validator(mode="after")
    def _be_one_network(self) -> Network:
        if bool(self.subnets) != bool(self.security_groups):
            raise ValueError("subnets and security_groups come together")
        return self


class Train(Network):
    input: Literal["channels", "augmented-manifest"] = "channels"
    """augmented-manifest: images and masks are piped from where Ground Truth left them."""
    instance_type: Literal[INSTANCE_TYPES] = "ml.g4dn.xlarge"  # type: ignore[valid-type]
    volume_gb: Annotated[int, Field(ge=1, le=16384)] = 50
    max_runtime: Annotated[Seconds, Field(ge=60, le=28 * DAY)] = DAY
    spot: bool = False
    """Spare capacity, cheaper; interrupted jobs go on from their checkpoints."""
    max_wait: Annotated[Seconds, Field(ge=60, le=28 * DAY)] | None = None
    """For spot: the whole time, waiting included. Unset: twice max_runtime."""
    checkpoints: bool | None = None
    """Keep checkpoints below the run. Unset: with spot only."""
    initial_model: str | None = None
    """Go on from an earlier model: s3://.../model.tar.gz, or the name of a training job."""
    image_uri: str | None = None
    """Unset: the built-in algorithm's image of the region."""
    kms_key: KmsKey | None = None
    volume_kms_key: KmsKey | None = None
    hyperparameters: Hyperparameters = Hyperparameters()

    @model_validator(mode="after")
    def _wait_long_enough(self) -> Train:
        if self.max_wait is not None and not self.spot:
            raise ValueError("max_wait needs spot = true")
        if self.max_wait is not None and self.max_wait < self.max_runtime:
            raise ValueError("max_wait must be max_runtime or more: it includes it")
        if self.input == "augmented-manifest" and self.initial_model:
            raise ValueError('initial_model needs input = "channels": incremental training takes images only')
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
"""Ranges that AWS documents as tunable. Its list of optimizers names adadelta too, which the algorithm does not have."""
OPTIMIZERS = ("sgd", "adam")


class Tune(Table):
    """The ranges that are named are searched; where none is, all that AWS documents."""

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
    def _lie_within(cls, span: tuple[float, float] | None, info: Any) -> tuple[float, float] | None:
        low, high = LIMITS[info.field_name]
        if span is not None and not low <= span[0] < span[1] <= high:
            raise ValueError(f"two numbers, the smaller first, within {low:g} to {high:g}")
        return span

    @model_validator(mode="after")
    def _be_searchable(self) -> Tune:
        if self.strategy == "Grid" and set(self.ranges) != {"optimizer"}:
            raise ValueError('strategy = "Grid" searches choices only: name optimizer and no range of numbers')
        if self.max_parallel_jobs > self.max_jobs:
            raise ValueError("max_parallel_jobs must be max_jobs or less")
        return self

    @property
    def ranges(self) -> dict[str, tuple[Any, ...]]:
        named = {name: value for name in (*LIMITS, "optimizer") if (value := getattr(self, name))}
        return named or {**LIMITS, "optimizer": OPTIMIZERS}


__all__ = ["DAY", "INSTANCE_TYPES", "Hyperparameters", "Network", "Train", "Tune"]
