"""The run's bucket, and the rule that lets workers' browsers load images from theirs."""

from __future__ import annotations

from collections.abc import Sequence

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3, split_uri
from gtseg.core.labeling.cors import MAX_RULES, has_labeling_rule, with_labeling_rule
from gtseg.errors import CREDENTIAL_CODES, AWSError, StageError
from gtseg.pipeline.run import Run
from gtseg.pipeline.run.events import Consent, Event, Notify
from gtseg.settings import Settings


def ensure_run_bucket(
    run: Run, settings: Settings, clients: Clients, *, consent: Consent, notify: Notify
) -> None:
    """Create the run's bucket where it is missing and asked for; gtseg's own default name needs no asking.

    Raises StageError where it is missing, or lies in another region than the job.
    """
    bucket = split_uri(run.root)[0]
    asked = consent.create_bucket or settings.project.create_bucket or settings.project.bucket is None
    if not S3(clients).bucket_exists(bucket):
        if not asked:
            raise StageError(
                f"There is no bucket {bucket}. Create it with --create-bucket, or name another as [project] bucket."
            )
        if S3(clients).ensure_bucket(bucket):
            notify(Event("label", "note", f"bucket {bucket} created in {clients.region}"))
    region = S3(clients).bucket_region(bucket)
    if region != clients.region:
        raise StageError(
            f"Bucket {bucket} is in {region}, the labeling job would be in {clients.region}: Ground Truth needs both in one "
            f'region. Set [project] region = "{region}" or name another bucket.'
        )


def plan_cors(buckets: Sequence[str], clients: Clients, *, notify: Notify) -> list[str]:
    """Buckets without a rule that lets workers' browsers read images; one that may not be asked is told and left out."""
    return [bucket for bucket in buckets if _lacks_rule(bucket, clients, notify=notify)]


def open_to_workers(buckets: Sequence[str], clients: Clients, *, notify: Notify) -> None:
    """Add the labeling rule to every image bucket that lacks it; its own rules stay."""
    for bucket in plan_cors(buckets, clients, notify=notify):
        rules = with_labeling_rule(S3(clients).cors_rules(bucket))
        if len(rules) > MAX_RULES:
            raise StageError(
                f"Bucket {bucket} has {MAX_RULES} CORS rules already: no room for the one that workers need"
            )
        try:
            S3(clients).put_cors(bucket, rules)
        except AWSError as error:
            if error.code not in CREDENTIAL_CODES:
                raise
            _warn(bucket, error, notify=notify)
        else:
            kept = f"; its {len(rules) - 1} own rules stay" if len(rules) > 1 else ""
            notify(
                Event(
                    "label",
                    "note",
                    f"CORS rule put on bucket {bucket}, so that workers' browsers may load its images{kept}",
                )
            )


def _lacks_rule(bucket: str, clients: Clients, *, notify: Notify) -> bool:
    try:
        return not has_labeling_rule(S3(clients).cors_rules(bucket))
    except AWSError as error:
        if error.code == "NoSuchBucket":  # only a dry run comes here before the bucket is made
            return True
        if error.code not in CREDENTIAL_CODES:
            raise
        _warn(bucket, error, notify=notify)
        return False


def _warn(bucket: str, error: AWSError, *, notify: Notify) -> None:
    words = (
        f"the CORS rules of bucket {bucket} are not yours to see or set ({error.code}). Without one that lets browsers GET, "
        "its images fail in the workers' page: ask its owner, or copy the images to a bucket of your own"
    )
    notify(Event("label", "warning", words))
