"""Listings, compared with a naive algorithm over a sorted list of keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gtseg.local.s3.listing import list_page
from gtseg.local.storage.folder import FolderObjects

KEYS = st.lists(st.text(alphabet="ab/é\U0001f422\x7f.", min_size=1, max_size=6), max_size=25, unique=True)
PREFIXES = st.text(alphabet="ab/é", max_size=2)


def list_naively(keys: list[str], prefix: bytes, delimiter: bytes, after: bytes) -> list[bytes]:
    found: list[bytes] = []
    for key in sorted(key.encode() for key in keys):
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = key if cut < 0 else key[: cut + len(delimiter)]
        is_listed = cut >= 0 and after.startswith(entry) and after == entry
        if key > after and not is_listed and entry not in found:
            found.append(entry)
    return found


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> FolderObjects:
    return FolderObjects(tmp_path_factory.mktemp("objects"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=KEYS, prefix=PREFIXES, delimiter=st.sampled_from(["", "/", "a/"]), limit=st.integers(1, 7))
def test_all_pages_together_equal_the_naive_listing(
    objects: FolderObjects, keys: list[str], prefix: str, delimiter: str, limit: int
) -> None:
    bucket = f"b{objects.index.read_meta('bucket')}"
    objects.index.write_meta("bucket", objects.index.read_meta("bucket") + 1)
    objects.create_bucket(bucket)
    for key in keys:
        objects.put(bucket, key, b"")
    listed: list[bytes] = []
    after = b""
    while True:
        page = list_page(
            objects.index,
            bucket,
            prefix=prefix.encode(),
            delimiter=delimiter.encode(),
            after=after,
            limit=limit,
        )
        listed += sorted([row[0] for row in page.rows] + page.prefixes)
        if not page.truncated:
            break
        assert len(page.rows) + len(page.prefixes) == limit
        after = page.last
    assert listed == list_naively(keys, prefix.encode(), delimiter.encode(), b"")


def test_a_common_prefix_of_many_keys_is_skipped_with_few_queries(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    objects.create_bucket("photos")
    for number in range(500):
        objects.put("photos", f"{'ab'[number % 2]}/{number}", b"")
    reads = []
    read_page = objects.index.read_page
    objects.index.read_page = lambda *args, **kwargs: reads.append(1) or read_page(*args, **kwargs)  # type: ignore[method-assign]
    page = list_page(objects.index, "photos", prefix=b"", delimiter=b"/", after=b"", limit=100)
    assert page.prefixes == [b"a/", b"b/"]
    assert len(reads) == 3
