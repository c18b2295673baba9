"""botocore's descriptions of AWS's services, decoded by a faster reader: half of what making a client costs is JSON."""

from __future__ import annotations

import contextlib
import gzip
import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

OPENERS: Mapping[str, Callable[..., Any]] = {".json": open, ".json.gz": gzip.open}


class Models:
    """What botocore's Loader asks of its `file_loader`; paths come without their ending."""

    def exists(self, file_path: str) -> bool:
        return any(os.path.isfile(file_path + ending) for ending in OPENERS)

    def load_file(self, file_path: str) -> Any:
        """The decoded file, None where there is none."""
        for ending, opener in OPENERS.items():
            with contextlib.suppress(FileNotFoundError), opener(file_path + ending, "rb") as file:
                return msgspec.json.decode(file.read())
        return None
