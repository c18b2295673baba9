import io

import pytest
from PIL import Image

from gtseg.core.images.examination import examine_image
from gtseg.core.images.formats import has_suffix, kind_of
from gtseg.core.images.header import read_header


def encode(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), "teal").save(buffer, kind, **options)
    return buffer.getvalue()


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (HEIC, "HEIC"),
        (encode("WEBP"), "WEBP"),
        (encode("TIFF"), "TIFF"),
        (encode("GIF"), "GIF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_other_formats_are_named_by_every_reader(body: bytes, kind: str) -> None:
    header = read_header(body, is_all=True)
    said = header if isinstance(header, str) else f"contains {header.format}"
    assert f"contains {kind}" in said
    assert any(f"contains {kind}" in problem for problem in examine_image("a.jpg", body))


def test_a_jpeg_followed_by_more_images_is_a_jpeg() -> None:
    body = encode("MPO", save_all=True, append_images=[Image.new("RGB", (20, 10))])
    header = read_header(body, is_all=True)
    assert not isinstance(header, str)
    assert header is not None
    assert header.format == "JPEG"
    assert examine_image("live.jpg", body) == []


def test_hidden_files_are_not_images() -> None:
    assert has_suffix("a/b.JPG", {".jpg"})
    assert not has_suffix("a/._b.jpg", {".jpg"})
    assert not has_suffix(".jpg", {".jpg"})


def test_any_bytes_have_a_named_or_unknown_format() -> None:
    assert kind_of(b"") == ""
    assert kind_of(b"hello") == ""
