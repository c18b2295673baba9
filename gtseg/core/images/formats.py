"""Supported image formats, detected by name and by first bytes, and descriptions of other file types.

The same rule applies to `label`, `doctor`, `dataset` and the importers. Ground Truth's workers can see JPEG and PNG;
importers read more and write JPEG. Pillow opens only the formats of IMPORTED: others may start interpreters
(PostScript).
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import PurePosixPath

FORMATS = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",)}
"""Formats that Ground Truth's workers can see, with their extensions."""
IMPORTED = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats that Pillow may open (its JPEG reader opens MPO, too). GIF is opened to be named, and for masks."""
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
MASK_FORMATS = ("PNG", "TIFF", "BMP", "GIF", "JPEG")
MASK_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp", ".gif"})


def has_suffix(name: str, suffixes: Container[str]) -> bool:
    """Return whether a file name has one of the extensions. Hidden files and macOS resource forks (`._a.jpg`) have
    none.
    """
    path = PurePosixPath(name)
    return not path.name.startswith(".") and path.suffix.lower() in suffixes


def stored_format(format_name: str | None) -> str:
    """Return the format without variants: MPO, a JPEG followed by more images (phones, drones), is JPEG."""
    return "JPEG" if format_name == "MPO" else format_name or ""


def refuse_kind(format_name: str) -> str:
    """Return why Ground Truth and the algorithm reject a format, with the solution; '' for JPEG and PNG."""
    return "" if format_name in FORMATS else f"contains {format_name}, not JPEG or PNG: convert it"


BRANDS = {b"avif": "AVIF", b"avis": "AVIF"}
HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"BM", "BMP"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"qoif", "QOI"),
    (b"<", "a web page or SVG"),
    (b"version https://git-lfs", "a Git LFS pointer"),
)


def kind_of(head: bytes) -> str:
    """Return the type of a file by its first bytes, in words; '' if unknown."""
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
