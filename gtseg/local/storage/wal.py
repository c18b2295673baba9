"""SQLite's write-ahead log, read as its file format says (sqlite.org/fileformat2.html, "WAL File Format").

SQLite takes a log up to the first frame whose checksum is wrong for its end, which it is after a power cut. Frames of the same
generation behind it that are whole say that it is not the end: what they hold would be dropped in silence (`count_cut_off`).

The checksum of a frame goes on from that of the frame before; of each pair of words (x, y): first += x + second; second += y + first.
That is linear modulo 2**32, so that all frames are summed up at once by one product with the powers of its matrix.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

import numpy as np

__all__ = ["count_cut_off", "is_header"]

MAGIC = (0x377F0682, 0x377F0683)  # its last bit: the order of the words in a checksum is big-endian
HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
CHUNK_FRAMES = 1024
MASK = 0xFFFFFFFF
Sums = tuple[int, int]


def is_header(head: bytes) -> bool:
    """Whether these 32 bytes begin a write-ahead log, their checksum included."""
    if len(head) < HEADER_BYTES or struct.unpack(">I", head[:4])[0] not in MAGIC:
        return False
    words = np.frombuffer(head[:24], _read_order(head)).astype(np.uint32)
    return sum_up(words[None, :], [(0, 0)])[0] == struct.unpack(">2I", head[24:32])


def count_cut_off(path: Path) -> int:
    """How many transactions are whole and yet lost, because a frame before them is damaged; 0 for a log in order."""
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
            found = sum_up(_read_words(frames, _read_order(head)), [kept, *stored[:-1]])
            for row, own, expected in zip(fields, stored, found, strict=True):
                is_whole = row[2:4].tobytes() == head[16:24] and own == expected
                is_cut = is_cut or not is_whole
                lost += (
                    is_cut and is_whole and int(row[1]) != 0
                )  # the last frame of a transaction says the pages after it
            kept = stored[-1] if stored else kept
    return lost


def sum_up(words: np.ndarray, begun: list[Sums]) -> list[Sums]:
    """Checksums of (n, words) uint32, each going on from its own sums."""
    pairs = words.shape[1] // 2
    weights, power = _weigh(pairs)
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
def _weigh(pairs: int) -> tuple[np.ndarray, tuple[Sums, Sums]]:
    """What each word counts in both sums, (2 * pairs, 2) uint32, and the matrix of the sums before."""
    weights = np.empty((2 * pairs, 2), np.uint32)
    (a, b), (c, d) = (1, 0), (0, 1)  # the step (1 1; 1 2) to the power of the pairs behind
    for pair in reversed(range(pairs)):
        weights[2 * pair] = (a + b) & MASK, (c + d) & MASK  # x is in both sums
        weights[2 * pair + 1] = b, d
        a, b, c, d = (a + b) & MASK, (a + 2 * b) & MASK, (c + d) & MASK, (c + 2 * d) & MASK
    return weights, ((a, b), (c, d))


def _read_order(head: bytes) -> str:
    return ">u4" if head[3] & 1 else "<u4"


def _read_words(frames: np.ndarray, order: str) -> np.ndarray:
    """(n, words) uint32 of what a checksum covers: the first two fields of a frame's header, and its page."""
    covered = np.concatenate([frames[:, :8], frames[:, FRAME_HEADER_BYTES:]], axis=1)
    return np.ascontiguousarray(covered).view(order).astype(np.uint32)
