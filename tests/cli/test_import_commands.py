"""gtseg import and gtseg export: real commands against a real server."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    name = f"import-{uuid.uuid4().hex[:8]}"
    (tmp_path / "gtseg.toml").write_text(f'[project]\nname = "{name}"\nbucket = "test-{name}"\n')
    return tmp_path


@pytest.fixture
def gtseg(project: Path, shared_aws: Any):
    def run(*arguments: object, **environ: str | None) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in {**shared_aws.environment, **environ}.items() if v is not None}
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "gtseg", *map(str, arguments)],
            cwd=project,
            env=env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return run


def write_pair(project: Path, name: str, mask: list[list[int]]) -> None:
    values = np.array(mask, np.uint8)
    for folder, image in (
        ("images", Image.new("RGB", values.shape[::-1], "teal")),
        ("masks", Image.fromarray(values)),
    ):
        (project / folder).mkdir(exist_ok=True)
        image.save(project / folder / f"{name}.png")


def test_imported_tiles_survive_a_round_trip_through_coco_exactly(project: Path, gtseg: Any) -> None:
    tiles = DATA / "tiles" / "robosat"
    done = gtseg(
        "import",
        "tiles",
        tiles / "images",
        tiles / "labels",
        "--config",
        tiles / "dataset-parking.toml",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 4
    assert gtseg("export", "coco", "coco").returncode == 0
    back = gtseg("import", "coco", "coco/images", "coco/annotations.json", "--no-upload", "--out", "back")
    assert back.returncode == 0, back.stderr
    masks = sorted((project / "back" / "masks").glob("*.png"))
    assert len(masks) == 4
    for path in masks:
        came_in = Image.open(project / "imports" / "tiles" / "masks" / path.name)
        assert (np.asarray(Image.open(path)) == np.asarray(came_in)).all()


def test_masks_without_a_color_table_are_shown_and_imported_after_confirmation_only(project: Path, gtseg: Any) -> None:
    write_pair(project, "a", [[0, 1], [2, 2]])
    asked = gtseg("import", "masks", "images", "masks", "--no-upload")
    assert asked.returncode == 2
    assert "class-2" in asked.stderr
    assert not (project / "imports" / "masks" / "import.json").exists()
    done = gtseg("import", "masks", "images", "masks", "--no-upload", "--labels", "cat,dog", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pixels"] == {"BACKGROUND": 1, "cat": 1, "dog": 2}


@pytest.mark.parametrize("document", [{"map": {"0": 5, "1": 9}}, {"map": {"5": 0, "9": 1}}])
def test_a_label_map_may_be_class_to_value_or_value_to_class(project: Path, gtseg: Any, document: dict) -> None:
    """SageMaker's label map is class -> stored value; the reverse is accepted too."""
    write_pair(project, "a", [[5, 9], [9, 9]])
    (project / "map.json").write_text(json.dumps(document))
    done = gtseg("import", "masks", "images", "masks", "--colors", "map.json", "--labels", "cat", "--no-upload")
    assert done.returncode == 0, done.stderr
    assert ("opposite direction" in done.stderr) == ("5" in document["map"])
    mask = Image.open(project / "imports" / "masks" / "masks" / "a.png")
    assert np.asarray(mask).tolist() == [[0, 1], [1, 1]]


def test_skipped_images_are_counted_and_end_with_exit_code_5(project: Path, gtseg: Any) -> None:
    write_pair(project, "a", [[0, 1], [1, 1]])
    write_pair(project, "b", [[0, 1], [1, 1]])
    Image.new("L", (9, 9)).save(project / "masks" / "b.png")
    done = gtseg("import", "masks", "images", "masks", "--yes", "--no-upload")
    assert done.returncode == 5
    assert "9x9 pixels, its image has 2x2" in done.stderr


def test_spacenet_chips_are_imported_from_a_bucket(project: Path, gtseg: Any, shared_aws: Any) -> None:
    bucket = f"scenes-{uuid.uuid4().hex[:8]}"
    s3 = shared_aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    for path in sorted((DATA / "geo" / "images").glob("*.tif")):
        s3.upload_file(str(path), bucket, f"scenes/{path.name}")
    done = gtseg(
        "import",
        "geo",
        f"s3://{bucket}/scenes/",
        DATA / "geo" / "features",
        "--chip",
        90,
        "--limit",
        2,
        "--no-upload",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 2


NOBODY = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_EC2_METADATA_DISABLED": "true"}
STRANGER = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "x" * 40}


