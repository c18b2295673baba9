"""CRCs, compared with published check values and zlib."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtseg.local.s3 import crc

MESSAGES = st.one_of(
    st.binary(max_size=600),
    st.builds(
        lambda seed, n: (seed * (n // len(seed) + 1))[:n],
        st.binary(min_size=1, max_size=50),
        st.integers(0, 70_000),
    ),
)


def digest(kind: tuple[int, int], *pieces: bytes) -> int:
    checksum = crc.Crc(kind)
    for piece in pieces:
        checksum.update(piece)
    return int.from_bytes(checksum.digest(), "big")


@pytest.mark.parametrize(
    ("kind", "check"),
    [(crc.CRC32, 0xCBF43926), (crc.CRC32C, 0xE3069283), (crc.CRC64NVME, 0xAE8B14860A799888)],
)
def test_crcs_equal_the_published_check_values(kind: tuple[int, int], check: int) -> None:
    assert digest(kind, b"123456789") == check


@settings(max_examples=50)
@given(MESSAGES)
def test_crc32_equals_zlib_at_every_length(message: bytes) -> None:
    assert digest(crc.CRC32, message) == zlib.crc32(message)


@settings(max_examples=30)
@given(MESSAGES, st.integers(0, 70_000))
def test_crcs_of_pieces_combine_to_the_crc_of_the_whole(message: bytes, cut: int) -> None:
    first, second = message[:cut], message[cut:]
    for kind in (crc.CRC32C, crc.CRC64NVME):
        whole = digest(kind, message)
        assert digest(kind, first, second) == whole
        assert crc.combine(kind, digest(kind, first), digest(kind, second), length=len(second)) == whole
