"""Assignment to train, validation and test: seeded, grouped, and stable when the dataset grows.

Earlier assignments stay. Images of one group, or with the same bytes, go to the same part. A new group goes to the part
with the largest deficit, counted in images; the last groups fill parts that would stay empty.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

PARTS = ("train", "validation", "test")
ALONE = "image "
"""Start of the group of an image that is in no group with others."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image to assign. `content` identifies its bytes; images of the same `group` go to the same part."""

    key: str
    content: str
    group: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """`parts[i]`: item i's part, '' if excluded from all; `groups[i]`: its group number.

    `spread`: groups that an earlier dataset split over several parts.
    """

    parts: tuple[str, ...]
    groups: tuple[int, ...]
    spread: tuple[str, ...]


def group_of(key: str, pattern: str | None) -> str:
    """Return the group of an image's key: the pattern's groups (else its whole match), or the key if nothing matches.

    `scene_(\\d+)` groups `scene_7_a.jpg` and `scene_7_b.jpg`.
    """
    match = re.search(pattern, key) if pattern else None
    if match is None:
        return f"{ALONE}{key}"
    found = match.groups() or (match[0],)
    return "group " + "\x1f".join(part or "" for part in found)


def assign(
    items: Sequence[Item],
    shares: Mapping[str, float],
    *,
    seed: int,
    earlier: Mapping[str, str] | None = None,
    train_only: Collection[int] = (),
) -> Assignment:
    """Assign every item to a part. `earlier`: {content or key: earlier part}; content has precedence.

    Items at the positions `train_only` go to train, and so do their groups that have no part yet; the shares apply to
    the other items. If their group is in validation or test already, they are excluded. The result does not depend on
    the order of the items.
    """
    earlier = earlier or {}
    numbers = _join(items)
    ordered = sorted(range(len(items)), key=numbers.__getitem__)
    groups = [tuple(positions) for _, positions in groupby(ordered, key=numbers.__getitem__)]
    apart = frozenset(train_only)
    parts: list[str | None] = [
        None if position in apart else earlier.get(item.content) or earlier.get(item.key)
        for position, item in enumerate(items)
    ]
    spread = [items[positions[0]].group for positions in groups if len({parts[p] for p in positions if parts[p]}) > 1]
    counts = {part: parts.count(part) for part in PARTS}
    fresh = []
    for positions in groups:
        if apart and not apart.isdisjoint(positions):
            counts["train"] += _keep_apart(parts, positions, apart)
        elif had := min((part for p in positions if (part := parts[p])), key=PARTS.index, default=None):
            counts[had] += _fill(parts, positions, had)
        else:
            fresh.append(positions)
    fresh.sort(key=lambda positions: (-len(positions), _rank(items, positions, seed)))
    _distribute(parts, fresh, counts=counts, shares=shares)
    return Assignment(tuple("train" if part is None else part for part in parts), tuple(numbers), tuple(sorted(spread)))


def _join(items: Sequence[Item]) -> list[int]:
    """Return the group number of each item: items that share a group or a content are one (union by first seen)."""
    parent = list(range(len(items)))

    def root(position: int) -> int:
        while parent[position] != position:
            parent[position] = parent[parent[position]]
            position = parent[position]
        return position

    for name in (attrgetter("group"), attrgetter("content")):
        first: dict[str, int] = {}
        for position, item in enumerate(items):
            a, b = root(first.setdefault(name(item), position)), root(position)
            parent[max(a, b)] = min(a, b)
    return [root(position) for position in range(len(items))]


def _fill(parts: list[str | None], positions: Sequence[int], part: str) -> int:
    """Assign `part` to the unassigned members; return their number."""
    empty = [p for p in positions if parts[p] is None]
    for position in empty:
        parts[position] = part
    return len(empty)


def _keep_apart(parts: list[str | None], positions: Sequence[int], apart: Collection[int]) -> int:
    """Assign a group with members of `apart` to train; return the number of its other members assigned there.

    If the group has another part already, the members of `apart` are excluded.
    """
    others = [p for p in positions if p not in apart]
    had = min((part for p in others if (part := parts[p])), key=PARTS.index, default="train")
    elsewhere = next((part for p in others if (part := parts[p]) not in (None, "train")), None)
    _fill(parts, [p for p in positions if p in apart], "" if elsewhere else "train")
    filled = _fill(parts, others, had)
    return filled if had == "train" else 0


def _rank(items: Sequence[Item], positions: Sequence[int], seed: int) -> bytes:
    """Return a group's position in the seeded order, which depends on its names only."""
    name = min(items[p].key for p in positions)
    return hashlib.blake2b(name.encode(), key=seed.to_bytes(8, "big"), digest_size=16).digest()


def _distribute(
    parts: list[str | None],
    groups: Sequence[Sequence[int]],
    *,
    counts: dict[str, int],
    shares: Mapping[str, float],
) -> None:
    wanted = [part for part in PARTS if shares.get(part, 0) > 0]
    total = sum(counts.values()) + sum(map(len, groups))
    for number, positions in enumerate(groups):
        empty = [part for part in wanted if counts[part] == 0]
        left = len(groups) - number
        choice = empty if empty and left <= len(empty) else wanted
        part = max(choice, key=lambda p: (shares[p] * total - counts[p], -PARTS.index(p)))
        counts[part] += _fill(parts, positions, part)
