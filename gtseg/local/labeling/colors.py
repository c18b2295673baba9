"""Colors of labels on the labeling page, chosen by the owner of a job.

Output files use Ground Truth's colors (masks.py).

The job's tags `gtseg:colors`, `gtseg:colors-2`, ... hold the initial choice as pairs of label number and color
("1=d55e00 3=0072b2"; a tag value has at most 256 characters and no "#" or comma). Colors chosen on the job's page
replace them. The page assigns colors to the remaining labels.
"""

from __future__ import annotations

import json
import re
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.jobs.tags import tags_of
from gtseg.local.labeling.records import Job
from gtseg.local.storage.store import Store

# labeling_colors: colors chosen on the job's page, as JSON of label names and colors.
DDL = "CREATE TABLE IF NOT EXISTS labeling_colors (job TEXT PRIMARY KEY, colors TEXT NOT NULL) WITHOUT ROWID;"
TAG = re.compile(r"gtseg:colors(-\d+)?")
IN_TAG = re.compile(r"(\d{1,3})=([0-9a-fA-F]{6})")
COLOR = re.compile(r"#[0-9a-fA-F]{6}")


def find_colors(store: Store, job: Job) -> dict[str, str]:
    """Return the chosen colors as label name -> "#rrggbb"; labels without a chosen color are left out."""
    row = store.read().execute("SELECT colors FROM labeling_colors WHERE job = ?", (job.name,)).fetchone()
    chosen: dict[str, str] = json.loads(row["colors"]) if row else read_tags(store, job)
    return chosen


def read_tags(store: Store, job: Job) -> dict[str, str]:
    """Return the colors of the job's tags. Ignores invalid items, because AWS accepts any text in a tag."""
    words = [w for tag in tags_of(store, job.arn) if TAG.fullmatch(tag["Key"]) for w in tag["Value"].split()]
    found = [(int(match[1]), match[2].lower()) for word in words if (match := IN_TAG.fullmatch(word))]
    return {job.labels[n - 1]: f"#{color}" for n, color in found if 1 <= n <= len(job.labels)}


def save_colors(store: Store, job: Job, wanted: Any) -> dict[str, str]:
    """Replace the chosen colors; None restores those of the job's tags. Raises ServiceError InvalidRequest."""
    with store.write() as connection:
        if wanted is None:
            connection.execute("DELETE FROM labeling_colors WHERE job = ?", (job.name,))
        else:
            text = json.dumps(check_colors(wanted, job.labels))
            connection.execute("INSERT OR REPLACE INTO labeling_colors VALUES (?, ?)", (job.name, text))
    return find_colors(store, job)


def check_colors(wanted: Any, labels: tuple[str, ...]) -> dict[str, str]:
    """Return the chosen colors in lower case.

    Raises ServiceError InvalidRequest for unknown labels, bad or repeated colors.
    """
    if not isinstance(wanted, dict):
        raise ServiceError("InvalidRequest", 'colors must be an object like {"cat": "#d55e00"}, or null.')
    labels_by_color: dict[str, str] = {}
    for label, color in wanted.items():
        if label not in labels:
            raise ServiceError("InvalidRequest", f"The job has no label {label!r}."[:200])
        if not isinstance(color, str) or not COLOR.fullmatch(color):
            raise ServiceError("InvalidRequest", f"{color!r} is not a color of the form #rrggbb."[:200])
        other = labels_by_color.setdefault(color.lower(), label)
        if other != label:
            raise ServiceError(
                "InvalidRequest", f"The labels {other!r} and {label!r} have the same color {color.lower()}."
            )
    return {label: color.lower() for label, color in wanted.items()}
