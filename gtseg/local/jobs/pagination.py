"""Pagination of List operations: order, MaxResults and NextToken.

A token holds the sort key of the last returned item, so that pages stay correct when items are added or removed between
two calls.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gtseg.local.errors import ServiceError

T = TypeVar("T")
Place = tuple[Any, ...]
"""Sort key of numbers and strings, unique for each item."""


@dataclass(frozen=True)
class Paging:
    """Page that a request selects."""

    limit: int
    is_descending: bool
    after: Place | None
    """Sort key of the last item of the previous page; None for the first page."""

    def cut(self, items: Sequence[T], place: Callable[[T], Place]) -> tuple[list[T], str | None]:
        """Return (page, next token) of items that are sorted and start after `after`; `limit + 1` items suffice."""
        page = list(items[: self.limit])
        return page, _encode_token(place(page[-1])) if len(items) > self.limit else None

    def select(self, items: Iterable[T], place: Callable[[T], Place]) -> tuple[list[T], str | None]:
        """Return (page, next token) of all items, given in any order."""
        ordered = sorted(((place(item), item) for item in items), key=_first, reverse=self.is_descending)
        if self.after is not None:
            after = self.after
            ordered = [pair for pair in ordered if (pair[0] < after if self.is_descending else pair[0] > after)]
        page, token = self.cut(ordered, _first)
        return [item for _, item in page], token


def read_paging(
    request: Mapping[str, Any],
    *,
    size: int,
    is_descending: bool = False,
    limit: str = "MaxResults",
    token: str = "NextToken",
    code: str = "ValidationException",
) -> Paging:
    """Read the page that a request selects; `size` and `is_descending` are the defaults.

    `limit` and `token` are the API's member names. Raises ServiceError `code` for a token of another operation.
    """
    order = request.get("SortOrder")
    given = request.get(token)
    return Paging(
        limit=request.get(limit, size),
        is_descending=is_descending if order is None else order == "Descending",
        after=_decode_token(given, f"Invalid {token}: it was not returned by this operation.", code) if given else None,
    )


def _first(pair: tuple[Place, Any]) -> Place:
    return pair[0]


def _encode_token(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _decode_token(token: str, message: str, code: str) -> Place:
    try:
        place = json.loads(base64.urlsafe_b64decode(token))
        if isinstance(place, list) and len(place) > 0 and isinstance(place[-1], str):
            return tuple(place)
    except (ValueError, binascii.Error):
        pass
    raise ServiceError(code, message)
