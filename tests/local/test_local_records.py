"""Records of resources: kept whole, listed in pages that lose and repeat nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gtseg.local.errors import ServiceError
from gtseg.local.jobs.records import Record, Records, now
from gtseg.local.storage.store import Store


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    store = Store(tmp_path / "aws")
    yield Records(store, "training-job")
    store.close()


def add(records: Records, name: str, *, status: str = "InProgress", age: int = 0) -> None:
    records.add(Record(name, status, {"CreationTime": now() - timedelta(seconds=age)}))


def walk(records: Records, **request: Any) -> list[str]:
    names: list[str] = []
    token: str | None = None
    while True:
        page, token = records.page({**request, **({"NextToken": token} if token else {})})
        names += [record.name for record in page]
        if token is None:
            return names


def test_a_record_comes_back_with_its_times(records: Records) -> None:
    moment = now()
    answer = {"CreationTime": moment, "Transitions": [{"StartTime": moment}], "Name": "ä"}
    assert records.add(Record("one", "InProgress", answer, {"offset": 3}, "parent"))
    found = records.find("one")
    assert found is not None
    assert (found.answer, found.work, found.parent) == (answer, {"offset": 3}, "parent")
    assert not records.add(Record("one", "Failed", answer)), "a name is taken once"


def test_a_change_that_fails_changes_nothing(records: Records) -> None:
    add(records, "one")

    def fail_halfway() -> None:
        with records.change("one") as record:
            assert record is not None
            record.status = "Failed"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    found = records.find("one")
    assert found is not None
    assert found.status == "InProgress"


@pytest.mark.parametrize("sort", ["Name", "CreationTime", "Status"])
@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_pages_give_every_record_once_in_order(records: Records, sort: str, order: str) -> None:
    for number in range(7):
        add(records, f"job-{number}", status=("Completed", "Failed")[number % 2], age=number // 2)
    names = walk(records, SortBy=sort, SortOrder=order, MaxResults=2)
    assert sorted(names) == [f"job-{number}" for number in range(7)]
    backwards = walk(records, SortBy=sort, SortOrder={"Ascending": "Descending"}.get(order, "Ascending"))
    assert names == backwards[::-1]


def test_a_record_that_comes_between_two_pages_moves_nothing(records: Records) -> None:
    for name in "bcd":
        add(records, name)
    page, token = records.page({"SortBy": "Name", "MaxResults": 2})
    add(records, "a")
    rest, _ = records.page({"SortBy": "Name", "MaxResults": 2, "NextToken": token})
    assert [record.name for record in [*page, *rest]] == ["b", "c", "d"]


def test_filters_narrow_the_listing(records: Records) -> None:
    add(records, "turtles-1", status="Failed", age=100)
    add(records, "Turtles-2")
    add(records, "cats")
    assert walk(records, NameContains="turtles") == ["turtles-1", "Turtles-2"]
    assert walk(records, StatusEquals="Failed") == ["turtles-1"]
    assert walk(records, CreationTimeAfter=now() - timedelta(seconds=50)) == ["Turtles-2", "cats"]


@pytest.mark.parametrize("token", ["x", "bm9wZQ==", "WzFd"])
def test_a_token_from_elsewhere_is_refused(records: Records, token: str) -> None:
    with pytest.raises(ServiceError, match="Invalid NextToken"):
        records.page({"NextToken": token})
