"""Whose labels a command takes."""

from __future__ import annotations

from dataclasses import dataclass

from gtseg.errors import SettingsError


@dataclass(frozen=True)
class LabelSource:
    """The run's own labeling job, another `job` of the account, or an output `manifest`; which label, if it holds several.

    Raises SettingsError for a job and a manifest together.
    """

    job: str | None = None
    manifest: str | None = None
    label_attribute: str | None = None

    def __post_init__(self) -> None:
        if self.job and self.manifest:
            raise SettingsError("--job and --manifest exclude each other: name one source")

    @property
    def is_own(self) -> bool:
        return not (self.job or self.manifest)


OWN_LABELS = LabelSource()
"""Those of the run's own labeling job."""
