"""[project]: name, bucket, encryption and role of a run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gtseg.core.limits import KmsKey, RoleArn
from gtseg.core.s3_uris import is_path
from gtseg.settings.table import ROLE, Name, Table, matching

BUCKET = r"^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$"


class Project(Table):
    name: Name
    """Default name of the run and prefix of the names of all its resources."""
    bucket: (
        Annotated[str, matching(BUCKET, "the name of a bucket, like my-bucket, without s3://, a key or an ARN")] | None
    ) = None
    """Unset: gtseg-<account>-<region>, which is created if it does not exist."""
    create_bucket: bool = False
    """Create the bucket named in `bucket` if it does not exist."""
    prefix: Annotated[str, Field(max_length=500)] = ""
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = None
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    """Encryption header of every object that is written. Unset: aws:kms if kms_key is set, else none, so that the
    bucket's default applies."""
    kms_key: KmsKey | None = None
    """KMS key of every object that is written, including the jobs' outputs unless their own tables name another key."""
    role_arn: Annotated[RoleArn, ROLE] | None = None
    """Role that SageMaker assumes. Unset: arn:aws:iam::<account>:role/gtseg."""

    @field_validator("prefix")
    @classmethod
    def _check_prefix(cls, prefix: str) -> str:
        if prefix.startswith("/") or not is_path(prefix):
            raise ValueError(
                'must be a key prefix inside the bucket, like "projects/", without a scheme or a leading slash'
            )
        return prefix if not prefix or prefix.endswith("/") else prefix + "/"

    @model_validator(mode="after")
    def _check_key(self) -> Project:
        if self.kms_key and self.sse == "AES256":
            raise ValueError('kms_key needs sse = "aws:kms" or no sse; AES256 uses S3\'s own key')
        return self
