"""Cyclic redundancy checks that the standard library lacks, vectorized with NumPy, and their combination.

All are reflected, with initial value and final XOR of all ones. CRC32C: RFC 3720 appendix B.4; CRC-64/NVME: NVM Express
NVM Command Set Specification 1.0c, section 5.2.1.3.4 (check value of "123456789": 0xAE8B14860A799888).

A message is arranged in rows of `lanes` 64-bit words. One step advances a vector of registers by a row and adds the
next row; the result is one row equivalent to the message, which is folded again with fewer lanes. Four look-ups in
tables of 65,536 entries advance eight bytes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

CRC32 = (0xEDB88320, 32)  # (reflected polynomial, bits)
CRC32C = (0x82F63B78, 32)
CRC64NVME = (0x9A6C9329AC4BC9B5, 64)
LANES = (2048, 64, 8)
"""Words per row: 8 * 2048 bytes are folded at once, the rest with narrower rows."""


class Crc:
    """Incremental CRC of kind (reflected polynomial, bits); `digest` is big-endian."""

    def __init__(self, kind: tuple[int, int]) -> None:
        self._polynomial, self._bits = kind
        self._register = (1 << self._bits) - 1

    def update(self, data: bytes) -> None:
        position = 0
        for level, lanes in enumerate(LANES):
            length = (len(data) - position) // (8 * lanes) * (8 * lanes)
            if length:
                words = np.frombuffer(data, "<u8", count=length // 8, offset=position)
                self._register = self._fold(words, LANES[level:])
                position += length
        self._register = self._step(memoryview(data)[position:])

    def _fold(self, words: Words, lanes: tuple[int, ...]) -> int:
        """Return the register after `words`, whose number is a multiple of the first of `lanes`."""
        words = words.copy()
        words[0] ^= np.uint64(self._register)
        self._register = 0
        for width in lanes:
            rows = words.reshape(-1, width)
            words = rows[0]
            for row in rows[1:]:
                words = _advance(words, _row_tables(self._polynomial, width)) ^ row
        return self._step(words.tobytes())

    def _step(self, data: bytes | memoryview) -> int:
        table, register = _byte_table(self._polynomial), self._register
        for byte in data:
            register = table[(register ^ byte) & 0xFF] ^ (register >> 8)
        return register

    def digest(self) -> bytes:
        return (self._register ^ ((1 << self._bits) - 1)).to_bytes(self._bits // 8, "big")


def combine(kind: tuple[int, int], first: int, second: int, *, length: int) -> int:
    """Return the CRC of two concatenated messages; `length` is the second one's, in bytes."""
    return _shift(kind[0], first, length) ^ second


def _advance(words: Words, tables: npt.NDArray[np.uint64]) -> Words:
    parts = words.view(np.uint16).reshape(-1, 4)
    result: Words = tables[0].take(parts[:, 0])
    for number in range(1, 4):
        result ^= tables[number].take(parts[:, number])
    return result


@lru_cache(maxsize=8)
def _byte_table(polynomial: int) -> tuple[int, ...]:
    """Return the register after each value of one byte, starting from zero."""
    table = []
    for register in range(256):
        for _ in range(8):
            register = (register >> 1) ^ (polynomial if register & 1 else 0)
        table.append(register)
    return tuple(table)


@lru_cache(maxsize=8)
def _row_tables(polynomial: int, lanes: int) -> npt.NDArray[np.uint64]:
    """(4, 65536) uint64: [j, v] is the register after a row whose first word has v as its j-th 16 bits, from zero."""
    table = np.array(_byte_table(polynomial), np.uint64)
    values = np.arange(65536, dtype=np.uint64)
    low, high = values & np.uint64(0xFF), values >> np.uint64(8)
    register = table[low]
    register = table[(register ^ high) & np.uint64(0xFF)] ^ (register >> np.uint64(8))
    after = 8 * (lanes - 1)  # bytes of the row after its first word
    return np.stack([_shift_vector(polynomial, register, 6 - 2 * part + after) for part in range(4)])


def _shift_vector(polynomial: int, registers: Words, length: int) -> Words:
    """Return the registers after `length` zero bytes."""
    if not length:
        return registers.copy()
    result = np.zeros_like(registers)
    for bit, column in enumerate(_zeros(polynomial, length)):
        result ^= ((registers >> np.uint64(bit)) & np.uint64(1)) * np.uint64(column)
    return result


def _shift(polynomial: int, register: int, length: int) -> int:
    return _multiply(_zeros(polynomial, length), register) if length else register


@lru_cache(maxsize=256)
def _zeros(polynomial: int, length: int) -> tuple[int, ...]:
    """Return the linear map of `length` zero bytes, as the image of each bit of the register."""
    table = _byte_table(polynomial)
    bits = 64 if polynomial >> 32 else 32
    power = tuple(table[(1 << bit) & 0xFF] ^ ((1 << bit) >> 8) for bit in range(bits))
    result = tuple(1 << bit for bit in range(bits))
    while length:
        if length & 1:
            result = tuple(_multiply(power, column) for column in result)
        power = tuple(_multiply(power, column) for column in power)
        length >>= 1
    return result


def _multiply(matrix: tuple[int, ...], vector: int) -> int:
    result = 0
    for column in matrix:
        if vector & 1:
            result ^= column
        vector >>= 1
        if not vector:
            break
    return result
