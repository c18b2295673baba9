"""Labels of a local manifest, opened for export."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dataset_bench import CAT_DOG, LABEL, color_map, drawing, ground_truth_png, jpeg

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.errors import SettingsError
from gtseg.pipeline.commands.exports import Export, Exported, Refused, open_export
from gtseg.pipeline.run import Run

RUN = Run(name="r", root="s3://pets/r/", account="1" * 12, region="us-east-1", created=datetime.now(UTC))


def write_manifest(folder: Path, *images: str) -> Path:
    (folder / "mask.png").write_bytes(ground_truth_png(drawing(1), list(CAT_DOG.values())))
    metadata = {"internal-color-map": color_map(CAT_DOG), "type": "groundtruth/semantic-segmentation"}
    lines = [{"source-ref": image, LABEL: "mask.png", f"{LABEL}-metadata": metadata} for image in images]
    (folder / "output.manifest").write_text("\n".join(map(json.dumps, lines)))
    return folder / "output.manifest"


def opened(manifest: Path | str, monkeypatch: pytest.MonkeyPatch) -> Export:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return open_export(RUN, S3(Clients()), manifest=str(manifest))


def test_a_mistyped_uri_is_refused_with_its_line_and_reads_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistyped = ("S3://pets/a.jpg", "s3:/pets/a.jpg", "s3://b/a.jpg", "gs://pets/a.jpg")
    monkeypatch.chdir(tmp_path)
    for reference in mistyped:
        (tmp_path / reference).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / reference).write_bytes(jpeg(1))
    found = list(opened(write_manifest(tmp_path, "a.jpg", *mistyped), monkeypatch).objects())
    assert isinstance(found[0], Exported)
    assert found[0].image == f"{tmp_path}/a.jpg"
    for number, (item, reference) in enumerate(zip(found[1:], mistyped, strict=True), start=2):
        assert isinstance(item, Refused)
        assert item.image == reference
        assert "is not an S3 URI" in item.reason
        assert item.reason.endswith(f"(line {number})")


def test_the_web_address_of_an_s3_object_is_read_from_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = write_manifest(tmp_path, "https://pets.s3.amazonaws.com/a%20b.jpg", "arn:aws:s3:::pets/c.jpg")
    images = [item.image for item in opened(manifest, monkeypatch).objects()]
    assert images == ["s3://pets/a b.jpg", "s3://pets/c.jpg"]


@pytest.mark.parametrize("manifest", ["S3://pets/m", "s3:/pets/m", "s3://b/m", "s3://pets", "arn:aws:s3:::pets/m"])
def test_a_mistyped_uri_of_the_manifest_is_refused(manifest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=f"^--manifest {manifest}: "):
        opened(manifest, monkeypatch)
