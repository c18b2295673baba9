"""Uploads of a training job to S3: the model artifact, packed as on AWS, and the checkpoints."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.jobs.channels import place_object
from gtseg.local.storage.objects import Objects, split_uri


def upload_model(objects: Objects, answer: Mapping[str, Any], model: Path) -> None:
    """Upload `model/` as model.tar.gz to ModelArtifacts.S3ModelArtifacts, or as single files (CompressionType NONE).

    An empty folder is not uploaded; names that begin with a dot are incomplete files and are skipped. Raises
    ServiceError if the bucket does not exist.
    """
    files = sorted(path for path in model.rglob("[!.]*") if path.is_file()) if model.is_dir() else []
    bucket, key = split_uri(answer["ModelArtifacts"]["S3ModelArtifacts"])
    kms_key = answer.get("OutputDataConfig", {}).get("KmsKeyId", "")
    if not files:
        return
    if key.endswith("/"):
        for path in files:
            objects.put(bucket, key + path.relative_to(model).as_posix(), path, kms_key=kms_key)
        return
    with tempfile.TemporaryDirectory(dir=model.parent) as folder:
        archive = Path(folder) / "model.tar.gz"
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:  # weights hardly compress at any level
            for path in files:
                tar.add(path, arcname=path.relative_to(model).as_posix())
        objects.put(bucket, key, archive, content_type="application/x-tar", kms_key=kms_key)


class Checkpoints:
    """Synchronization of a job's `checkpoints/` with CheckpointConfig.S3Uri; does nothing without that setting."""

    def __init__(self, objects: Objects, answer: Mapping[str, Any], folder: Path) -> None:
        self.objects, self.folder = objects, folder
        uri = answer.get("CheckpointConfig", {}).get("S3Uri")
        self.place = split_uri(uri.rstrip("/") + "/") if uri else None
        self._sent: dict[str, tuple[int, int]] = {}

    def download(self) -> None:
        """Download earlier checkpoints as copies, because the algorithm writes to this folder. Raises DownloadError."""
        if self.place is None:
            return
        bucket, prefix = self.place
        for info in self.objects.list(bucket, prefix):
            name = info.key.removeprefix(prefix)
            if name and not name.endswith("/"):
                place_object(self.objects, bucket, info.key, folder=self.folder, name=name, shared=False)

    def upload(self, *, missing_ok: bool = False) -> None:
        """Upload new and changed files; names that begin with a dot are incomplete files and are skipped."""
        if self.place is None or not self.folder.is_dir():
            return
        bucket, prefix = self.place
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            try:
                state = path.stat()
                mark = (state.st_mtime_ns, state.st_size)
                if path.is_file() and not path.name.startswith(".") and self._sent.get(name) != mark:
                    self.objects.put(bucket, prefix + name, path)
                    self._sent[name] = mark
            except FileNotFoundError:
                continue  # the algorithm has replaced it
            except ServiceError:
                if not missing_ok:
                    raise
                return
