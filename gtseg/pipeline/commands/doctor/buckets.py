"""Checks of the buckets: existence, region, write access, CORS rules for workers' browsers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from gtseg.aws.s3 import is_s3_uri, split_uri
from gtseg.core.labeling.cors import has_labeling_rule
from gtseg.errors import AWSError
from gtseg.pipeline.commands.doctor.finding import Finding
from gtseg.pipeline.run import Context
from gtseg.pipeline.run.regions import region_of
from gtseg.pipeline.stages.label.buckets import needs_cors


def bucket(context: Context, root: str) -> Iterator[Finding]:
    bucket, s3 = split_uri(root)[0], context.s3
    if not s3.bucket_exists(bucket):
        remedy = (
            "`gtseg label` creates it"
            if context.settings.project.bucket is None
            else "`gtseg label --create-bucket` creates it"
        )
        yield Finding("warning", "bucket", f"{bucket} does not exist yet", remedy)
        return
    yield _place("bucket", bucket, context)
    yield from _writing(root, context)


def _place(subject: str, bucket: str, context: Context) -> Finding:
    """Check whether a bucket is in the region of the jobs."""
    region, ours = region_of(bucket, context.s3), context.clients.region
    if region is None:
        return Finding("warning", subject, f"the region of {bucket} cannot be read", f"it must be in {ours}")
    if region != ours:
        remedy = f'set [project] region = "{region}", or copy the data to a bucket in {ours}'
        return Finding("bad", subject, f"{bucket} is in {region}, the jobs would be in {ours}", remedy)
    return Finding("good", subject, f"{bucket} in {region}")


def _writing(root: str, context: Context) -> Iterator[Finding]:
    """Write and delete one object: a stronger test than reading policies."""
    uri = f"{root}.gtseg-doctor-{secrets.token_hex(4)}"
    try:
        context.s3.write(uri, b"gtseg doctor", content_type="text/plain")
    except AWSError as error:
        yield Finding("bad", "writing", f"{uri} cannot be written ({error.code}: {error.message})", error.hint)
        return
    try:
        context.s3.delete([uri])
    except AWSError as error:
        yield Finding("warning", "writing", f"{uri} was written, but cannot be deleted ({error.code})", error.hint)
        return
    yield Finding("good", "writing", f"an object below {root} was written and deleted")


def other_buckets(context: Context, root: str) -> Iterator[Finding]:
    """Check the buckets that jobs read from, other than the run's own."""
    settings = context.settings
    named = {
        "images": settings.images.source,
        "initial model": settings.train.initial_model,
        "model": settings.deploy.model_data,
    }
    own = split_uri(root)[0]
    for subject, uri in named.items():
        if uri and is_s3_uri(uri) and (bucket := split_uri(uri)[0]) != own:
            yield _place(subject, bucket, context)


def cors(context: Context, root: str) -> Iterator[Finding]:
    source = context.settings.images.source or ""
    bucket = split_uri(source)[0] if is_s3_uri(source) else split_uri(root)[0]
    if not needs_cors(context) or not context.s3.bucket_exists(bucket):
        return
    if has_labeling_rule(context.s3.cors_rules(bucket)):
        yield Finding("good", "CORS", f"workers' browsers may load images of {bucket}")
    else:
        yield Finding(
            "warning",
            "CORS",
            f"{bucket} has no rule that lets browsers load its images",
            "`gtseg label` adds it",
        )
