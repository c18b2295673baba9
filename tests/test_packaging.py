"""Wheel and source distribution: built, installed, and run without a network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
import trove_classifiers

import gtseg

ROOT = Path(__file__).parents[1]
OFFLINE = """
import ipaddress, socket
_connect = socket.socket.connect
def connect(self, address):
    if self.family != socket.AF_UNIX and not ipaddress.ip_address(address[0]).is_loopback:
        raise OSError(f"this test allows no network: {address}")
    return _connect(self, address)
socket.socket.connect = connect
socket.getaddrinfo = lambda host, *rest, **more: (_ for _ in ()).throw(OSError(f"this test resolves no names: {host}"))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source distribution of this tree."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel's package alone and a sitecustomize.py that forbids network access."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--target", str(target), str(built[0])], check=True, capture_output=True, timeout=120)
    (target / "sitecustomize.py").write_text(OFFLINE)
    return target


def run(installed: Path, *arguments: str, cwd: Path) -> str:
    """Return the output of Python with the installed wheel and the dependencies of this environment."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "GTSEG_", "PYTHON"))}
    paths = os.pathsep.join((str(installed), sysconfig.get_path("purelib"), *sys.path[1:]))
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=kept | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_contains_weights_pages_templates_and_py_typed(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        names = set(wheel.namelist())
        size = sum(item.file_size for item in wheel.infolist() if item.filename.endswith(".npz"))
    wanted = {"gtseg/py.typed", "gtseg/local/labeling/portal/static/task.html"}
    assert wanted <= names
    assert any(name.startswith("gtseg/templates/") for name in names)
    assert sum(name.endswith("efficientnet_lite0.npz") for name in names) == 1
    assert sum(name.endswith("efficientnet_lite0.NOTICE") for name in names) == 1
    assert size <= 14_000_000  # all weights of the package together


def test_the_source_distribution_builds_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = next(tmp_path.iterdir())
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "out")],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=120,
    )
    with zipfile.ZipFile(built[0]) as one, zipfile.ZipFile(next((tmp_path / "out").iterdir())) as other:
        assert {i.filename: i.CRC for i in one.infolist()} == {i.filename: i.CRC for i in other.infolist()}


@pytest.fixture(scope="module")
def environment(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin folder of a new virtual environment with the wheel and the dependencies of this environment."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(built[0])], check=True, capture_output=True, timeout=120)
    packages = next(folder.glob("lib/python3*/site-packages"))
    others = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(others) + "\n")
    return folder / "bin"


def test_the_installed_command_works_in_a_new_virtual_environment(environment: Path, tmp_path: Path) -> None:
    def run_gtseg(*arguments: str, **variables: str) -> str:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "GTSEG_", "PYTHON"))}
        done = subprocess.run(
            [environment / "gtseg", *arguments],
            cwd=tmp_path,
            env=kept | {"TERMINAL_WIDTH": "100"} | variables,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run_gtseg("--version") == f"gtseg {gtseg.__version__}\n"
    run_gtseg("init", "--name", "cats")
    assert {"gtseg.toml", "template.liquid"} <= {path.name for path in tmp_path.iterdir()}
    assert "_GTSEG_COMPLETE" in run_gtseg("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_the_metadata_are_complete(built: tuple[Path, Path]) -> None:
    metadata = metadata_of(built[0])
    for field in ("Name", "Version", "Summary", "Author", "License-Expression", "Keywords", "Requires-Python"):
        assert metadata[field], field
    assert {url.split(",")[0] for url in metadata.get_all("Project-URL", [])} >= {
        "Repository",
        "Documentation",
        "Issues",
    }
    assert set(metadata.get_all("Classifier", [])) <= trove_classifiers.classifiers
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_every_dependency_has_a_lower_bound(built: tuple[Path, Path]) -> None:
    requirements = metadata_of(built[0]).get_all("Requires-Dist", [])
    assert [requirement for requirement in requirements if ">=" not in requirement] == []


def test_no_module_has_code_for_windows() -> None:
    sources = {path: path.read_text() for path in (ROOT / "gtseg").rglob("*.py")}
    assert [path for path, text in sources.items() if re.search(r"win32|os\.name\b|platform\.system", text)] == []


def test_the_version_is_defined_in_one_place(built: tuple[Path, Path], installed: Path, tmp_path: Path) -> None:
    assert built[0].name.startswith(f"gtseg-{gtseg.__version__}-")
    assert run(installed, "-m", "gtseg", "--version", cwd=tmp_path).strip() == f"gtseg {gtseg.__version__}"
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## (\S+)", changes, re.MULTILINE)[1] == gtseg.__version__  # type: ignore[index]


def test_the_installed_wheel_outlines_and_trains_without_a_network(installed: Path, tmp_path: Path) -> None:
    """Auto-segment finds a disc, and a training job from ImageNet's weights leaves a model."""
    code = """
import json, sys
import gtseg, numpy as np
from gtseg.local.labeling.autosegment import Predictor, weights_paths
from gtseg.local.labeling.autosegment.prompts import Start
y, x = np.mgrid[:200, :200]
disc = (x - 100) ** 2 + (y - 90) ** 2 < 50 ** 2
image = np.where(disc[..., None], (200, 80, 60), (70, 110, 90)).astype(np.uint8)
image += np.random.default_rng(0).integers(0, 12, image.shape, dtype=np.uint8)
points = np.array([[100, 40], [150, 90], [100, 140], [50, 90]], np.float32)
found = Predictor(*weights_paths()).segment(image, Start("points", points)).full_mask(disc.shape)
print(json.dumps({"from": gtseg.__file__, "iou": float((found & disc).sum() / (found | disc).sum())}))
"""
    outlined = json.loads(run(installed, "-c", code, cwd=tmp_path))
    assert Path(outlined["from"]).is_relative_to(installed)
    assert outlined["iou"] > 0.9

    root = tmp_path / "ml"
    draw_channels(root)
    log = run(installed, "-m", "gtseg.local.algorithm", "train", "--root", str(root), "--seconds", "4", cwd=tmp_path)
    assert (root / "model" / "model_algo-1").exists() or any((root / "model").iterdir()), log


def draw_channels(root: Path) -> None:
    """Eight images of one bright square each, as /opt/ml of a training job."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for channel, count in (("train", 6), ("validation", 2)):
        for number in range(count):
            mask = np.zeros((64, 64), np.uint8)
            top, left = rng.integers(4, 30, 2)
            mask[top : top + 24, left : left + 24] = 1
            image = np.where(mask[..., None] == 1, (220, 60, 50), (60, 90, 120)).astype(np.uint8)
            for folder, picture, suffix in ((channel, image, "jpg"), (f"{channel}_annotation", mask, "png")):
                path = root / "input" / "data" / folder / f"{channel}{number}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
    settings = root / "input" / "config" / "hyperparameters.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        json.dumps({"num_classes": "2", "num_training_samples": "6", "mini_batch_size": "2", "epochs": "1"})
    )
