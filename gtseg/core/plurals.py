"""Counts in sentences: 1 image, 2 images."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `1 image`, `2 images`, `1,250 images`. `plural`: if it is not `noun` + s, or if a verb follows."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
