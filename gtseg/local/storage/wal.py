"""Parser of SQLite's write-ahead log (sqlite.org/fileformat2.html, "WAL File Format").

SQLite treats the first frame with a wrong checksum as the end of the log, which is right after a power failure. Valid
frames of the same generation after it show that it is not the end: SQLite would drop them silently (`count_lost`).

The checksum of a frame continues that of the frame before; for each pair of words (x, y): first += x + second; second
+= y + first. This is linear modulo 2**32, so that all frames are computed with one product with the powers of its
matrix.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

import numpy as np

MAGIC = (0x377F0682, 0x377F0683)
"""The last bit tells that words are big-endian in checksums."""
HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
CHUNK_FRAMES = 1024
MASK = 0xFFFFFFFF
Sums = tuple[int, int]


def is_header(head: bytes) -> bool:
    """Return whether these 32 bytes are a valid header of a write-ahead log, including its checksum."""
    if len(head) < HEADER_BYTES or struct.unpack(">I", head[:4])[0] not in MAGIC:
        return False
    words = np.frombuffer(head[:24], _read_order(head)).astype(np.uint32)
    return _compute_checksums(words[None, :], [(0, 0)])[0] == struct.unpack(">2I", head[24:32])


def count_lost(path: Path) -> int:
    """Return the number of valid transactions after a damaged frame, which SQLite would drop; 0 for an intact log."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
        if not is_header(head):
            return 0
        page: int = struct.unpack(">I", head[8:12])[0]
        frame_bytes = FRAME_HEADER_BYTES + page
        kept: Sums = struct.unpack(">2I", head[24:32])
        is_cut, lost = False, 0
        while block := file.read(frame_bytes * CHUNK_FRAMES):
            frames = np.frombuffer(block[: len(block) // frame_bytes * frame_bytes], np.uint8)
            frames = frames.reshape(-1, frame_bytes)
            fields = np.ascontiguousarray(frames[:, :FRAME_HEADER_BYTES]).view(">u4")
            stored = [(int(row[4]), int(row[5])) for row in fields]
            found = _compute_checksums(_read_words(frames, _read_order(head)), [kept, *stored[:-1]])
            for row, own, expected in zip(fields, stored, found, strict=True):
                is_whole = row[2:4].tobytes() == head[16:24] and own == expected
                is_cut = is_cut or not is_whole
                lost += is_cut and is_whole and int(row[1]) != 0  # only a transaction's last frame has a page count
            kept = stored[-1] if stored else kept
    return lost


def _compute_checksums(words: np.ndarray, begun: list[Sums]) -> list[Sums]:
    """Return checksums of (n, words) uint32, each starting from the given sums."""
    pairs = words.shape[1] // 2
    weights, power = _compute_weights(pairs)
    with np.errstate(over="ignore"):
        added = words @ weights
    return [
        (
            (power[0][0] * first + power[0][1] * second + int(row[0])) & MASK,
            (power[1][0] * first + power[1][1] * second + int(row[1])) & MASK,
        )
        for (first, second), row in zip(begun, added, strict=True)
    ]


@lru_cache(maxsize=4)
def _compute_weights(pairs: int) -> tuple[np.ndarray, tuple[Sums, Sums]]:
    """Return the weight of each word in both sums, (2 * pairs, 2) uint32, and the matrix for the initial sums."""
    weights = np.empty((2 * pairs, 2), np.uint32)
    (a, b), (c, d) = (1, 0), (0, 1)  # (1 1; 1 2) to the power of the number of later pairs
    for pair in reversed(range(pairs)):
        weights[2 * pair] = (a + b) & MASK, (c + d) & MASK  # x contributes to both sums
        weights[2 * pair + 1] = b, d
        a, b, c, d = (a + b) & MASK, (a + 2 * b) & MASK, (c + d) & MASK, (c + 2 * d) & MASK
    return weights, ((a, b), (c, d))


def _read_order(head: bytes) -> str:
    return ">u4" if head[3] & 1 else "<u4"


def _read_words(frames: np.ndarray, order: str) -> np.ndarray:
    """Return (n, words) uint32 of the checksummed bytes: the first two fields of a frame's header, and its page."""
    covered = np.concatenate([frames[:, :8], frames[:, FRAME_HEADER_BYTES:]], axis=1)
    return np.ascontiguousarray(covered).view(order).astype(np.uint32)
