import io
import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shapely.geometry import LineString, box

from gtseg.errors import ImageError, ManifestError, SettingsError
from gtseg.imports.imagery import (
    BoxTask,
    TileRequest,
    count_processes,
    fetch_tile,
    import_bbox,
    tile_url,
)
from gtseg.imports.slippy import Tile

TOKEN = "pk.secret"


class TileServer(ThreadingHTTPServer):
    """Tile server on the loopback interface that can throttle, lack tiles, and truncate bodies."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: Counter[str] = Counter()
        self.throttled, self.missing, self.short = set(), set(), set()
        buffer = io.BytesIO()
        Image.new("RGB", (256, 256), "olive").save(buffer, "WEBP")
        self.body = buffer.getvalue()

    @property
    def template(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{{z}}/{{x}}/{{y}}.webp?access_token={{token}}"


class Handler(BaseHTTPRequestHandler):
    server: TileServer

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        name = path.strip("/").removesuffix(".webp")
        self.server.requests[name] += 1
        first = self.server.requests[name] == 1
        if query != f"access_token={TOKEN}":
            self.send_error(401)
        elif name in self.server.missing:
            self.send_error(404)
        elif name in self.server.throttled and first:
            self.send_response(429)
            self.send_header("Retry-After", "0")
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.body)))
            self.end_headers()
            self.wfile.write(self.server.body[: 20 if name in self.server.short and first else None])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[TileServer]:
    with TileServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    west, south, east, north = Tile(10, 512, 511).bounds()
    x, y, dx, dy = west, south, (east - west) / 4, (north - south) / 4
    ring = [
        [x + dx, y + dy],
        [x + 2 * dx, y + dy],
        [x + 2 * dx, y + 2 * dy],
        [x + dx, y + 2 * dy],
        [x + dx, y + dy],
    ]
    feature = {
        "type": "Feature",
        "properties": {"building": "yes"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    (tmp_path / "houses.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return tmp_path / "houses.geojson"


def request(server: TileServer, **more: object) -> TileRequest:
    west, south, east, north = Tile(10, 512, 511).bounds()
    box = (west - 0.4, south - 0.4, east + 0.4, north + 0.4)
    rules = ({"name": "Building", "filter": ["has", "building"]},)
    return replace(TileRequest(box, 10, server.template, rules, TOKEN), **more)


def test_the_tiles_of_a_box_are_imported_with_masks(server: TileServer, houses: Path, tmp_path: Path) -> None:
    report = import_bbox(request(server, background_ratio=2), houses, tmp_path / "out", name="box")
    assert report.images == 3
    mask = np.asarray(Image.open(tmp_path / "out/masks/512-511-10.png"))
    assert mask[128:192, 64:128].all()
    assert mask.sum() == 64 * 64


def test_a_repeated_import_downloads_no_tile_again(server: TileServer, houses: Path, tmp_path: Path) -> None:
    import_bbox(request(server), houses, tmp_path / "out", name="box")
    import_bbox(request(server), houses, tmp_path / "out", name="box")
    assert set(server.requests.values()) == {1}


def test_throttled_and_truncated_responses_are_retried(server: TileServer, tmp_path: Path) -> None:
    server.throttled, server.short = {"3/1/1"}, {"3/1/2"}
    waits: list[float] = []
    for tile in (Tile(3, 1, 1), Tile(3, 1, 2)):
        path = fetch_tile(request(server), tile, tmp_path, sleep=waits.append)
        assert path is not None
        assert path.read_bytes() == server.body
    assert server.requests == {"3/1/1": 2, "3/1/2": 2}
    assert waits[0] == 0.0


def test_a_tile_that_the_server_lacks_is_skipped_and_requested_once(
    server: TileServer, houses: Path, tmp_path: Path
) -> None:
    server.missing = {"10/512/511"}
    report = import_bbox(request(server, background_ratio=0), houses, tmp_path, name="box")
    assert [s.reason for s in report.skipped] == ["the imagery server has no such tile"]
    assert server.requests["10/512/511"] == 1


def test_a_wrong_token_is_reported_and_no_token_is_written(server: TileServer, houses: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="check the token"):
        fetch_tile(request(server, token="pk.wrong"), Tile(3, 1, 1), tmp_path / "a")
    import_bbox(request(server), houses, tmp_path / "out", name="box")
    texts = [p.read_text() for p in (tmp_path / "out").glob("*.json*")] + [
        (tmp_path / "out/output.manifest").read_text()
    ]
    assert not any(TOKEN in text for text in texts)


def test_several_processes_are_used_for_many_tiles_with_simple_shapes(tmp_path: Path) -> None:
    few = TileRequest((0, 0, 1, 1), 10, "", ())
    coast = LineString(np.random.default_rng(0).random((20_000, 2)))

    def tasks(count: int, *shapes: tuple[object, int]) -> list[BoxTask]:
        return [BoxTask(tmp_path, few, Tile(10, n % 1024, n // 1024), shapes, 1) for n in range(count)]

    assert [count_processes(tasks(n), 8) for n in (0, 40, 499, 500, 1500, 90_000)] == [1, 1, 1, 2, 6, 8]
    assert count_processes(tasks(1500, (box(0, 0, 1, 1), 1)), 8) == 6
    assert count_processes(tasks(1500, (coast, 1)), 8) == 1


def test_masks_do_not_depend_on_the_number_of_processes(server: TileServer, houses: Path, tmp_path: Path) -> None:
    one = import_bbox(request(server, background_ratio=8), houses, tmp_path / "one", name="box")
    shutil.copytree(tmp_path / "one/cache", tmp_path / "two/cache")
    two = import_bbox(request(server, background_ratio=8), houses, tmp_path / "two", name="box", workers=2)
    assert (one.images, one.pixels) == (two.images, two.pixels)
    for path in (tmp_path / "one/masks").glob("*.png"):
        assert (tmp_path / "two/masks" / path.name).read_bytes() == path.read_bytes()


def test_negative_y_in_a_url_counts_rows_from_the_south() -> None:
    assert tile_url("http://x/{z}/{x}/{-y}", Tile(2, 1, 0)) == "http://x/2/1/3"


def test_a_url_without_placeholders_is_rejected() -> None:
    with pytest.raises(SettingsError, match="imagery"):
        tile_url("http://example.com/{z}/{x}.png", Tile(1, 0, 0))


def test_a_box_with_too_many_tiles_is_rejected_before_a_download(
    server: TileServer, houses: Path, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match="smaller box"):
        import_bbox(request(server, bbox=(-100, -60, 100, 60), zoom=18), houses, tmp_path, name="box")
    assert not server.requests


@pytest.mark.parametrize("body", [b"<html>quota exceeded</html>", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0"])
def test_a_response_that_is_no_image_is_an_error_and_not_cached(
    server: TileServer, tmp_path: Path, body: bytes
) -> None:
    good, server.body = server.body, body
    with pytest.raises(ImageError, match=r"the imagery server returned .* instead of JPEG, PNG or WebP"):
        fetch_tile(request(server), Tile(3, 1, 1), tmp_path)
    server.body = good
    path = fetch_tile(request(server), Tile(3, 1, 1), tmp_path)
    assert path is not None
    assert path.read_bytes() == good


def test_a_tile_of_more_than_32_mb_is_rejected(server: TileServer, tmp_path: Path) -> None:
    server.body = server.body + bytes(33_000_000)
    with pytest.raises(ImageError, match="returned more than 32,000,000 bytes"):
        fetch_tile(request(server), Tile(3, 1, 1), tmp_path)


@pytest.mark.parametrize(
    "start", ["file:///etc", "s3://tiles", "S3://tiles", "s3:/tiles", "tiles", "arn:aws:s3:::tiles"]
)
def test_a_url_that_is_not_http_is_rejected(start: str) -> None:
    with pytest.raises(SettingsError, match=r"imagery .*: must be an http or https URL"):
        tile_url(f"{start}/{{z}}/{{x}}/{{y}}", Tile(1, 0, 0))


def test_an_invalid_url_ends_the_import_before_anything_is_read(server: TileServer, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"imagery s3:/\.\.\.: must be an http or https URL"):
        import_bbox(request(server, imagery="s3:/b/{z}/{x}/{y}"), tmp_path / "none", tmp_path / "out", name="box")
    assert not (tmp_path / "out").exists()


def test_features_are_counted_and_a_box_without_features_is_an_error(
    server: TileServer, houses: Path, tmp_path: Path
) -> None:
    account = import_bbox(request(server), houses, tmp_path / "out", name="box").account
    assert (account.flow("feature").inputs, account.flow("feature").outputs) == (1, 1)
    with pytest.raises(ManifestError, match="no feature overlaps"):
        import_bbox(request(server, bbox=(20, 20, 20.1, 20.1)), houses, tmp_path / "far", name="box")
