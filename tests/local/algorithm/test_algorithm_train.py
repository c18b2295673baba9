"""Training as a process: log format, model files, stopping, resuming, failures."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from drawn_scenes import container, lay_out, run, write_hyperparameters
from PIL import Image

# The contract's expressions: each finds its ten values in the real log of April 2020
EXPRESSIONS = {
    "train:loss": r"#quality_metric\. host: \S+, epoch: \d+, train loss: (\S+)",
    "train:throughput": r"#throughput_metric\. host: \S+, epoch: \d+, train throughput: (\S+) samples/sec",
    "validation:mIOU": r"#quality_metric\. host: \S+, epoch: \d+, validation mIOU: (\S+)",
    "validation:pixel_accuracy": r"#quality_metric\. host: \S+, epoch: \d+, validation pixel_accuracy: (\S+)",
    "validation:throughput": r"#throughput_metric\. host: \S+, epoch: \d+, validation throughput: (\S+) samples/sec",
    "train:progress": r"#progress_metric: host=\S+, completed (\S+) %",
}
REAL_LOG = Path(__file__).resolve().parents[2] / "data/training-log/ss_training_log_2020-04.txt"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = lay_out(tmp_path_factory.mktemp("job"), epochs="25", crop_size="64", learning_rate="0.01")
    return root, run("train", "--root", str(root))


def weights(root: Path, name: str = "model_algo-1") -> dict[str, torch.Tensor]:
    return torch.load(root / "model" / name, weights_only=True)


def test_the_metric_expressions_match_the_log_as_they_match_the_real_one(finished: tuple[Path, str]) -> None:
    for name, expression in EXPRESSIONS.items():
        assert len(re.findall(expression, REAL_LOG.read_text())) == 10, name
        values = [float(v) for v in re.findall(expression, finished[1])]
        assert len(values) == 25, name
    assert values[-1] == 100


def test_every_kind_of_log_line_has_the_real_logs_format(finished: tuple[Path, str]) -> None:
    """Without the numbers, each kind of log line that the real log has is equal byte for byte."""

    def shapes(text: str) -> set[str]:
        kept = [
            line
            for line in text.splitlines()
            if re.search(r"#quality|#throughput|#progress_metric|LRScheduler|Test data", line)
        ]
        return {re.sub(r"\d+(\.\d+)?(e-\d+)?", "N", line[line.index("[") :]) for line in kept}

    assert shapes(finished[1]) == shapes(REAL_LOG.read_text())


def test_training_learns_the_drawn_shapes(finished: tuple[Path, str]) -> None:
    scores = [float(v) for v in re.findall(EXPRESSIONS["validation:mIOU"], finished[1])]
    assert scores[-1] > 0.6 > scores[0]


def test_the_model_is_three_files(finished: tuple[Path, str]) -> None:
    root, _ = finished
    assert sorted(p.name for p in (root / "model").iterdir()) == [
        "hyperparams.json",
        "model_algo-1",
        "model_best.params",
    ]
    settings = json.loads((root / "model/hyperparams.json").read_text())
    assert all(isinstance(v, str) for v in settings.values())
    assert (settings["epochs"], settings["num_classes"], settings["optimizer"]) == ("25", "3", "adam")


def test_a_finished_job_does_not_train_when_started_again(finished: tuple[Path, str]) -> None:
    before = weights(finished[0])
    again = run("train", "--root", str(finished[0]))
    assert "train loss" not in again
    assert all(torch.equal(v, before[k]) for k, v in weights(finished[0]).items())


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"{text!r} never came: {process.stderr.read() if process.stderr else ''}")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_job_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path, how: signal.Signals) -> None:
    """After SIGTERM or kill -9, the resumed job has bit for bit the weights of an uninterrupted job."""
    through, cut = (
        lay_out(tmp_path / "through", epochs="24", optimizer="adam"),
        lay_out(tmp_path / "cut", epochs="24", optimizer="adam"),
    )
    process = container("train", "--root", str(cut))
    wait_for_line(process, "epoch: 4, validation mIOU")
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode == (0 if how == signal.SIGTERM else -signal.SIGKILL)
    resumed = run("train", "--root", str(cut))
    assert ("Resuming from" in resumed) == (how == signal.SIGTERM or (cut / "checkpoints").exists())
    run("train", "--root", str(through))
    ours, theirs = weights(cut), weights(through)
    assert all(torch.equal(v, theirs[k]) for k, v in ours.items())


def test_a_checkpoint_in_a_new_container_includes_the_best_weights(finished: tuple[Path, str], tmp_path: Path) -> None:
    """In the new container of a spot job, model/ is empty, and later epochs may not exceed the best score."""
    earlier, _ = finished
    root = lay_out(tmp_path, epochs="25", crop_size="64", learning_rate="0.01")
    shutil.copytree(earlier / "checkpoints", root / "checkpoints")
    assert "Resuming from" in run("train", "--root", str(root))
    assert len(list((root / "model").iterdir())) == 3
    ours, theirs = (weights(place, "model_best.params") for place in (root, earlier))
    assert all(torch.equal(v, theirs[k]) for k, v in ours.items())


def test_sigterm_leaves_a_model_that_can_be_served(tmp_path: Path) -> None:
    root = lay_out(tmp_path, epochs="10000")
    process = container("train", "--root", str(root))
    wait_for_line(process, "LRScheduler setup")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert {p.name for p in (root / "model").iterdir()} == {
        "hyperparams.json",
        "model_algo-1",
        "model_best.params",
    }
    assert not list(root.rglob("*.part"))


def test_the_time_budget_ends_a_job_with_a_complete_model(tmp_path: Path) -> None:
    root = lay_out(tmp_path, epochs="1000000")
    out = run("train", "--root", str(root), "--cpu-seconds", "2")
    assert "The time budget of 2 s is used" in out
    assert len(re.findall(EXPRESSIONS["validation:mIOU"], out)) >= 1
    rates = [float(v) for v in re.findall(r"learning_rate: (\S+)", out)]
    assert rates == sorted(rates, reverse=True) or max(rates) > 10 * rates[-1]
    assert (root / "model/model_best.params").exists()


def test_a_checkpoint_of_another_job_is_ignored_and_logged(tmp_path: Path) -> None:
    root = lay_out(tmp_path, epochs="1")
    run("train", "--root", str(root))
    write_hyperparameters(root, num_classes="3", num_training_samples="6", epochs="1", algorithm="psp", crop_size="32")
    out = run("train", "--root", str(root))
    assert "other hyperparameters (" in out
    assert "starting over" in out
    assert "epoch: 0, train loss" in out


def test_a_broken_checkpoint_is_logged_and_the_job_starts_over(tmp_path: Path) -> None:
    root = lay_out(tmp_path, epochs="1")
    (root / "checkpoints").mkdir()
    (root / "checkpoints/checkpoint.pt").write_bytes(b"half a checkpo")
    assert "cannot be read" in run("train", "--root", str(root))


# ----------------------------------------------------------------------------------------------- what goes wrong


def failure(root: Path) -> str:
    out = run("train", "--root", str(root), expected=1)
    reason = (root / "output/failure").read_text()
    assert reason in out
    assert "Traceback" not in out
    return reason


def test_an_invalid_hyperparameter_fails_as_a_client_error(tmp_path: Path) -> None:
    reason = failure(lay_out(tmp_path, learnin_rate="0.1"))
    assert reason.startswith("ClientError: ")
    assert "Additional properties are not allowed ('learnin_rate' was unexpected)" in reason


def test_an_invalid_annotation_fails_with_its_name(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    Image.new("L", (64, 64), 9).save(root / "input/data/train_annotation/3.png")
    assert re.match(r"ClientError: .*train_annotation/3\.png has the value 9", failure(root))


def test_missing_channels_fail_with_the_name_of_the_first(tmp_path: Path) -> None:
    write_hyperparameters(tmp_path, num_classes="2", num_training_samples="1")
    assert "channel 'train' is required" in failure(tmp_path)


def test_a_loss_of_nan_fails_as_an_algorithm_error(tmp_path: Path, finished: tuple[Path, str]) -> None:
    root = lay_out(tmp_path, crop_size="64")
    shutil.copytree(finished[0] / "model", root / "input/data/model")
    torch.save(
        {k: v * float("nan") for k, v in weights(finished[0]).items()},
        root / "input/data/model/model_best.params",
    )
    assert failure(root).startswith("AlgorithmError: the training loss became nan at update 0")
