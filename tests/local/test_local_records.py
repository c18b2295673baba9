"""Records of resources: transactions, pages, filters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gtseg.local.errors import ServiceError
from gtseg.local.hosting.work import EndpointWork
from gtseg.local.jobs.records import NoWork, Record, Records, Work, now
from gtseg.local.storage.store import Store
from gtseg.local.training.work import TrainingWork
from gtseg.local.transform.work import TransformWork
from gtseg.local.tuning.work import TuningWork


class Progress(Work):
    offset: int = 0
    since: datetime | None = None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "aws")
    yield made
    made.close()


@pytest.fixture
def records(store: Store) -> Records[NoWork]:
    return Records(store, "training-job", NoWork)


def add(records: Records[NoWork], name: str, *, status: str = "InProgress", age: int = 0) -> None:
    records.add(Record(name, status, {"CreationTime": now() - timedelta(seconds=age)}, NoWork()))


def walk(records: Records[NoWork], **request: Any) -> list[str]:
    names: list[str] = []
    token: str | None = None
    while True:
        page, token = records.page({**request, **({"NextToken": token} if token else {})})
        names += [record.name for record in page]
        if token is None:
            return names


def test_a_record_is_stored_with_its_times(store: Store) -> None:
    records, moment = Records(store, "training-job", Progress), now()
    answer = {"CreationTime": moment, "Transitions": [{"StartTime": moment}], "Name": "ä"}
    assert records.add(Record("one", "InProgress", answer, Progress(3, moment), "parent"))
    found = records.find("one")
    assert found is not None
    assert (found.answer, found.work, found.parent) == (answer, Progress(3, moment), "parent")
    assert not records.add(Record("one", "Failed", answer, Progress())), "a name is taken once"


def test_a_failed_change_is_rolled_back(records: Records[NoWork]) -> None:
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
def test_pages_have_every_record_once_in_order(records: Records[NoWork], sort: str, order: str) -> None:
    for number in range(7):
        add(records, f"job-{number}", status=("Completed", "Failed")[number % 2], age=number // 2)
    names = walk(records, SortBy=sort, SortOrder=order, MaxResults=2)
    assert sorted(names) == [f"job-{number}" for number in range(7)]
    backwards = walk(records, SortBy=sort, SortOrder={"Ascending": "Descending"}.get(order, "Ascending"))
    assert names == backwards[::-1]


def test_a_record_added_between_two_pages_does_not_shift_the_next_page(records: Records[NoWork]) -> None:
    for name in "bcd":
        add(records, name)
    page, token = records.page({"SortBy": "Name", "MaxResults": 2})
    add(records, "a")
    rest, _ = records.page({"SortBy": "Name", "MaxResults": 2, "NextToken": token})
    assert [record.name for record in [*page, *rest]] == ["b", "c", "d"]


def test_filters_narrow_the_listing(records: Records[NoWork]) -> None:
    add(records, "turtles-1", status="Failed", age=100)
    add(records, "Turtles-2")
    add(records, "cats")
    assert walk(records, NameContains="turtles") == ["turtles-1", "Turtles-2"]
    assert walk(records, StatusEquals="Failed") == ["turtles-1"]
    assert walk(records, CreationTimeAfter=now() - timedelta(seconds=50)) == ["Turtles-2", "cats"]


@pytest.mark.parametrize("token", ["x", "bm9wZQ==", "WzFd"])
def test_an_invalid_pagination_token_is_refused(records: Records[NoWork], token: str) -> None:
    with pytest.raises(ServiceError, match="Invalid NextToken"):
        records.page({"NextToken": token})


def test_work_stored_by_version_0_1_0_is_read(store: Store) -> None:
    rows = [
        ("training-job", '{"stage": "ended", "ran": 0.0, "launched": 1.5, "stream": "s", "offset": 13992}'),
        ("transform-job", '{"stage": "queued", "container": {"Image": "i"}, "role": "r"}'),
        ("hyper-parameter-tuning-job", '{"request": {"Tags": []}}'),
        ("model", "{}"),
        (
            "endpoint",
            '{"generation": 1, "target": {"config": "c", "variants": [{"name": "v", "weight": 1.0, "image": "i",'
            ' "data": "s3://b/k", "environment": {}, "patience": 600}]}}',
        ),
    ]
    works: list[type[Work]] = [TrainingWork, TransformWork, TuningWork, NoWork, EndpointWork]
    for (kind, kept), work in zip(rows, works, strict=True):
        records = Records(store, kind, work)
        with store.write() as connection:
            connection.execute("INSERT INTO records VALUES (?, 'one', '', 'InProgress', 0, 0, '{}', ?)", (kind, kept))
        found = records.find("one")
        assert found is not None
        kept_now = {name: msgspec.to_builtins(getattr(found.work, name)) for name in found.work.__struct_fields__}
        assert {name: kept_now[name] for name in json.loads(kept)} == json.loads(kept)
