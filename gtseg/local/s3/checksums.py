"""Checksums of S3 objects: CRC32, CRC32C, CRC64NVME, SHA1, SHA256 (base64, big-endian).

Source: S3 User Guide, "Checking object integrity": a multipart object's checksum is COMPOSITE (the checksum of the
parts' checksums, then `-` and their number) or FULL_OBJECT (of the bytes, for CRCs only).
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence
from typing import Protocol

from gtseg.local.errors import ServiceError
from gtseg.local.s3 import crc

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
KINDS = {"CRC32": crc.CRC32, "CRC32C": crc.CRC32C, "CRC64NVME": crc.CRC64NVME}


class Checksum(Protocol):
    """An incremental checksum."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc32:
    """CRC32 of the standard library, with the interface of a Checksum."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def make_checksum(algorithm: str) -> Checksum:
    """Return a new checksum of one of ALGORITHMS."""
    if algorithm == "CRC32":
        return Crc32()
    if algorithm in KINDS:
        return crc.Crc(KINDS[algorithm])
    return hashlib.new(algorithm.lower(), usedforsecurity=False)


def encode(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def header_of(algorithm: str) -> str:
    """Return the name of the header with a checksum."""
    return f"x-amz-checksum-{algorithm.lower()}"


def read_algorithm(text: str) -> str:
    """Return the canonical name of an algorithm given in a header. Raises ServiceError InvalidRequest."""
    if text.upper() not in ALGORITHMS:
        raise ServiceError(
            "InvalidRequest",
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            f"[{', '.join(ALGORITHMS)}]",
        )
    return text.upper()


def default_type(algorithm: str) -> str:
    """Return the checksum type that S3 uses for a multipart upload if none is requested."""
    return "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"


def combine_parts(algorithm: str, kind: str, parts: Sequence[tuple[str, int]]) -> str:
    """Return a multipart object's checksum from its parts' (checksum in base64, size in bytes)."""
    digests = [base64.b64decode(checksum) for checksum, _ in parts]
    if kind == "COMPOSITE":
        checksum = make_checksum(algorithm)
        checksum.update(b"".join(digests))
        return f"{encode(checksum.digest())}-{len(parts)}"
    polynomial, bits = KINDS[algorithm]
    total = 0
    for digest, (_, size) in zip(digests, parts, strict=True):
        total = crc.combine((polynomial, bits), total, int.from_bytes(digest, "big"), length=size)
    return encode(total.to_bytes(bits // 8, "big"))


def render(checksums: dict[str, str]) -> dict[str, str]:
    """Return an object's checksums as headers."""
    headers = {header_of(name): value for name, value in checksums.items() if name != "type"}
    if headers:
        headers["x-amz-checksum-type"] = checksums.get("type", "FULL_OBJECT")
    return headers
