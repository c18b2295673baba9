"""[project]: where a run lives."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gtseg.core.limits import KmsKey, RoleArn
from gtseg.settings.table import Name, Table

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
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    """The encryption header of every object that is written. Unset: none, the bucket's default holds; aws:kms with kms_key."""
    kms_key: KmsKey | None = None
    """The KMS key of every object that is written, the jobs' outputs included unless their own tables name another."""
    role_arn: RoleArn | None = None
    """The role that SageMaker assumes. Unset: arn:aws:iam::<account>:role/gtseg."""

    @field_validator("prefix")
    @classmethod
    def _end_with_slash(cls, prefix: str) -> str:
        if prefix.startswith(("/", "s3:")):
            raise ValueError('a prefix is a key inside the bucket, like "projects/": no scheme, no leading slash')
        return prefix if not prefix or prefix.endswith("/") else prefix + "/"

    @model_validator(mode="after")
    def _encrypt_with_one_key(self) -> Project:
        if self.kms_key and self.sse == "AES256":
            raise ValueError('kms_key needs sse = "aws:kms" (or none); AES256 is S3\'s own key')
        return self
