"""Safe loading of untrusted weight files: examined first, so that memory use is limited by the file's size.

A file of torch.save is a ZIP archive of one pickle and one record per storage, all uncompressed. A few bytes in the
pickle can request any amount of memory (`bytearray(2**38)`, a tensor larger than its storage), and a compressed record
expands to a thousand times its size.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

PICKLE_BYTES = 16 << 20
RECORDS = 100_000
STORAGES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
KNOWN = frozenset(
    ["collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"]
    + [f"torch {kind}Storage" for kind in STORAGES]
)
"""All globals in pickles of dictionaries of tensors."""


class BadWeights(Exception):
    """The file is rejected; the text gives the reason."""


def load_weights(path: Path) -> Any:
    """Load a torch.save file: dictionaries, lists and tensors, which stay memory-mapped. Raises BadWeights."""
    try:
        with zipfile.ZipFile(path) as archive:
            _examine_pickle(_examine_records(archive, path.stat().st_size))
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except BadWeights:
        raise
    except Exception as error:  # torch and zipfile raise many exceptions for damaged files
        raise BadWeights(f"cannot be read ({type(error).__name__})") from None
    for tensor in _list_tensors(content):
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise BadWeights(f"has a tensor of shape {tuple(tensor.shape)} that is larger than its stored data")
    return content


def _examine_records(archive: zipfile.ZipFile, size: int) -> bytes:
    """Return the pickle, after checking that the records fit into the file."""
    records = archive.infolist()
    if len(records) > RECORDS:
        raise BadWeights(f"has {len(records):,} records, more than the allowed {RECORDS:,}")
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise BadWeights("has compressed records, which torch.save never writes")
    if sum(record.file_size for record in records) > size:
        raise BadWeights("has records that are larger than the file")
    pickles = [record for record in records if record.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].file_size > PICKLE_BYTES:
        raise BadWeights(f"must have one data.pkl of at most {PICKLE_BYTES:,} bytes")
    return archive.read(pickles[0])


def _examine_pickle(pickled: bytes) -> None:
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            raise BadWeights(f"has the pickle operation {operation.name}, which torch.save never writes")
        if operation.name == "GLOBAL" and argument not in KNOWN:
            raise BadWeights(f"refers to {str(argument)[:80]!r}, which is not part of weights")


def _list_tensors(content: Any) -> Iterator[torch.Tensor]:
    """Yield every tensor in nested dictionaries, lists and tuples."""
    waiting = [content]
    while waiting:
        found = waiting.pop()
        if isinstance(found, torch.Tensor):
            yield found
        elif isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, list | tuple):
            waiting += found
