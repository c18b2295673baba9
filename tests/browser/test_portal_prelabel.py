"""Masks predicted by a trained and deployed model are corrected in a browser and merged into the next dataset."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import expect
from portal_helpers import Pointer, PortalJob, ask, begin, enter
from test_portal_whole_job import disc, leave_empty_handed, submit, submit_and_await_next

SIZE = (160, 120)


class Project:
    """A folder with gtseg.toml, and the gtseg commands run in it."""

    def __init__(self, folder: Path, aws: Any, name: str, **tables: str) -> None:
        self.folder, self.aws, self.name = folder, aws, name
        folder.mkdir()
        text = f'[project]\nname = "{name}"\nbucket = "{name}-bucket"\ncreate_bucket = true\n'
        text += "".join(f"[{table.replace('__', '.')}]\n{body}\n" for table, body in tables.items())
        (folder / "gtseg.toml").write_text(text)

    def gtseg(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gtseg", *arguments],
            cwd=self.folder,
            env={**self.aws.environment, "OMP_NUM_THREADS": "1", "GTSEG_LOCAL_DATA": os.devnull},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def read(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()  # type: ignore[no-any-return]


def draw(seed: int) -> tuple[Image.Image, np.ndarray]:
    """A bright disc on a dark background, and its mask."""
    random = np.random.default_rng(seed)
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    disc(mask, *random.uniform((50, 40), (110, 80)), random.uniform(22, 34), value=1)
    pixels = np.where(mask[..., None] == 1, (230, 190, 60), (30, 60, 50))
    return Image.fromarray((pixels + random.integers(0, 12, pixels.shape)).astype(np.uint8)), mask


def deploy_model(folder: Path, aws: Any) -> str:
    """Train a model of discs and deploy it; return the endpoint's name."""
    project = Project(folder, aws, "teacher", train__hyperparameters="epochs = 30\nmini_batch_size = 4")
    for seed in range(16):
        image, mask = draw(seed)
        for part, picture, kind in (("images", image, "jpg"), ("masks", Image.fromarray(mask), "png")):
            (folder / part).mkdir(exist_ok=True)
            picture.save(folder / part / f"{seed:02}.{kind}")
    project.gtseg("import", "masks", "images", "masks", "--labels", "disc", "--indices", "--yes")
    project.gtseg("dataset", "--yes")
    project.gtseg("train", "--yes", "--no-logs")
    return str(json.loads(project.gtseg("deploy", "--yes", "--json"))["name"])


def test_predicted_masks_are_corrected_on_the_page_and_merged_into_the_dataset(
    tmp_path: Path, start_local_aws: Any, open_page: Any
) -> None:
    aws = start_local_aws(options={"train_seconds": 60})
    endpoint = deploy_model(tmp_path / "teacher", aws)
    pupil = Project(tmp_path / "pupil", aws, "pupil", images='source = "photos"', labeling='labels = ["disc"]')
    (pupil.folder / "photos").mkdir()
    truth = {}
    for seed in (100, 101):
        image, truth[f"{seed}.png"] = draw(seed)
        image.save(pupil.folder / "photos" / f"{seed}.png")
    job = json.loads(pupil.gtseg("label", "--prelabel", endpoint, "--yes", "--json"))
    predicted = {}
    for line in pupil.read(job["input_manifest"]).decode().splitlines():
        entry = json.loads(line)
        png = Image.open(io.BytesIO(pupil.read(entry["prelabel-ref"])))
        predicted[entry["source-ref"].rpartition("/")[2]] = np.array(png)
    overlaps = [(predicted[name] & mask).sum() / (predicted[name] | mask).sum() for name, mask in truth.items()]
    assert min(overlaps) > 0.5, overlaps  # it has learned something: what follows is no empty mask

    made = ask(aws, "POST", "/_portal/api/workers", {"name": "Ada", "team": "gtseg"})
    page = open_page()
    enter(page, f"{aws.url}/_portal/signin#{made['token']}")
    begin(page)
    share = page.get_by_role("button", name="disc").locator(".share")
    expect(share).not_to_have_text("0%")
    submit_and_await_next(page)  # the first is right as it is
    page.keyboard.press("b")
    Pointer(page, *SIZE).drag((10.3, 10.4), (10.3, 10.4))
    submit(page)
    leave_empty_handed(page)
    PortalJob(aws, job["name"]).await_status()

    pupil.gtseg("watch")
    pupil.gtseg("dataset", "--yes")
    run = json.loads(pupil.read("s3://pupil-bucket/pupil/run.json"))
    manifest = pupil.read(run["labeling_job"]["output_manifest"]).decode().splitlines()
    found, statuses = {}, []
    for line in manifest:
        entry = json.loads(line)
        name = entry["source-ref"].rpartition("/")[2]
        found[name] = np.array(Image.open(io.BytesIO(pupil.read(entry[job["label_attribute"]]))))
        statuses.append(entry[f"{job['label_attribute']}-metadata"]["adjustment-status"])
    assert statuses == ["unadjusted", "adjusted"]
    disc(predicted["101.png"], 10.3, 10.4, 2, value=1)
    assert all(np.array_equal(found[name], predicted[name]) for name in truth)
    records = [json.loads(line) for line in pupil.read("s3://pupil-bucket/pupil/objects.jsonl").splitlines()]
    assert [record["status"] for record in records] == ["accepted", "accepted"]
    for record in records:
        annotation = Image.open(io.BytesIO(pupil.read(f"{run['dataset']['channels']}{record['annotation']}")))
        assert np.array_equal(np.array(annotation), found[record["image"].rpartition("/")[2]])
