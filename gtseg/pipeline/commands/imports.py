"""Import of labels to the run: download sources from S3, upload the import's folder, replace the run's labeling job.

An import is stored as a finished labeling job: workforce `import`, status Completed, so that `dataset` and all later
stages treat it like any other job.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gtseg.aws.calls import TERMINAL
from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import OUTPUT_MANIFEST
from gtseg.aws.s3 import S3, Listed, is_s3_uri, join_uri, split_uri
from gtseg.core.addresses import public_address
from gtseg.core.files import write_atomically
from gtseg.core.images.formats import has_suffix
from gtseg.core.plurals import counted
from gtseg.errors import AWSError, StageError
from gtseg.pipeline.run import Context, LabelingJobSection, Provenance, Run, fingerprint
from gtseg.version import __version__

MOST_BYTES = 1_000_000_000
"""Maximum size in bytes of a file that an import downloads."""


def readable(clients: Clients, uri: str) -> S3:
    """Return S3 access that can list below `uri`.

    Requests are signed, or unsigned if the bucket is public and the caller has no permission.
    """
    for candidate in (clients, clients.unsigned()):
        s3 = S3(candidate)
        try:
            next(iter(s3.list_objects(uri)), None)
        except AWSError as error:
            if error.exit_code != 4 or candidate is not clients:
                raise
            continue
        return s3
    raise AssertionError("unreachable")


def list_keys(clients: Clients, uri: str, suffixes: Iterable[str]) -> tuple[S3, list[Listed]]:
    """Return the objects below a prefix that end in one of `suffixes`, in order, and the S3 access.

    Hidden objects are skipped.
    """
    s3 = readable(clients, uri)
    endings = frozenset(suffixes)
    return s3, [item for item in s3.list_objects(uri) if has_suffix(item.key, endings)]


def fetch_folder(
    clients: Clients,
    uri: str,
    folder: Path,
    *,
    suffixes: Iterable[str],
    wanted: Callable[[str], bool] = lambda relative: True,
    limit: int | None = None,
) -> Path:
    """Download the objects below an s3:// prefix to `folder`, each once; `limit` takes only the first ones.

    A local path is returned unchanged. Raises StageError if the prefix has no such object.
    """
    if not is_s3_uri(uri):
        return Path(uri)
    bucket, prefix = split_uri(uri if uri.endswith("/") else uri + "/")
    s3, keys = list_keys(clients, join_uri(bucket, prefix), suffixes)
    chosen = [item for item in keys if wanted(item.key[len(prefix) :])][:limit]
    if not chosen:
        raise StageError(f"{uri}: no object ends in {', '.join(suffixes)}")
    for item in chosen:
        _fetch(s3, join_uri(bucket, item.key), item, folder / item.key[len(prefix) :], folder)
    return folder


def _fetch(s3: S3, uri: str, item: Listed, target: Path, folder: Path) -> None:
    """Download the object unless the file has the same size and is not older."""
    target = target.resolve()
    if not target.is_relative_to(folder.resolve()):
        raise StageError(f"{uri}: its key leads out of the folder that it is downloaded to")
    if item.size > MOST_BYTES:
        raise StageError(f"{uri}: {item.size:,} bytes exceed the limit of {MOST_BYTES:,} for an image or label file")
    try:
        if target.exists() and _is_current(target, item):
            return
        write_atomically(target, s3.read(uri)[0])
    except OSError as error:
        raise StageError(f"{uri} cannot be written to {target}: {error.strerror}") from None


def _is_current(target: Path, item: Listed) -> bool:
    state = target.stat()
    return state.st_size == item.size and state.st_mtime >= item.modified.timestamp()


def upload_import(run: Run, context: Context, folder: Path, *, sources: Mapping[str, str]) -> Run:
    """Return the run with an import as its finished labeling job. Existing files are not uploaded again.

    `sources` are the folders and addresses that it was made from: they are stored with the job, beside the import's
    settings and a fingerprint of its inputs. Raises StageError if `folder` has no finished import, or the run has a
    running labeling job.
    """
    context = context.of("import")
    summary = _read_summary(folder)
    _refuse_running(run)
    name, bucket = str(summary["name"]), split_uri(run.root)[0]
    s3 = context.s3
    if s3.ensure_bucket(bucket):
        context.note(f"created bucket {bucket}")
    base = f"{run.root}labeling/{name}/"
    own = [json.loads(line) for line in (folder / "output.manifest").read_text("utf-8").splitlines()]
    files = [folder / entry[key] for key in ("source-ref", f"{name}-ref") for entry in own]
    uploaded = s3.upload_folder(folder, base, files=files)
    manifest = base + OUTPUT_MANIFEST
    lines = [_with_uris(entry, name, base) for entry in own]
    etag = s3.write(manifest, "".join(f"{line}\n" for line in lines).encode())
    _report_replaced(run, name, context)
    context.finish(f"{len(lines):,} images with masks are in the run ({len(uploaded):,} files below {base})")
    inputs = fingerprint({file.uri.removeprefix(base): file.etag for file in uploaded})
    origin = Provenance(
        gtseg=__version__,
        settings={"import": {"name": name, "classes": summary["classes"], **sources, **_plain(summary["settings"])}},
        sources={"inputs": inputs, "manifest": manifest, "manifest_etag": etag},
    )
    section = _section(run, name, manifest, len(lines)).model_copy(update={"made_from": origin})
    return run.update(labeling_job=section, dataset=None)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return an import's settings, with keys and tokens removed from web addresses."""
    return {key: public_address(value) if isinstance(value, str) else value for key, value in settings.items()}


def _read_summary(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "import.json").read_text("utf-8"))  # type: ignore[no-any-return]
    except (OSError, ValueError):
        raise StageError(f"{folder} has no finished import (no import.json): let `gtseg import` finish") from None


def _report_replaced(run: Run, name: str, context: Context) -> None:
    """Tell which labels of the run the import replaces, and where these remain."""
    job = run.labeling_job
    if job is not None and job.name != name:
        context.warn(
            f"these labels replace {job.name} ({counted(job.objects, 'image')}). "
            f"Its files remain below {run.root}labeling/{job.name}/; to keep both, give each import its own run: "
            "--run NAME."
        )


def _refuse_running(run: Run) -> None:
    job = run.labeling_job
    if job and job.workforce != "import" and job.status not in TERMINAL:
        raise StageError(
            f"Run {run.name!r} has the running labeling job {job.name}, which an import would replace. "
            "Give the import its own run: --run NAME."
        )


def _with_uris(entry: Mapping[str, Any], name: str, base: str) -> str:
    entry = {**entry, **{key: base + entry[key] for key in ("source-ref", f"{name}-ref")}}
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False)


def _section(run: Run, name: str, manifest: str, objects: int) -> LabelingJobSection:
    return LabelingJobSection(
        name=name,
        arn=f"arn:aws:sagemaker:{run.region}:{run.account}:labeling-job/{name.lower()}",
        label_attribute=f"{name}-ref",
        workforce="import",
        objects=objects,
        status="Completed",
        counters={
            "TotalLabeled": objects,
            "HumanLabeled": objects,
            "FailedNonRetryableError": 0,
            "Unlabeled": 0,
        },
        output_manifest=manifest,
    )
