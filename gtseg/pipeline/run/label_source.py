"""Whose labels a command takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gtseg.core.masks.colors import ColorMap
from gtseg.errors import SettingsError


@dataclass(frozen=True)
class LabelSource:
    """The run's own labeling job, another `job` of the account, or an output `manifest`; which label, if it holds several.

    Raises SettingsError for a job and a manifest together.
    """

    job: str | None = None
    manifest: str | None = None
    label_attribute: str | None = None
    """One, or several with commas between them where no line has two of them."""
    rewrites: Mapping[str, str] = field(default_factory=dict)
    """Prefixes of the references in the manifest -> what stands there now: buckets that have moved."""
    table: ColorMap | None = None
    """What masks hold whose lines have no metadata."""

    def __post_init__(self) -> None:
        if self.job and self.manifest:
            raise SettingsError("--job and --manifest exclude each other: name one source")

    @property
    def is_own(self) -> bool:
        return not (self.job or self.manifest)


OWN_LABELS = LabelSource()
"""Those of the run's own labeling job."""
