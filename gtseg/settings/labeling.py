"""[labeling]: the Ground Truth labeling job."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gtseg.core.classes import BACKGROUND
from gtseg.core.labeling.color_tags import COLORS_PER_TAG
from gtseg.core.limits import (
    AUTOMATED_LABELS,
    DAY,
    FREE_OF_PII,
    HOUR,
    LABELS,
    PRICES,
    TASK_LIFETIME,
    TASK_TIME,
    ConcurrentTasks,
    Description,
    Keywords,
    KmsKey,
    LabeledObjects,
    LabeledPercent,
    ModelArn,
    SecurityGroups,
    Subnets,
    WorkersPerObject,
    WorkteamArn,
)
from gtseg.settings.table import MODEL, WORKTEAM, LocalPath, Location, Seconds, Table, duration_text

Label = Annotated[str, Field(min_length=1, max_length=256)]


class Labeling(Table):
    profile: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """AWS profile (keys, region, endpoint_url) for labeling jobs and teams. Unset: the profile of all other calls."""
    labels: Annotated[tuple[Label, ...], Field(max_length=LABELS)] = ()
    workforce: Literal["private", "vendor", "public"] = "private"
    workteam_arn: Annotated[WorkteamArn, WORKTEAM] | None = None
    workers_per_object: WorkersPerObject = 1
    task_time_limit: Annotated[Seconds, TASK_TIME] = HOUR
    task_lifetime: Annotated[Seconds, TASK_LIFETIME] | None = None
    max_concurrent_tasks: ConcurrentTasks = 1000
    title: Annotated[str, Field(min_length=1, max_length=128)] = "Semantic segmentation"
    description: Description = "Mark every pixel of each object with its label"
    keywords: Keywords = (
        "Images",
        "image segmentation",
    )
    instructions: str = ""
    template: LocalPath | None = None
    price_per_task: str | None = None
    """USD per worker and object, one of PRICES; a string, so that no decimal changes."""
    content_classifiers: tuple[Literal["FreeOfPersonallyIdentifiableInformation", "FreeOfAdultContent"], ...] = ()
    max_labeled_objects: LabeledObjects | None = None
    max_labeled_percent: LabeledPercent | None = None
    kms_key: KmsKey | None = None
    tags: dict[str, str] = {}
    automated: bool = False
    assist: bool | Literal["always"] = False
    """Suggest masks while people label (labeling server of gtseg only). true: only if one worker labels each image;
    "always": also with several workers."""
    order: Literal["given", "helpful"] = "given"
    """"helpful": a labeling server of gtseg hands out the images first that its model is least sure of and that differ
    most from the labeled ones."""
    gold: Location | None = None
    """Folder or s3:// prefix of known masks for some images (index PNGs, <image>.png); a labeling server of gtseg
    scores its workers by them."""
    colors: dict[str, Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]] = {}
    """Display colors of labels on a labeling server of gtseg when a job starts, like {cat = "#d55e00"}; later they are
    changed on the owner's page. Files keep Ground Truth's colors."""
    initial_model_arn: Annotated[ModelArn, MODEL] | None = None
    volume_kms_key: KmsKey | None = None
    subnets: Subnets = ()
    security_groups: SecurityGroups = ()

    @property
    def lifetime(self) -> int:
        """Seconds for which a task waits for workers.

        Default: 6 h with workforce "public", 10 days otherwise (the longest that all of AWS's documents allow).
        """
        return self.task_lifetime or (6 * HOUR if self.workforce == "public" else 10 * DAY)

    @property
    def suggests(self) -> bool:
        """Return whether the labeling server suggests masks.

        With several workers per object a suggestion would bias their agreement.
        """
        return self.assist == "always" or (bool(self.assist) and self.workers_per_object == 1)

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in labels if labels.count(name) > 1})
        if twice:
            raise ValueError(f"label given more than once: {', '.join(twice)}")
        if any(name.upper() == BACKGROUND for name in labels):
            raise ValueError(f"Ground Truth adds {BACKGROUND} itself (class 0): remove it")
        return labels

    @field_validator("price_per_task", mode="before")
    @classmethod
    def _check_price(cls, price: object) -> object:
        if price is None:
            return None
        if isinstance(price, bool) or not isinstance(price, int | float | str) or str(price) == "":
            raise ValueError(f"must be a price in USD: {', '.join(PRICES)}")
        tiers = {float(tier): tier for tier in PRICES}
        try:
            return tiers[float(price)]
        except (KeyError, ValueError):
            raise ValueError(
                f"Ground Truth accepts only these prices in USD for this task: {', '.join(PRICES)}"
            ) from None

    @field_validator("tags")
    @classmethod
    def _check_tags(cls, tags: dict[str, str]) -> dict[str, str]:
        if len(tags) > 40:
            raise ValueError("at most 40 tags: AWS allows 50 and gtseg adds its own")
        wrong = [
            k for k, v in tags.items() if not 1 <= len(k) <= 128 or len(v) > 256 or k.startswith(("aws:", "gtseg:"))
        ]
        if wrong:
            raise ValueError(
                "tag keys must have 1 to 128 characters and no aws: or gtseg: prefix, values at most "
                f"256 characters: {wrong}"
            )
        return tags

    @model_validator(mode="after")
    def _check(self) -> Labeling:
        for problem in self._conflicts():
            raise ValueError(problem)
        return self

    def _conflicts(self) -> list[str]:
        public = self.workforce == "public"
        unknown = sorted(set(self.colors) - set(self.labels))
        of_automated = (self.initial_model_arn, self.volume_kms_key, self.subnets, self.security_groups)
        rules = (
            (bool(unknown), f"colors has names that are not in labels: {', '.join(unknown)}"),
            (
                len({color.lower() for color in self.colors.values()}) < len(self.colors),
                "colors gives two labels the same color",
            ),
            (
                len(self.tags) + math.ceil(len(self.colors) / COLORS_PER_TAG) > 40,
                f"at most 40 tags: AWS allows 50, gtseg adds its own and one tag for every {COLORS_PER_TAG} colors",
            ),
            (
                public and self.price_per_task is None,
                f'workforce = "public" needs price_per_task, one of {", ".join(PRICES)}',
            ),
            (
                public and FREE_OF_PII not in self.content_classifiers,
                f'workforce = "public" needs content_classifiers = ["{FREE_OF_PII}"]; without it the job fails',
            ),
            (
                public and self.lifetime > 12 * HOUR,
                f'workforce = "public" needs task_lifetime of at most 12h; it is "{duration_text(self.lifetime)}"',
            ),
            (
                not public and self.price_per_task is not None,
                f'price_per_task needs workforce = "public"; workforce is "{self.workforce}"',
            ),
            (
                self.workforce == "vendor" and self.workteam_arn is None,
                'workforce = "vendor" needs workteam_arn: the ARN of the team that you subscribed to',
            ),
            (
                bool(self.workteam_arn) and f"/{self.workforce}-crowd/" not in (self.workteam_arn or ""),
                f'workteam_arn does not belong to workforce = "{self.workforce}": {self.workteam_arn}',
            ),
            (
                self.automated and len(self.labels) > AUTOMATED_LABELS,
                f"automated = true supports at most {AUTOMATED_LABELS} labels; there are {len(self.labels)}",
            ),
            (
                not self.automated and any(of_automated),
                "initial_model_arn, volume_kms_key, subnets and security_groups need automated = true",
            ),
            (
                bool(self.subnets) != bool(self.security_groups),
                "subnets and security_groups must be given together",
            ),
        )
        return [words for is_wrong, words in rules if is_wrong]
