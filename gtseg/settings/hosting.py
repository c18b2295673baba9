"""[deploy], [predict], [batch], [evaluate], [serve]: endpoints, inference, evaluation and unattended runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from gtseg.core.limits import DAY, KmsKey, S3Uri
from gtseg.settings.table import IMAGE, Seconds, Table, check_object
from gtseg.settings.training import Network

STAGE_NAMES = ("label", "watch", "dataset", "train", "deploy", "evaluate", "report", "cleanup")


class Deploy(Network):
    instance_type: Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")] = "ml.c5.xlarge"
    instance_count: Annotated[int, Field(ge=1, le=100)] = 1
    model_data: Annotated[S3Uri, BeforeValidator(check_object)] | None = None
    """S3 URI of any model.tar.gz. Unset: the model of this run's training job."""
    image_uri: Annotated[str, IMAGE] | None = None
    """Container image that serves the model. Unset: the built-in algorithm's image of the region."""
    content_type: str = "image/jpeg"
    accept: str = "image/png"
    environment: Annotated[dict[str, str], Field(max_length=100)] = {}
    time_to_live: Annotated[Seconds, Field(ge=60, le=365 * DAY)] | None = None
    """Age after which `gtseg serve` and `gtseg cleanup --expired` delete the endpoint; AWS never does."""
    kms_key: KmsKey | None = None


class Predict(Table):
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    """Number of images that are predicted at the same time."""
    retry_for: Annotated[Seconds, Field(ge=1, le=3600)] = 120
    """Seconds for which the request for one image is retried while the endpoint is busy or unavailable."""
    large_images: Literal["scale", "tile"] = "scale"
    """How to treat an image that is larger than max_side or too large for one request: scale it down or cut it into
    tiles."""
    max_side: Annotated[int, Field(ge=64, le=16384)] = 2048
    """Longer side in pixels above which an image is scaled down or cut into tiles."""
    tile_size: Annotated[int, Field(ge=64, le=4096)] = 1024
    tile_overlap: Annotated[int, Field(ge=0, le=2048)] = 128
    jpeg_quality: Annotated[int, Field(ge=50, le=100)] = 95
    overlays: bool = False
    probabilities: bool = False
    opacity: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="after")
    def _check_overlap(self) -> Predict:
        if self.tile_overlap > self.tile_size // 2:
            raise ValueError(f"tile_overlap must be at most half of tile_size: {self.tile_size // 2}")
        return self


class Batch(Table):
    """`predict --batch` and `evaluate --batch`: SageMaker batch transform."""

    instance_type: Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")] | None = None
    """Unset: [deploy] instance_type."""
    instances: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of instances that share the images."""
    stalled_after: Annotated[Seconds, Field(ge=60, le=DAY)] = 1200
    """Seconds without a new mask after which the command offers to stop the job."""
    seconds_per_image: Annotated[float, Field(gt=0, le=600)] = 3.0
    """Seconds that one instance takes per image, for the cost estimate; AWS sets no time limit on transform jobs."""


class Evaluate(Table):
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    """Number of bootstrap resamples for each interval."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    boundary_tolerance: Annotated[float, Field(gt=0, le=0.1)] = 0.0075
    """Tolerance of boundary scores, as a fraction of the image's diagonal."""
    required: bool = True
    """Let `run` and `serve` refuse to train or deploy a model if there are no test images to score it on."""


class Serve(Table):
    until: Literal[STAGE_NAMES] = "dataset"  # type: ignore[valid-type]
    """Last stage that runs unattended; later stages wait for a person."""
    begin: bool = False
    """Also start a first labeling job if the project has no run; [budget] applies, there is no confirmation."""
    interval: Annotated[Seconds, Field(ge=1, le=3600)] = 30
    """Seconds between two polls of all jobs."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    """Port of /healthz."""
