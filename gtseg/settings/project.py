"""[project]: where a run lives."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from gtseg.settings.table import Name, RoleArn, Table

BUCKET = r"^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$"


class Project(Table):
    name: Name
    """Default name of the run; starts every resource's name."""
    bucket: Annotated[str, Field(pattern=BUCKET)] | None = None
    """Unset: gtseg-<account>-<region>, which is created when it is missing."""
    create_bucket: bool = False
    """Create a bucket that is named here and missing."""
    prefix: Annotated[str, Field(max_length=500)] = ""
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = None
    role_arn: RoleArn | None = None
    """The role that SageMaker assumes. Unset: arn:aws:iam::<account>:role/gtseg."""

    @field_validator("prefix")
    @classmethod
    def _end_with_slash(cls, prefix: str) -> str:
        if prefix.startswith(("/", "s3:")):
            raise ValueError(
                'a prefix is a key inside the bucket, like "projects/": no scheme, no leading slash'
            )
        return prefix if not prefix or prefix.endswith("/") else prefix + "/"