@pytest.mark.parametrize("who", [NOBODY, STRANGER], ids=["nobody", "stranger"])
def test_scenes_of_a_public_bucket_are_read_unsigned_and_those_of_a_private_one_refused(
    project: Path, gtseg: Any, shared_aws: Any, who: dict[str, str | None]
) -> None:
    bucket = f"public-{uuid.uuid4().hex[:8]}"
    s3 = shared_aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    for folder in ("images", "features"):
        for path in sorted((DATA / "geo" / folder).iterdir()):
            s3.upload_file(str(path), bucket, f"{folder}/{path.name}")
    ask = ("import", "geo", f"s3://{bucket}/images/", f"s3://{bucket}/features/", "--chip", 90, "--no-upload")
    refused = gtseg(*ask, "--out", "closed", **who)
    assert refused.returncode == 4, refused.stderr
    assert "Traceback" not in refused.stderr
    public = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [public]}))
    done = gtseg(*ask, "--out", "unsigned", "--limit", 2, **who)
    assert done.returncode == 0, done.stderr
    signed = gtseg(*ask, "--out", "signed", "--limit", 2)
    assert signed.returncode == 0, signed.stderr
    masks = sorted((project / "unsigned/masks").glob("*.png"))
    assert masks
    for path in masks:
        assert path.read_bytes() == (project / "signed/masks" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import", "masks", "nowhere", "masks"), "nowhere: folder not found"),
        (("import", "geo", DATA / "geo" / "images", "--bands", "1,x"), "--bands 1,x"),
        (("import", "geo", DATA / "geo" / "images", "--bbox", "3,2,1,0"), "west < east"),
        (("import", "tiles", "--bbox", "0,0,1,1"), "--zoom"),
        (("import", "tiles"), "no tiles given"),
        (("export", "pascal", "out"), "must be one of coco, yolo, masks, cvat"),
        (("export", "coco", "out"), "no labels to export yet"),
        (("import", "masks", DATA, DATA, "--name", "no good"), "--name"),
    ],
)
def test_invalid_input_ends_with_one_message(gtseg: Any, arguments: tuple[object, ...], words: str) -> None:
    done = gtseg(*arguments)
    assert done.returncode in {2, 3}, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_tiles_of_a_slippy_map_are_imported_with_a_label_maker_config(project: Path, gtseg: Any) -> None:
    """With bounding box, zoom, classes and ratio of the config, and a local extract."""
    buffer = io.BytesIO()
    Image.new("RGB", (256, 256), "olive").save(buffer, "JPEG")

    class Tiles(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path.endswith("?t=secret") else 401)
            self.end_headers()
            self.wfile.write(buffer.getvalue())

        def log_message(self, *args: object) -> None:
            pass

    box = [0.01, 0.01, 0.69, 0.34]
    ring = [[0.1, 0.1], [0.2, 0.1], [0.2, 0.2], [0.1, 0.2], [0.1, 0.1]]
    feature = {
        "type": "Feature",
        "properties": {"building": "yes"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    (project / "osm.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with ThreadingHTTPServer(("127.0.0.1", 0), Tiles) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {
            "bounding_box": box,
            "zoom": 10,
            "background_ratio": 0,
            "classes": [{"name": "Building", "filter": ["has", "building"]}],
            "imagery": f"http://127.0.0.1:{server.server_address[1]}/{{z}}/{{x}}/{{y}}.jpg?t={{token}}",
        }
        (project / "config.json").write_text(json.dumps(config))
        arguments = (
            "import",
            "tiles",
            "--config",
            "config.json",
            "--features",
            "osm.geojson",
            "--no-upload",
            "--json",
        )
        sparse = gtseg(*arguments, "--token", "secret")
        more = gtseg(*arguments, "--token", "secret", "--background-ratio", 1, "--out", "more")
        refused = gtseg(*arguments, "--token", "wrong", "--out", "refused")
        server.shutdown()
    assert json.loads(sparse.stdout)["images"] == 1, sparse.stderr
    assert json.loads(more.stdout)["images"] == 2, more.stderr
    assert "check the token" in refused.stderr
    assert "secret" not in sparse.stderr + (project / "imports" / "tiles" / "import.json").read_text()


def test_an_import_records_its_source_and_diff_compares_two_imports(project: Path, gtseg: Any, shared_aws: Any) -> None:
    runs = {}
    for name, mask in (("one", [[0, 1], [1, 1]]), ("two", [[0, 1], [1, 0]])):
        write_pair(project, "a", mask)
        words = ("import", "masks", "images", "masks", "--labels", "cat", "--yes", "--out", f"in-{name}")
        done = gtseg(*words, "--run", name, *(["--repair"] if name == "two" else []))
        assert done.returncode == 0, done.stderr
        body = shared_aws.client("s3").get_object(Bucket=f"test-{project_name(project)}", Key=f"{name}/run.json")
        runs[name] = json.loads(body["Body"].read())["labeling_job"]["made_from"]
    assert runs["one"]["gtseg"]
    told = runs["one"]["settings"]["import"]
    assert told.items() >= {"kind": "masks", "images": "images", "masks": "masks", "repair": False}.items()
    assert told["classes"] == ["cat"]
    assert set(runs["one"]["sources"]) == {"inputs", "manifest", "manifest_etag"}
    assert runs["one"]["sources"]["inputs"] != runs["two"]["sources"]["inputs"]
    said = gtseg("diff", "one", "two").stdout
    assert "import.repair" in said
    assert "import.inputs" in said
    again = gtseg(
        "import", "masks", "images", "masks", "--labels", "cat", "--yes", "--out", "in-again", "--run", "same"
    )
    assert again.returncode == 0
    assert "import.inputs" not in gtseg("diff", "two", "same").stdout


def project_name(project: Path) -> str:
    return (project / "gtseg.toml").read_text().split('"')[1]


def test_an_export_has_the_splits_of_the_dataset(project: Path, gtseg: Any) -> None:
    for number in range(12):
        write_pair(project, f"p{number}", [[0, 1, 1], [1, 0, 255], [2, 2, number % 2]])
        Image.new("RGB", (3, 3), (20 * number, 0, 90)).save(project / "images" / f"p{number}.png")
    done = gtseg("import", "masks", "images", "masks", "--labels", "cat,dog", "--yes")
    assert done.returncode == 0, done.stderr
    assert gtseg("dataset").returncode in {0, 5}
    out = gtseg("export", "yolo", "out-yolo", "--json")
    assert out.returncode == 5, out.stderr
    assert "12 pixels: void, written as background: YOLO has no void" in out.stderr
    split = json.loads(out.stdout)["split"]
    assert sum(split.values()) == 12
    assert set(split) > {"train", "validation"}
    for part, count in split.items():
        assert len(list((project / "out-yolo/labels" / part).iterdir())) == count
    assert "val: images/validation" in (project / "out-yolo/data.yaml").read_text()
    assert gtseg("export", "cvat", "out-cvat").returncode == 0
    assert (project / "out-cvat/annotations.xml").read_text().count('subset="train"') == split["train"]


def test_an_import_without_labels_or_with_equal_ones_keeps_the_runs_labels(project: Path, gtseg: Any) -> None:
    write_pair(project, "a", [[0, 1], [1, 1]])
    assert gtseg("import", "masks", "images", "masks", "--labels", "cat", "--yes").returncode == 0
    before = gtseg("status", "--json").stdout
    scenes = ("import", "geo", DATA / "geo" / "images", "--chip", 90, "--out", "scenes")
    done = gtseg(*scenes)
    assert done.returncode == 0, done.stderr
    assert "the run keeps its labels" in done.stderr
    assert gtseg("status", "--json").stdout == before


def test_an_import_with_labels_for_less_than_half_needs_yes(project: Path, gtseg: Any) -> None:
    for name in ("a", "b", "c"):
        write_pair(project, name, [[0, 1], [1, 1]])
    for name in ("b", "c"):
        (project / "masks" / f"{name}.png").unlink()
    asked = ("import", "masks", "images", "masks", "--labels", "cat", "--yes", "--out", "some")
    (project / "colors.json").write_text('{"background": 0, "cat": 1}')
    refused = gtseg("import", "masks", "images", "masks", "--colors", "colors.json", "--out", "none")
    assert refused.returncode == 1
    assert "1 of 3 images arrived; the run is unchanged" in refused.stderr
    assert gtseg(*asked).returncode == 5


def test_similar_class_names_need_a_decision(project: Path, gtseg: Any) -> None:
    write_pair(project, "a", [[0, 1], [2, 2]])
    (project / "colors.json").write_text('{"background": 0, "Car": 1, "car": 2}')
    asked = ("import", "masks", "images", "masks", "--colors", "colors.json", "--no-upload", "--json")
    refused = gtseg(*asked)
    assert refused.returncode == 2
    assert "--merge-labels" in refused.stderr
    merged = gtseg(*asked, "--merge-labels", "--out", "merged")
    assert json.loads(merged.stdout)["pixels"] == {"BACKGROUND": 1, "Car": 3}
    kept = gtseg(*asked, "--keep-labels", "--out", "kept")
    assert json.loads(kept.stdout)["pixels"] == {"BACKGROUND": 1, "Car": 1, "car": 2}
