"""Counts in sentences: one image, two images."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 image`, `2 images`, `1,250 images`; `plural` where it is not `noun` with an s, or where a verb follows."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
