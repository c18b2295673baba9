from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gtseg.core.images.header import ImageHeader, read_header, read_whole


def encoded(kind: str = "JPEG", size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "RGBA")]
)
def test_size_format_and_color_mode_are_read_from_the_first_bytes(kind: str, mode: str) -> None:
    header = read_header(encoded(kind, (41, 31), mode)[:700], is_all=False)
    assert header == ImageHeader(kind, 41, 31, mode)


@given(st.integers(0, 700))
def test_a_truncated_header_requests_more_bytes_and_never_gives_wrong_values(cut: int) -> None:
    whole = encoded(exif=b"Exif\0\0" + b"x" * 60)
    header = read_header(whole[:cut], is_all=False)
    assert header is None or header == read_header(whole, is_all=True) or (cut < 3 and isinstance(header, str))


def test_exif_orientation_is_reported_and_the_size_is_the_stored_one() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_header(encoded(exif=exif), is_all=True) == ImageHeader("JPEG", 40, 30, "RGB", orientation=6)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is empty"),
        (b"hello world", "is not an image (neither JPEG nor PNG)"),
        (b"<html></html>", "web page"),
        (b"GIF89", "GIF"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "damaged or truncated"),
        (b"\x89PNG\r\n\x1a\n\0\0", "damaged or truncated"),
    ],
)
def test_a_file_that_is_not_an_image_is_described(body: bytes, words: str) -> None:
    header = read_header(body, is_all=True)
    assert isinstance(header, str)
    assert words in header


def test_an_image_with_billions_of_pixels_is_measured_without_decoding() -> None:
    body = bytearray(encoded("PNG", mode="L"))
    body[16:24] = (100_000).to_bytes(4, "big") * 2
    import zlib

    body[29:33] = zlib.crc32(bytes(body[12:29])).to_bytes(4, "big")
    header = read_header(bytes(body), is_all=True)
    assert isinstance(header, ImageHeader)
    assert header.pixels == 10_000_000_000


@given(st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"II*\0"]))
def test_no_input_raises_another_error(tail: bytes, start: bytes) -> None:
    assert isinstance(read_header(start + tail, is_all=True), ImageHeader | str)


def noisy(kind: str, **options: Any) -> bytes:
    """Return an image file that is longer than its header."""
    buffer = io.BytesIO()
    Image.effect_noise((64, 48), 90).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("JPEG", {"exif": b""})]
)
def test_a_truncated_file_is_detected_at_any_length(kind: str, options: dict[str, Any]) -> None:
    whole = noisy(kind, **options)
    assert isinstance(read_whole(whole), ImageHeader)
    assert isinstance(read_whole(whole + b"\0" * 5000), ImageHeader)  # what phones append
    for cut in range(1, len(whole) - 40, 97):
        assert isinstance(read_whole(whole[:cut]), str), cut


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image() -> None:
    exif = b"Exif\0\0" + noisy("JPEG", quality=5)
    whole = noisy("JPEG", exif=exif)
    assert isinstance(read_whole(whole), ImageHeader)
    assert "truncated" in str(read_whole(whole[:-300]))
