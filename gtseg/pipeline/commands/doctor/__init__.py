"""doctor: find problems before they cost anything. Each finding has what was found and how to fix it."""

from __future__ import annotations

from collections.abc import Iterator

from gtseg.errors import GtsegError
from gtseg.pipeline.commands.doctor import account, buckets, inputs
from gtseg.pipeline.commands.doctor.finding import Check, Finding
from gtseg.pipeline.commands.doctor.inputs import count_images
from gtseg.pipeline.run import Context

__all__ = ["Finding", "count_images", "examine"]


def examine(context: Context, root: str) -> Iterator[Finding]:
    """Run every check; a check that AWS refuses is a finding itself and does not stop the others."""
    first_subjects: dict[str, str] = {}
    for subject, check in CHECKS:
        try:
            yield from check(context, root)
        except GtsegError as error:
            first = first_subjects.setdefault(str(error), subject)
            yield Finding(
                "bad",
                subject,
                str(error) if first == subject else f"unknown, for the reason given at {first}",
            )


CHECKS: tuple[tuple[str, Check], ...] = (
    ("credentials", account.credentials),
    ("region", account.region),
    ("labeling", account.labeling),
    ("bucket", buckets.bucket),
    ("other buckets", buckets.other_buckets),
    ("CORS", buckets.cors),
    ("role", account.role),
    ("workteam", account.workteam),
    ("quota", account.quotas),
    ("images", inputs.images),
    ("labels", inputs.labels),
    ("automated labeling", inputs.automated),
    ("initial model", inputs.initial_model),
    ("template", inputs.template),
    ("Ground Truth", account.closure),
)
