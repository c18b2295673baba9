"""Pagination of List operations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.local.errors import ServiceError
from gtseg.local.jobs.pagination import Place, read_paging

Item = tuple[int, str]


def walk(items: list[Item], **request: Any) -> list[Item]:
    found: list[Item] = []
    token: str | None = None
    while True:
        given = {**request, "NextToken": token} if token else request
        page, token = read_paging(given, size=10).select(items, place)
        assert token is None or len(page) == given["MaxResults"]
        found += page
        if token is None:
            return found


def place(item: Item) -> Place:
    return item


@given(
    st.lists(st.tuples(st.integers(0, 3), st.text(max_size=3)), unique=True),
    st.integers(1, 4),
    st.sampled_from(["Ascending", "Descending"]),
)
def test_pages_of_any_size_have_every_item_once_in_order(items: list[Item], size: int, order: str) -> None:
    expected = sorted(items, reverse=order == "Descending")
    assert walk(items, MaxResults=size, SortOrder=order) == expected


def test_items_deleted_between_two_pages_do_not_shift_the_next_page() -> None:
    items = [(0, "a"), (0, "b"), (0, "c"), (0, "d")]
    page, token = read_paging({"MaxResults": 2}, size=10).select(items, place)
    rest, _ = read_paging({"NextToken": token}, size=10).select(items[2:], place)
    assert [*page, *rest] == items


def test_an_api_has_its_own_member_names_and_error() -> None:
    names = {"limit": "limit", "token": "nextToken", "code": "InvalidParameterException"}
    assert read_paging({"limit": 3}, size=10, **names).limit == 3  # type: ignore[arg-type]
    with pytest.raises(ServiceError, match="InvalidParameterException: Invalid nextToken"):
        read_paging({"nextToken": "elsewhere"}, size=10, **names)  # type: ignore[arg-type]
