"""The library `import gtseg`: import cost, results, tables, arrays, images."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from labeling_project import point_at
from PIL import Image
from trained import CLASSES, Trained

import gtseg
from gtseg.aws.clients import Clients
from gtseg.errors import GtsegError, ManifestError, MaskError, SettingsError, StageError
from gtseg.library import tables
from gtseg.library.figures import Picture

DATA = Path(__file__).resolve().parents[1] / "data"
HEAVY = "{'boto3', 'botocore', 'numpy', 'PIL', 'pydantic', 'torch', 'pandas', 'typer'}"


@pytest.fixture(scope="module")
def clients(shared_aws: Any) -> Iterator[Clients]:
    with pytest.MonkeyPatch.context() as patch:
        point_at(shared_aws, patch)
        yield Clients()


@pytest.fixture(scope="module")
def project(clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    made = Trained(tmp_path_factory.mktemp("library"), clients, f"l{uuid.uuid4().hex[:8]}")
    made.give_dataset()
    return made


@pytest.fixture
def run(project: Trained) -> Any:
    _ = project.settings
    return gtseg.Project.open(project.folder / "gtseg.toml").run()


def test_importing_gtseg_imports_no_heavy_packages() -> None:
    code = (
        f"import sys, gtseg; assert not {HEAVY} & sys.modules.keys(), sys.modules.keys(); print(gtseg.Project.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "Project"), done.stderr


def test_the_library_has_exactly_the_documented_names() -> None:
    assert all(getattr(gtseg, name) is not None for name in gtseg.__all__)
    assert set(gtseg.__all__) <= set(dir(gtseg))
    with pytest.raises(AttributeError, match="no attribute 'projekt'"):
        _ = gtseg.projekt


# ---- read_manifest -------------------------------------------------------------------------------------------------


@pytest.fixture
def pcb() -> gtseg.Manifest:
    """Return the manifest of a real job whose mask was renamed."""
    folder = "s3://pcbtest22/label/S10-label3/annotations/consolidated-annotation/output/"
    moved = {f"{folder}0_2022-09-09T17:25:31.918770.png": str(DATA / "pcb-3-classes" / "mask.png")}
    return gtseg.read_manifest(DATA / "pcb-3-classes" / "output.manifest", rewrite=moved)


def test_a_manifest_has_its_label_classes_and_masks(pcb: gtseg.Manifest) -> None:
    assert (pcb.label_attribute, len(pcb)) == ("S10-label3-ref", 1)
    assert pcb.classes == ("BACKGROUND", "IC", "resistor1", "resistor2")
    mask = pcb[0].mask
    assert (mask.dtype, mask.ndim, set(np.unique(mask)) <= {0, 1, 2, 3}) == (np.uint8, 2, True)
    with Image.open(DATA / "pcb-3-classes" / "mask.png") as stored:
        assert np.array_equal(mask, np.asarray(stored))


def test_a_rewrite_that_applies_to_nothing_is_named() -> None:
    with pytest.warns(
        UserWarning, match=r"^the rewrite of s3://moved/ to s3://new/ did not apply to any image or mask"
    ):
        gtseg.read_manifest(DATA / "pcb-3-classes" / "output.manifest", rewrite={"s3://moved/": "s3://new/"})


def test_a_manifests_table_and_html_omit_unreadable_images(pcb: gtseg.Manifest, clients: Clients) -> None:
    assert list(pcb.table()["status"]) == ["labeled"]
    assert "resistor2" in pcb._repr_html_()
    with pytest.raises(GtsegError, match="pcbtest22"):
        _ = pcb[0].image


def test_a_manifest_counts_failed_and_unlabeled_lines(tmp_path: Path) -> None:
    good = (DATA / "pcb-3-classes" / "output.manifest").read_text().strip()
    failed = (
        '{"source-ref": "b.jpg", "S10-label3-ref-metadata": {"failure-reason": "no worker", "type": '
        '"groundtruth/semantic-segmentation"}}'
    )
    (tmp_path / "output.manifest").write_text("\n".join([good, failed, '{"source-ref": "c.jpg"}']))
    found = gtseg.read_manifest(tmp_path / "output.manifest")
    assert [image.status for image in found] == ["labeled", "failed", "unlabeled"]
    assert [image.number for image in found.labeled] == [1]
    with pytest.raises(GtsegError, match=r"line 2.*no worker"):
        _ = found[1].mask


def test_a_file_that_is_not_a_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.manifest").write_text('{"source-ref": "a.jpg"}')
    with pytest.raises(SettingsError, match="no semantic segmentation label"):
        gtseg.read_manifest(tmp_path / "x.manifest")
    with pytest.raises(GtsegError, match=r"nowhere\.manifest cannot be read"):
        gtseg.read_manifest(tmp_path / "nowhere.manifest")


MISTYPED = ("S3://bucket/x", "s3:/bucket/x", "s3://b/x", "https://bucket.s3.amazonaws.com/x", Path("s3://bucket/x"))


@pytest.mark.parametrize("place", [*MISTYPED, "s3://bucket"])
def test_a_mistyped_uri_of_a_manifest_is_refused_before_any_request(place: str | Path) -> None:
    with pytest.raises(SettingsError, match=f"^manifest {place}: .*write s3://"):
        gtseg.read_manifest(place)
    with pytest.raises(SettingsError, match=r"^rewrite 's3://old/': S3://new/: .*write s3://new/"):
        gtseg.read_manifest("x.manifest", rewrite={"s3://old/": "S3://new/"})


@pytest.mark.parametrize("reference", MISTYPED[:3])
def test_a_mistyped_uri_in_a_manifest_is_named_with_its_line_on_access(tmp_path: Path, reference: str) -> None:
    line = (DATA / "pcb-3-classes" / "output.manifest").read_text().strip()
    entry = json.loads(line)
    changed = json.dumps({**entry, "source-ref": reference, "S10-label3-ref": reference})
    (tmp_path / "output.manifest").write_text(f"{line}\n{changed}\n")
    found = gtseg.read_manifest(tmp_path / "output.manifest")
    for part in ("image", "mask"):
        with pytest.raises(ManifestError, match=f"^line 2: '{reference}' is not an S3 URI"):
            getattr(found[1], part)


@pytest.mark.parametrize("place", MISTYPED)
def test_folders_files_and_images_refuse_mistyped_uris(
    run: Any, tmp_path: Path, place: str | Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    calls = {
        "predictions": lambda: gtseg.evaluate(place, tmp_path),
        "truth": lambda: gtseg.evaluate(tmp_path, place),
        "images": lambda: run.predict([tmp_path, place]),
        "output": lambda: run.predict(tmp_path, place),
        "--manifest": lambda: run.dataset(manifest=str(place)),
        "settings file": lambda: gtseg.Project.open(place),
        "path": lambda: Picture(Image.new("RGB", (2, 2))).save(place),
    }
    for name, call in calls.items():
        with pytest.raises(SettingsError, match=rf"^{name} {place}: |^{name} {Path(place)}: "):
            call()
    assert list(tmp_path.iterdir()) == []


def test_an_arn_instead_of_a_jobs_name_is_refused(run: Any) -> None:
    arn = "arn:aws:sagemaker:us-east-1:111122223333:labeling-job/field-1"
    with pytest.raises(SettingsError, match=f"^--job {arn}: must be a name, not an ARN: write field-1$"):
        run.dataset(job=arn)


# ---- evaluate --------------------------------------------------------------------------------------------------------

TRUTH = [np.array([[0, 0, 1], [1, 1, 255]], np.uint8)]
PREDICTED = [np.array([[0, 1, 1], [1, 0, 0]], np.uint8)]


def test_arrays_are_scored_without_void() -> None:
    scores = gtseg.evaluate(PREDICTED, TRUTH, labels=["cat"])
    assert scores.confusion.tolist() == [[1, 1], [1, 2]]
    assert scores.pixel_accuracy == pytest.approx(3 / 5)
    assert scores.miou == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert list(scores.table()["class"]) == ["BACKGROUND", "cat"]


def test_folders_are_scored_like_arrays(tmp_path: Path, clients: Clients) -> None:
    for folder, masks in (("predicted", PREDICTED), ("true", TRUTH)):
        (tmp_path / folder).mkdir()
        Image.fromarray(masks[0]).save(tmp_path / folder / "a.png")
    scores = gtseg.evaluate(tmp_path / "predicted", tmp_path / "true", labels=["cat"])
    assert scores.confusion.tolist() == gtseg.evaluate(PREDICTED, TRUTH, labels=["cat"]).confusion.tolist()


@pytest.mark.parametrize(
    ("predictions", "truth", "labels", "words"),
    [
        ([], [], [], "at least one"),
        (PREDICTED, TRUTH * 2, [], "must be equal"),
        ("folder", TRUTH, [], "both"),
        ([np.full((2, 3), 7)], TRUTH, ["cat"], "value 7, but 1 labels"),
    ],
)
def test_input_that_cannot_be_scored_is_refused(predictions: Any, truth: Any, labels: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        gtseg.evaluate(predictions, truth, labels=labels)


def test_masks_of_different_sizes_are_named() -> None:
    with pytest.raises(MaskError, match="mask 0"):
        gtseg.evaluate([np.zeros((2, 2), np.uint8)], TRUTH)


def test_figures_are_complete_svg_documents(tmp_path: Path) -> None:
    scores = gtseg.evaluate(PREDICTED, TRUTH, labels=["<cat>"])
    for figure in (scores.confusion_matrix, scores.iou):
        root = ElementTree.parse(figure.save(tmp_path / "figure.svg")).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in (tmp_path / "figure.svg").read_text()
        assert "<svg" in figure._repr_html_()
    with pytest.raises(SettingsError, match=r"\.svg"):
        scores.iou.save(tmp_path / "figure.bmp")
    assert "<cat>" not in scores._repr_html_()


def test_tables_are_lists_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(tables.make_table([{"a": 1}])).__name__ == "DataFrame"
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert tables.make_table([{"a": 1}]) == [{"a": 1}]


# ---- a project's run -------------------------------------------------------------------------------------------------


def test_a_run_shows_the_state_of_its_stages(run: Any, project: Trained) -> None:
    assert run.project.runs() == [project.name]
    status = run.status().set_index("stage")
    assert bool(status.loc["dataset", "done"])
    assert "<table>" in run._repr_html_()


def test_a_stage_called_too_early_names_the_command_to_run_first(run: Any) -> None:
    with pytest.raises(StageError, match="gtseg train"):
        run.deploy()


def test_spending_needs_an_explicit_argument(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clients, "is_aws", lambda self, service: service != "s3")
    with pytest.raises(SettingsError, match="agree=True"):
        run.train()


def test_a_dataset_shows_images_and_is_a_torch_dataset(run: Any, project: Trained) -> None:
    torch = pytest.importorskip("torch")
    from gtseg.library.results import dataset_of

    data = dataset_of(project.run, project.context())
    assert data.classes == CLASSES
    assert data._repr_html_().count("<img ") == 4
    assert isinstance(data.example(0), gtseg.Picture)
    pairs = data.torch("validation")
    pixels, indices = pickle.loads(pickle.dumps(pairs))[0]
    assert (pixels.dtype, pixels.shape[0], indices.dtype) == (torch.float32, 3, torch.int64)
    assert pixels.shape[1:] == indices.shape
    assert float(pixels.max()) <= 1
    assert set(indices.unique().tolist()) <= {0, 1, 2, 255}
    batches = torch.utils.data.DataLoader(data.torch("test"), batch_size=1)
    assert len(list(batches)) == 3
    with pytest.raises(SettingsError, match="train, validation, test"):
        data.torch("val")


def test_an_invalid_setting_is_named(project: Trained) -> None:
    with pytest.raises(SettingsError, match=r"train.*max_runtime"):
        gtseg.Project.open(project.folder / "gtseg.toml", settings={"train.max_runtime": "soon"})
