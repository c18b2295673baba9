"""Source of the labels that a command uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gtseg.core.labeling.references import find_rule_problem
from gtseg.core.masks.colors import ColorMap
from gtseg.core.resource_names import require_name
from gtseg.core.s3_uris import require_file
from gtseg.errors import SettingsError


@dataclass(frozen=True)
class LabelSource:
    """The run's own labeling job, another `job` of the account, or an output `manifest`, with a label attribute.

    Raises SettingsError for a job and a manifest together, an ARN instead of a job's name, or a mistyped S3 URI.
    """

    job: str | None = None
    manifest: str | None = None
    label_attribute: str | None = None
    """One label attribute, or several separated by commas if no line has two of them."""
    rewrites: Mapping[str, str] = field(default_factory=dict)
    """Prefixes of URIs in the manifest -> their replacements, for moved buckets."""
    table: ColorMap | None = None
    """Color table of masks whose lines have no metadata."""

    def __post_init__(self) -> None:
        if self.job and self.manifest:
            raise SettingsError("--job and --manifest exclude each other: give one source")
        if self.job:
            require_name(self.job, "--job")
        if self.manifest:
            require_file(self.manifest, "--manifest")
        for old, new in self.rewrites.items():
            if problem := find_rule_problem(old, new):
                raise SettingsError(f"--rewrite {old}={new}: {problem}")

    @property
    def is_own(self) -> bool:
        return not (self.job or self.manifest)


OWN_LABELS = LabelSource()
"""The labels of the run's own labeling job."""
