"""Lists in pages, as the SageMaker API's List operations give them: order, filters, MaxResults and NextToken."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

from gtseg.local.errors import ServiceError

__all__ = ["cut_page"]

T = TypeVar("T")
PAGE = 100


def cut_page(
    items: Sequence[tuple[Any, str, T]], request: dict[str, Any], *, ascending: bool = True
) -> tuple[list[T], str | None]:
    """(a page, the next token) of (sort key, name, item); ties in order of the name.

    A token names the last item given, so that a page stays right when items come and go in between.
    """
    down = request.get("SortOrder", "Ascending" if ascending else "Descending") == "Descending"
    ordered = sorted(items, key=lambda item: (item[0], item[1]), reverse=down)
    token = request.get("NextToken")
    if token:
        last = read_token(token)
        places = [place for place, item in enumerate(ordered) if item[1] == last]
        if not places:
            raise ServiceError(
                "ValidationException", "The NextToken is not valid: its item is gone. Start again."
            )
        ordered = ordered[places[0] + 1 :]
    size = request.get("MaxResults", PAGE)
    page = ordered[:size]
    more = base64.urlsafe_b64encode(page[-1][1].encode()).decode() if len(ordered) > size else None
    return [item[2] for item in page], more


def read_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (ValueError, binascii.Error):
        raise ServiceError("ValidationException", "The NextToken is not valid.") from None
