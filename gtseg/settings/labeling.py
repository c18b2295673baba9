"""[labeling]: the Ground Truth job."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gtseg.settings.table import ARN_WORKTEAM, KmsKey, Seconds, Table, duration_text

PRICES = ("0.84", "0.96", "1.08", "1.20")
"""USD per worker and object that the public crowd may be paid for this task (API, PublicWorkforceTaskPrice)."""
FREE_OF_PII = "FreeOfPersonallyIdentifiableInformation"
DAY, HOUR = 86400, 3600

Label = Annotated[str, Field(min_length=1, max_length=256)]
Keyword = Annotated[str, Field(max_length=30, pattern=r"^[A-Za-z0-9]+( [A-Za-z0-9]+)*$")]


class Labeling(Table):
    labels: Annotated[tuple[Label, ...], Field(max_length=255)] = ()
    workforce: Literal["private", "vendor", "public"] = "private"
    workteam_arn: Annotated[str, Field(pattern=ARN_WORKTEAM, max_length=256)] | None = None
    workers_per_object: Annotated[int, Field(ge=1, le=9)] = 1
    task_time_limit: Annotated[Seconds, Field(ge=30, le=8 * HOUR)] = HOUR
    task_lifetime: Annotated[Seconds, Field(ge=60, le=30 * DAY)] | None = None
    max_concurrent_tasks: Annotated[int, Field(ge=1, le=5000)] = 1000
    title: Annotated[str, Field(min_length=1, max_length=128)] = "Semantic segmentation"
    description: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\r\n]+$")] = (
        "Mark every pixel of each object with its label"
    )
    keywords: Annotated[tuple[Keyword, ...], Field(min_length=1, max_length=5)] = (
        "Images",
        "image segmentation",
    )
    instructions: str = ""
    template: str | None = None
    price_per_task: str | None = None
    """USD per worker and object, one of PRICES; text, so that 0.84 stays 0.84."""
    content_classifiers: tuple[
        Literal["FreeOfPersonallyIdentifiableInformation", "FreeOfAdultContent"], ...
    ] = ()
    max_labeled_objects: Annotated[int, Field(ge=1)] | None = None
    max_labeled_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    kms_key: KmsKey | None = None
    tags: dict[str, str] = {}
    automated: bool = False
    initial_model_arn: str | None = None
    volume_kms_key: KmsKey | None = None
    subnets: Annotated[tuple[str, ...], Field(max_length=16)] = ()
    security_groups: Annotated[tuple[str, ...], Field(max_length=5)] = ()

    @property
    def lifetime(self) -> int:
        """Seconds that a task waits for workers: 6 h is the crowd's default, 10 days the longest that every rule book allows."""
        return self.task_lifetime or (6 * HOUR if self.workforce == "public" else 10 * DAY)

    @field_validator("labels")
    @classmethod
    def _be_distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in labels if labels.count(name) > 1})
        if twice:
            raise ValueError(f"each label once; twice: {', '.join(twice)}")
        if any(name.upper() == "BACKGROUND" for name in labels):
            raise ValueError("Ground Truth adds BACKGROUND itself (class 0): leave it out")
        return labels

    @field_validator("price_per_task", mode="before")
    @classmethod
    def _be_a_tier(cls, price: object) -> object:
        if price is None:
            return None
        if isinstance(price, bool) or not isinstance(price, int | float | str) or str(price) == "":
            raise ValueError(f"a price in USD: {', '.join(PRICES)}")
        tiers = {float(tier): tier for tier in PRICES}
        try:
            return tiers[float(price)]
        except (KeyError, ValueError):
            raise ValueError(
                f"Ground Truth pays {', '.join(PRICES)} USD for this task, nothing between"
            ) from None

    @field_validator("tags")
    @classmethod
    def _fit(cls, tags: dict[str, str]) -> dict[str, str]:
        if len(tags) > 40:
            raise ValueError("at most 40 tags: AWS takes 50 and gtseg adds its own")
        wrong = [
            k
            for k, v in tags.items()
            if not 1 <= len(k) <= 128 or len(v) > 256 or k.startswith(("aws:", "gtseg:"))
        ]
        if wrong:
            raise ValueError(
                f"tag keys have 1 to 128 characters, values up to 256, no aws: or gtseg: prefix: {wrong}"
            )
        return tags

    @model_validator(mode="after")
    def _agree(self) -> Labeling:
        for problem in self._conflicts():
            raise ValueError(problem)
        return self

    def _conflicts(self) -> list[str]:
        public = self.workforce == "public"
        found = []
        if public and self.price_per_task is None:
            found.append(f'workforce = "public" needs price_per_task: one of {", ".join(PRICES)}')
        if public and FREE_OF_PII not in self.content_classifiers:
            found.append(
                f'workforce = "public" needs content_classifiers = ["{FREE_OF_PII}"], or the job fails'
            )
        if public and self.lifetime > 12 * HOUR:
            found.append(
                f'workforce = "public" needs task_lifetime of 12h or less, it is "{duration_text(self.lifetime)}"'
            )
        if not public and self.price_per_task is not None:
            found.append(f'price_per_task is for workforce = "public" only; workforce is "{self.workforce}"')
        if self.workforce == "vendor" and self.workteam_arn is None:
            found.append('workforce = "vendor" needs workteam_arn: the team that you subscribed to')
        if self.workteam_arn and f"/{self.workforce}-crowd/" not in self.workteam_arn:
            found.append(
                f'workteam_arn does not belong to workforce = "{self.workforce}": {self.workteam_arn}'
            )
        if self.automated and len(self.labels) > 20:
            found.append(f"automated = true takes at most 20 labels, there are {len(self.labels)}")
        if not self.automated and (
            self.initial_model_arn or self.volume_kms_key or self.subnets or self.security_groups
        ):
            found.append(
                "initial_model_arn, volume_kms_key, subnets and security_groups need automated = true"
            )
        if bool(self.subnets) != bool(self.security_groups):
            found.append("subnets and security_groups come together")
        return found
