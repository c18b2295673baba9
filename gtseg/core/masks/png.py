"""PNG at the level of chunks: header fields without decoding, and a fast encoder for label masks.

Functions of this package import numpy only when needed: most masks are checked without it, and it takes 0.1 s and 15
MB.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gtseg.errors import MaskError

if TYPE_CHECKING:
    import numpy as np

_inflating: Any = zlib
with contextlib.suppress(ImportError):  # four times the speed of zlib where a wheel exists, with the same output
    from isal import isal_zlib as _inflating

_BLOCK = 0xFFFF
SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""Color types (PNG specification, 11.2.2)."""


@dataclass(frozen=True, slots=True)
class PngHeader:
    """Size in pixels, bits per sample, color type; `interlace` 0 for none."""

    width: int
    height: int
    depth: int
    color_type: int
    interlace: int = 0


@dataclass(frozen=True, slots=True)
class Png:
    """A whole PNG, not decoded.

    `palette`: RGB triples; `alphas`: the palette's alpha from entry 0; `data`: compressed.
    """

    header: PngHeader
    palette: bytes
    alphas: bytes
    data: bytes

    def unfiltered_lines(self) -> bytes | None:
        """Return H lines of 1 + W bytes, the first of each 0, if an 8-bit palette PNG is stored so, as Ground Truth
        does.

        Return None if lines are filtered, interlaced or packed, or the data is damaged: a full decoder must read it.
        """
        header = self.header
        if header.depth != 8 or header.color_type != PALETTE or header.interlace:
            return None
        size = (header.width + 1) * header.height
        inflate: Any = _inflating.decompressobj()
        try:
            lines: bytes = inflate.decompress(self.data, size + 1)
        except _inflating.error:
            return None
        if len(lines) > size:
            raise MaskError("the PNG holds more data than its size allows: it is damaged or malicious")
        if len(lines) != size or not inflate.eof or any(lines[:: header.width + 1]):
            return None
        return lines

    def stored(self) -> bytes | None:
        """Return the RGB(A) image as an uncompressed PNG, inflated by the faster library, for Pillow to decode.

        Return None if that gains nothing or the file is of another kind.
        """
        header, channels = self.header, {RGB: 3, RGBA: 4}.get(self.header.color_type)
        if _inflating is zlib or channels is None or header.depth != 8 or header.interlace or self.alphas:
            return None
        size = (header.width * channels + 1) * header.height
        inflate: Any = _inflating.decompressobj()
        try:
            lines: bytes = inflate.decompress(self.data, size + 1)
        except _inflating.error:
            return None
        if len(lines) != size or not inflate.eof:
            return None
        fields = struct.pack(">IIBBBBB", header.width, header.height, 8, header.color_type, 0, 0, 0)
        return SIGNATURE + b"".join((_chunk(b"IHDR", fields), _chunk(b"IDAT", _store(lines)), _chunk(b"IEND", b"")))


def _store(data: bytes) -> bytes:
    """Return a zlib stream of stored blocks (RFC 1950, RFC 1951 3.2.4)."""
    view = memoryview(data)
    parts: list[bytes | memoryview] = [b"\x78\x01"]
    for start in range(0, len(data), _BLOCK):
        block = view[start : start + _BLOCK]
        size = len(block)
        parts += (struct.pack("<BHH", start + size == len(data), size, size ^ 0xFFFF), block)
    return b"".join([*parts, _inflating.adler32(data).to_bytes(4, "big")])


def read_png(body: bytes) -> Png:
    """Parse a complete PNG: every chunk's CRC matches and IEND is present. Decodes nothing.

    Raises MaskError if it is not a PNG, is truncated or damaged.
    """
    header = read_png_header(body)
    view, offset = memoryview(body), len(SIGNATURE)
    found: dict[bytes, list[bytes]] = {}
    while offset + 12 <= len(body):
        end = offset + 12 + int.from_bytes(view[offset : offset + 4], "big")
        if end > len(body):
            break
        kind = bytes(view[offset + 4 : offset + 8])
        if zlib.crc32(view[offset + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise MaskError(f"the PNG is damaged: the checksum of its {kind.decode('latin-1')} chunk is wrong")
        if kind == b"IEND":
            palette, alphas, data = (b"".join(found.get(name, ())) for name in (b"PLTE", b"tRNS", b"IDAT"))
            return Png(header, palette, alphas, data)
        if kind in (b"PLTE", b"tRNS", b"IDAT"):
            found.setdefault(kind, []).append(bytes(view[offset + 8 : end - 4]))
        offset = end
    raise MaskError(f"the PNG is truncated after {len(body):,} bytes")


def read_palette(head: bytes) -> tuple[PngHeader, bytes]:
    """Return header and palette (RGB triples) from a file's first bytes.

    Raises MaskError if PLTE does not follow IHDR.
    """
    header = read_png_header(head)
    end = 45 + int.from_bytes(head[33:37], "big")
    if (
        head[37:41] != b"PLTE"
        or end > len(head)
        or zlib.crc32(head[37 : end - 4]) != int.from_bytes(head[end - 4 : end], "big")
    ):
        raise MaskError("the PNG does not begin with its palette")
    return header, head[41 : end - 4]


def read_png_header(body: bytes) -> PngHeader:
    if not body.startswith(SIGNATURE):
        raise MaskError(f"not a PNG file: it starts with {body[:8].hex() or 'nothing'}")
    if len(body) < 33 or body[12:16] != b"IHDR":
        raise MaskError("the PNG is truncated inside its header")
    width, height, depth, color_type, _, _, interlace = struct.unpack(">IIBBBBB", body[16:29])
    if not width or not height:
        raise MaskError(f"the PNG's header says {width}x{height} pixels")
    return PngHeader(width, height, depth, color_type, interlace)


def encode_palette_png(indices: np.ndarray | bytes, width: int, height: int, *, palette: bytes) -> bytes:
    """Encode (H, W) uint8 class indices (or their bytes, row by row) as an 8-bit palette PNG: IHDR, PLTE, IDAT, IEND.

    No filter and run-length deflate: label masks are runs, and a filter search costs four times the compression.
    """
    import numpy as np

    lines = np.zeros((height, width + 1), dtype=np.uint8)  # one filter byte (0 = none) before each line
    lines[:, 1:] = np.frombuffer(indices, dtype=np.uint8).reshape(height, width)
    deflate = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    data = deflate.compress(lines.data) + deflate.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, PALETTE, 0, 0, 0)
    return SIGNATURE + b"".join(
        (_chunk(b"IHDR", header), _chunk(b"PLTE", palette), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum: int = _inflating.crc32(data, zlib.crc32(kind))
    return len(data).to_bytes(4, "big") + kind + data + checksum.to_bytes(4, "big")
