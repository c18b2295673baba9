"""What leaves a training job for S3: the model, packed as AWS packs it, and the checkpoints."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.jobs.channels import place_object
from gtseg.local.storage.objects import Objects, split_uri

__all__ = ["Checkpoints", "upload_model"]


def upload_model(objects: Objects, answer: Mapping[str, Any], model: Path) -> None:
    """`model/` -> model.tar.gz at ModelArtifacts.S3ModelArtifacts, or its files one by one there (CompressionType NONE).

    Nothing is written for an empty folder; names that begin with a dot are half-written. Raises ServiceError where the bucket
    is gone.
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
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:  # weights hardly shrink, whatever the level
            for path in files:
                tar.add(path, arcname=path.relative_to(model).as_posix())
        objects.put(bucket, key, archive, content_type="application/x-tar", kms_key=kms_key)


class Checkpoints:
    """A job's `checkpoints/` and its CheckpointConfig.S3Uri; without one, nothing leaves the folder."""

    def __init__(self, objects: Objects, answer: Mapping[str, Any], folder: Path) -> None:
        self.objects, self.folder = objects, folder
        uri = answer.get("CheckpointConfig", {}).get("S3Uri")
        self.place = split_uri(uri.rstrip("/") + "/") if uri else None
        self._sent: dict[str, tuple[int, int]] = {}

    def download(self) -> None:
        """Earlier checkpoints of this S3Uri, copied: the algorithm writes in this folder. Raises DownloadError."""
        if self.place is None:
            return
        bucket, prefix = self.place
        for info in self.objects.list(bucket, prefix):
            name = info.key.removeprefix(prefix)
            if name and not name.endswith("/"):
                place_object(self.objects, bucket, info.key, folder=self.folder, name=name, shared=False)

    def upload(self, *, missing_ok: bool = False) -> None:
        """Send files that are new or changed since the last time. Names that begin with a dot are half-written."""
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
                continue  # the algorithm replaced it meanwhile
            except ServiceError:
                if not missing_ok:
                    raise
                return
