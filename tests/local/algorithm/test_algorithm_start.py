"""Start weights: an earlier model, the ImageNet file, or random ones, and their log lines."""

from __future__ import annotations

import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from drawn_scenes import lay_out, run, write_hyperparameters

from gtseg.local.algorithm import state
from gtseg.local.algorithm.container import ClientError
from gtseg.local.algorithm.networks.dilated import DEPTHS, DilatedResNet


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = lay_out(tmp_path_factory.mktemp("earlier"), epochs="1")
    run("train", "--root", str(root))
    return root / "model"


def job_after(root: Path, earlier: Path, *, packed: bool = True, **changes: str) -> Path:
    lay_out(root, epochs="1", **changes)
    channel = root / "input/data/model"
    channel.mkdir()
    if packed:
        with tarfile.open(channel / "model.tar.gz", "w:gz") as archive:
            for file in earlier.iterdir():
                archive.add(file, file.name)
    else:
        for file in earlier.iterdir():
            (channel / file.name).write_bytes(file.read_bytes())
    return root


@pytest.mark.parametrize("packed", [True, False])
def test_training_continues_from_an_earlier_model(tmp_path: Path, earlier: Path, packed: bool) -> None:
    """With a negligible learning rate, the trained weights equal the start weights."""
    root = job_after(tmp_path, earlier, packed=packed, learning_rate="0.000000000000000000000000000001")
    assert "Continuing from the model in channel 'model'." in run("train", "--root", str(root))
    before, after = (torch.load(f / "model_best.params", weights_only=True) for f in (earlier, root / "model"))
    kernels = [k for k in before if before[k].ndim == 4]
    assert kernels
    assert all(torch.allclose(before[k], after[k], rtol=1e-5, atol=1e-7) for k in kernels)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("algorithm", "psp", "algorithm fcn, this job has psp"),
        ("crop_size", "48", "crop_size 32, this job has 48"),
        ("backbone", "resnet-101", "backbone resnet-50, this job has resnet-101"),
    ],
)
def test_an_earlier_model_of_another_kind_is_refused(
    tmp_path: Path, earlier: Path, name: str, value: str, says: str
) -> None:
    assert f"trained with {says}" in run(
        "train", "--root", str(job_after(tmp_path, earlier, **{name: value})), expected=1
    )


def test_an_earlier_model_with_other_classes_is_refused(tmp_path: Path, earlier: Path) -> None:
    root = job_after(tmp_path, earlier)
    write_hyperparameters(root, num_classes="4", num_training_samples="6", crop_size="32")
    assert "num_classes 3, this job has 4" in run("train", "--root", str(root), expected=1)


def test_a_model_of_the_built_in_algorithm_is_refused_with_the_reason(tmp_path: Path, earlier: Path) -> None:
    root = job_after(tmp_path, earlier, packed=False)
    (root / "input/data/model/model_best.params").write_bytes(b"\x12\x01\x00\x00 MXNet parameters")
    assert "have MXNet parameters" in run("train", "--root", str(root), expected=1)


def test_an_archive_with_paths_outside_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "secret").write_text("x")
    with tarfile.open(tmp_path / "model/model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "secret", "../escaped")
    with pytest.raises(ClientError, match="cannot be extracted"):
        state.open_model_channel(tmp_path / "model")


# -------------------------------------------------------------------------------------------------- ImageNet


def test_imagenet_weights_load_from_the_environments_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = (DilatedResNet(DEPTHS["resnet-50"]) for _ in range(2))
    torch.save(
        {**source.state_dict(), "fc.weight": torch.zeros(2), "fc.bias": torch.zeros(2)},
        tmp_path / state.IMAGENET["resnet-50"],
    )
    monkeypatch.setenv(state.WEIGHTS_ENV, str(tmp_path))
    state.load_imagenet(target, "resnet-50")
    assert "Loaded ImageNet weights for resnet-50" in capsys.readouterr().out
    assert torch.equal(target.layer4[2].conv3.weight, source.layer4[2].conv3.weight)  # type: ignore[union-attr]
    assert torch.equal(target.conv1.weight, source.conv1.weight.flip(1))


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that accepts connections and sends no response."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[object] = []
        threading.Thread(target=lambda: kept.append(server.accept()), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/weights.pth"


def test_a_download_without_a_response_times_out(
    tmp_path: Path, silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "PATIENCE", 0.3)
    with pytest.raises(OSError):
        state.download(silent_server, tmp_path / "weights.pth")
    assert list(tmp_path.iterdir()) == []


def test_missing_weights_are_logged_and_do_not_fail_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(state.WEIGHTS_ENV, str(tmp_path / "nowhere"))
    state.load_imagenet(DilatedResNet(DEPTHS["resnet-50"]), "resnet-50")
    line = capsys.readouterr().out
    assert "WARNING" in line
    assert "No ImageNet weights for resnet-50" in line
    assert state.WEIGHTS_ENV in line
