"""What is an image that gtseg takes: by its name, by its first bytes, and in words where it is none.

One rule for `label`, `doctor`, `dataset` and the importers. Ground Truth's workers see JPEG and PNG; importers read more
and write JPEG. Pillow is only ever asked for the formats of IMPORTED: others may start interpreters (PostScript).
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import PurePosixPath

FORMATS = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",)}
"""Formats that Ground Truth's workers can see, with the extensions that fit."""
IMPORTED = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats that Pillow may open at all (its JPEG reader opens MPO, too). GIF is opened to be named, and for masks."""
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
MASK_FORMATS = ("PNG", "TIFF", "BMP", "GIF", "JPEG")
MASK_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp", ".gif"})


def has_suffix(name: str, suffixes: Container[str]) -> bool:
    """Whether a file is of that kind by its name. Hidden files, and the resource forks of a Mac (`._a.jpg`), are of none."""
    path = PurePosixPath(name)
    return not path.name.startswith(".") and path.suffix.lower() in suffixes


def stored_format(format_name: str | None) -> str:
    """Pillow's name of a format; MPO, a JPEG with more pictures behind it (phones, drones), is JPEG."""
    return "JPEG" if format_name == "MPO" else format_name or ""


def refuse_kind(format_name: str) -> str:
    """Why Ground Truth and the algorithm cannot take a format, with the way out; '' for JPEG and PNG."""
    return "" if format_name in FORMATS else f"is {format_name} inside, not JPEG or PNG: convert it"


BRANDS = {b"avif": "AVIF", b"avis": "AVIF"}
HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF8", "GIF"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
    (b"II+\0", "BigTIFF"), (b"MM\0+", "BigTIFF"), (b"BM", "BMP"), (b"%PDF", "PDF"), (b"%!PS", "PostScript"), (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"8BPS", "Photoshop"), (b"\0\0\0\x0cjP  ", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"), (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"), (b"qoif", "QOI"), (b"<", "a web page or SVG"), (b"version https://git-lfs", "a Git LFS pointer"),
)  # fmt: skip


def kind_of(head: bytes) -> str:
    """What a file is by its first bytes, as people call it; '' where nothing is known."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return BRANDS.get(head[8:12]) or ("HEIC" if head[8:12] in HEIF else "a video")
    return next(
        (
            name
            for start, name in STARTS
            if head.lstrip(b"\xef\xbb\xbf \r\n").startswith(start) or head.startswith(start)
        ),
        "",
    )
