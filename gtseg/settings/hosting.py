"""[deploy], [predict], [batch], [evaluate], [serve]: the endpoint, batch transform, and what is asked of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gtseg.core.limits import DAY, KmsKey, S3Uri
from gtseg.settings.table import Seconds, Table
from gtseg.settings.training import Network

WORDS = ("label", "watch", "dataset", "train", "deploy", "evaluate", "report", "cleanup")


class Deploy(Network):
    instance_type: Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")] = "ml.c5.xlarge"
    instance_count: Annotated[int, Field(ge=1, le=100)] = 1
    model_data: S3Uri | None = None
    """Any model.tar.gz. Unset: this run's training job."""
    image_uri: str | None = None
    """The container that serves it. Unset: the built-in algorithm's image of the region."""
    content_type: str = "image/jpeg"
    accept: str = "image/png"
    environment: Annotated[dict[str, str], Field(max_length=100)] = {}
    time_to_live: Annotated[Seconds, Field(ge=60, le=365 * DAY)] | None = None
    """After this, `gtseg serve` and `gtseg cleanup --expired` delete the endpoint; AWS itself never does."""
    kms_key: KmsKey | None = None


class Predict(Table):
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    """Images asked for at the same time."""
    retry_for: Annotated[Seconds, Field(ge=1, le=3600)] = 120
    """How long one image is asked for again while the endpoint is busy or away."""
    large_images: Literal["scale", "tile"] = "scale"
    """What is done with an image that is larger than max_side, or too large for a request."""
    max_side: Annotated[int, Field(ge=64, le=16384)] = 2048
    """Pixels of the longer side, beyond which an image is scaled down or cut into tiles."""
    tile_size: Annotated[int, Field(ge=64, le=4096)] = 1024
    tile_overlap: Annotated[int, Field(ge=0, le=2048)] = 128
    jpeg_quality: Annotated[int, Field(ge=50, le=100)] = 95
    overlays: bool = False
    probabilities: bool = False
    opacity: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="after")
    def _leave_room(self) -> Predict:
        if self.tile_overlap > self.tile_size // 2:
            raise ValueError(f"tile_overlap must be half of tile_size or less: {self.tile_size // 2}")
        return self


class Batch(Table):
    """`predict --batch` and `evaluate --batch`: SageMaker batch transform."""

    instance_type: Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")] | None = None
    """Unset: [deploy] instance_type."""
    instances: Annotated[int, Field(ge=1, le=100)] = 1
    """The images are shared among so many machines."""
    stalled_after: Annotated[Seconds, Field(ge=60, le=DAY)] = 1200
    """A job that writes no mask for so long is offered to be stopped."""
    seconds_per_image: Annotated[float, Field(gt=0, le=600)] = 3.0
    """What one image takes on one machine, for the estimate of the price; a job itself has no limit of time on AWS."""


class Evaluate(Table):
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    """Bootstrap resamples behind each interval."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    boundary_tolerance: Annotated[float, Field(gt=0, le=0.1)] = 0.0075
    """Share of an image's diagonal by which an outline may be off."""
    required: bool = True
    """`run` and `serve` train and deploy nothing that no test image could score."""


class Serve(Table):
    until: Literal[WORDS] = "dataset"  # type: ignore[valid-type]
    """The last stage that is done without asking; what comes after waits for a person."""
    begin: bool = False
    """Whether a first labeling job is begun too where the project has no run; [budget] holds, nobody is asked."""
    interval: Annotated[Seconds, Field(ge=1, le=3600)] = 30
    """Between two looks at all jobs."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    """Of /healthz."""
