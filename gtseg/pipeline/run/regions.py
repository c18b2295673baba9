"""Region checks: SageMaker only uses buckets of the job's own region; all are checked before anything is created."""

from __future__ import annotations

from collections.abc import Iterable

from gtseg.aws.s3 import S3
from gtseg.errors import AWSError, StageError
from gtseg.pipeline.run.context import Context


def check_regions(buckets: Iterable[str], context: Context, *, what: str, ours: str | None = None) -> None:
    """Raise StageError, naming both regions, if a bucket is in another region than `what`.

    A bucket whose region cannot be read passes.
    """
    ours = ours or context.clients.region
    for bucket in sorted(set(buckets)):
        theirs = region_of(bucket, context.s3)
        if theirs is not None and theirs != ours:
            raise StageError(
                f"Bucket {bucket} is in {theirs}, but the {what} would be in {ours}: "
                "SageMaker needs both in one region. Set [project] "
                f'region = "{theirs}" with a bucket of that region, or copy the data to a bucket in {ours}: '
                f"aws s3 sync s3://{bucket}/... s3://BUCKET-IN-{ours.upper()}/..."
            )


def check_labeling_regions(buckets: Iterable[str], context: Context) -> None:
    """Check the buckets of a labeling job; a labeling server reads any region and needs no check."""
    if context.settings.labeling.profile is None or context.clients.is_aws("labeling"):
        check_regions(buckets, context, what="labeling job", ours=context.clients.labeling_region)


def region_of(bucket: str, s3: S3) -> str | None:
    """Return the region of a bucket; None if it does not exist yet or its region cannot be read."""
    try:
        return s3.bucket_region(bucket)
    except AWSError as error:
        if error.exit_code not in (3, 4):
            raise
        return None
