"""Pages of List operations: order, MaxResults and NextToken.

A token holds the place of the last item given, so that a page stays right when items come and go between two calls.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gtseg.local.errors import ServiceError

__all__ = ["Paging", "Place", "read_paging"]

T = TypeVar("T")
Place = tuple[Any, ...]  # numbers and strings that order the items; no two items have the same


@dataclass(frozen=True)
class Paging:
    """What one request asks for."""

    limit: int
    is_descending: bool
    after: Place | None
    """Place of the last item of the page before; None for the first page."""

    def cut(self, items: Sequence[T], place: Callable[[T], Place]) -> tuple[list[T], str | None]:
        """(the page, the next token) of items in order, from behind `after` on; `limit + 1` of them suffice."""
        page = list(items[: self.limit])
        return page, _seal(place(page[-1])) if len(items) > self.limit else None

    def select(self, items: Iterable[T], place: Callable[[T], Place]) -> tuple[list[T], str | None]:
        """(the page, the next token) of all items, in any order."""
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
    """Read a request's page; `size` and `is_descending` apply where it names none.

    `limit` and `token` are the API's member names. Raises ServiceError `code` for a token of another operation.
    """
    order = request.get("SortOrder")
    given = request.get(token)
    return Paging(
        limit=request.get(limit, size),
        is_descending=is_descending if order is None else order == "Descending",
        after=_open(given, f"Invalid {token}: it was not given out by this operation.", code) if given else None,
    )


def _first(pair: tuple[Place, Any]) -> Place:
    return pair[0]


def _seal(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _open(token: str, message: str, code: str) -> Place:
    try:
        place = json.loads(base64.urlsafe_b64decode(token))
        if isinstance(place, list) and len(place) > 0 and isinstance(place[-1], str):
            return tuple(place)
    except (ValueError, binascii.Error):
        pass
    raise ServiceError(code, message)
