"""Files of weights from anybody: examined before they are loaded, so that memory is asked for only what is really there.

A file that torch.save wrote is a ZIP archive of one pickle and one record for each storage, all uncompressed. A few bytes
in the pickle can ask for any amount of memory (`bytearray(2**38)`, a tensor larger than its storage), and a compressed
record unpacks to a thousand times its size.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

__all__ = ["BadWeights", "load_weights"]

PICKLE_BYTES = 16 << 20
RECORDS = 100_000
STORAGES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
KNOWN = frozenset(
    ["collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"]
    + [f"torch {kind}Storage" for kind in STORAGES]
)
"""All that dictionaries of tensors are pickled with."""


class BadWeights(Exception):
    """Says what is wrong with the file."""


def load_weights(path: Path) -> Any:
    """What torch.save wrote: dictionaries, lists and tensors, which stay in the file (mapped). Raises BadWeights."""
    try:
        with zipfile.ZipFile(path) as archive:
            _examine_pickle(_examine_records(archive, path.stat().st_size))
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except BadWeights:
        raise
    except Exception as error:  # a damaged archive or pickle: torch and zipfile raise almost anything
        raise BadWeights(f"cannot be read ({type(error).__name__})") from None
    for tensor in _walk(content):
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise BadWeights(f"has a tensor of {tuple(tensor.shape)} that is larger than what is stored of it")
    return content


def _examine_records(archive: zipfile.ZipFile, size: int) -> bytes:
    """The pickle, once all records are known to be as large as the file says."""
    records = archive.infolist()
    if len(records) > RECORDS:
        raise BadWeights(f"has {len(records):,} records; {RECORDS:,} are allowed")
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise BadWeights("has compressed records, as torch.save never writes them")
    if sum(record.file_size for record in records) > size:
        raise BadWeights("has records that are larger than the file")
    pickles = [record for record in records if record.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].file_size > PICKLE_BYTES:
        raise BadWeights(f"must have one data.pkl of at most {PICKLE_BYTES:,} bytes")
    return archive.read(pickles[0])


def _examine_pickle(pickled: bytes) -> None:
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            raise BadWeights(f"has the pickle operation {operation.name}, as torch.save never writes it")
        if operation.name == "GLOBAL" and argument not in KNOWN:
            raise BadWeights(f"holds {str(argument)[:80]!r}, which is no part of weights")


def _walk(content: Any) -> Iterator[torch.Tensor]:
    """Every tensor in nested dictionaries, lists and tuples."""
    waiting = [content]
    while waiting:
        found = waiting.pop()
        if isinstance(found, torch.Tensor):
            yield found
        elif isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, list | tuple):
            waiting += found
