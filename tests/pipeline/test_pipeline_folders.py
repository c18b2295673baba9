"""gtseg evaluate --predictions DIR --masks DIR: no run, no endpoint, no AWS."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtseg.errors import MaskError, SettingsError, StageError
from gtseg.pipeline.run.events import Event
from gtseg.pipeline.stages.evaluate import evaluate_folders
from gtseg.settings.hosting import Evaluate


def save(path: Path, values: object, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).convert(mode).save(path)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    save(tmp_path / "masks/a.png", [[0, 1], [1, 255]])
    save(tmp_path / "masks/sub/b.png", [[0, 0], [1, 1]])
    save(tmp_path / "predictions/a.png", [[0, 1], [0, 1]])
    save(tmp_path / "predictions/b.png", [[0, 0], [1, 1]], mode="P")
    return tmp_path


def scored(folders: Path, *labels: str, events: list[Event] | None = None):
    notify = events.append if events is not None else (lambda event: None)
    return evaluate_folders(
        str(folders / "predictions"), str(folders / "masks"), labels=labels, options=Evaluate(), notify=notify
    )


def test_masks_are_paired_by_path_else_by_name(folders: Path) -> None:
    section = scored(folders, "cat").section
    assert section.images == 2
    assert section.confusion == ((3, 0), (1, 3))
    assert section.miou == pytest.approx((3 / 4 + 3 / 4) / 2)
    assert [one.name for one in section.classes] == ["BACKGROUND", "cat"]


def test_without_labels_classes_are_numbered(folders: Path) -> None:
    save(folders / "predictions/b.png", [[0, 0], [1, 3]])
    assert [one.name for one in scored(folders).section.classes] == [
        "BACKGROUND",
        "class-1",
        "class-2",
        "class-3",
    ]


def test_a_mask_without_a_prediction_is_reported_and_not_scored(folders: Path) -> None:
    (folders / "predictions/b.png").unlink()
    events: list[Event] = []
    result = scored(folders, "cat", events=events)
    assert result.missing == ("sub/b.png",)
    assert any("no prediction with its path or name, not scored; sub/b.png" in event.message for event in events)
    save(folders / "predictions/lonely.png", [[0]])
    flows = {flow.unit: (flow.inputs, flow.outputs) for flow in scored(folders, "cat").account.flows}
    assert flows == {"mask": (2, 1), "prediction": (2, 1)}


def test_the_error_for_invalid_input_names_the_file(folders: Path) -> None:
    save(folders / "predictions/a.png", [[0, 1, 1], [0, 1, 1]])
    with pytest.raises(MaskError, match=r"a\.png: the prediction is 3 x 2"):
        scored(folders, "cat")
    (folders / "predictions/a.png").write_bytes(b"nothing")
    with pytest.raises(MaskError, match=r"predictions/a\.png: not a decodable PNG"):
        scored(folders, "cat")
    with pytest.raises(StageError, match="does not exist"):
        evaluate_folders(str(folders / "none"), str(folders / "masks"), labels=(), options=Evaluate(), notify=print)
    (folders / "empty").mkdir()
    with pytest.raises(StageError, match="No mask of"):
        evaluate_folders(str(folders / "empty"), str(folders / "masks"), labels=(), options=Evaluate(), notify=print)


def test_the_command_needs_no_settings_and_prints_json(folders: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "gtseg",
        "evaluate",
        "--predictions",
        "predictions",
        "--masks",
        "masks",
        "--labels",
        "cat",
        "--json",
    ]
    done = subprocess.run(command, cwd=folders, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["split"], answer["images"], answer["miou"]) == ("given", 2, 0.75)


def test_masks_of_0_and_255_are_the_background_and_one_class(folders: Path) -> None:
    """For any values of the predictions; the decision is reported, and `void` changes it."""
    save(folders / "masks/a.png", [[0, 255], [255, 0]])
    save(folders / "masks/sub/b.png", [[0, 0], [255, 255]])
    events: list[Event] = []
    section = scored(folders, "leaf", events=events).section
    assert section.confusion == ((3, 1), (1, 3))
    assert any("255 is leaf" in event.message for event in events if event.kind == "warning")
    void = evaluate_folders(
        str(folders / "predictions"),
        str(folders / "masks"),
        labels=["leaf"],
        options=Evaluate(),
        notify=events.append,
        void=255,
    ).section
    assert void.void_pixels == 4
    assert any("'leaf' has no true pixel" in event.message for event in events)


def test_caveats_are_warnings_before_the_score(folders: Path) -> None:
    events: list[Event] = []
    scored(folders, "cat", "dog", "bird", events=events)
    kinds = [event.kind for event in events]
    assert kinds.index("warning") < kinds.index("finished")
    messages = "\n".join(event.message for event in events)
    assert all(words in messages for words in ("'dog' has no true pixel", "1 of 8 pixels (12%)", "no interval"))


def test_labels_that_do_not_fit_are_refused_with_both_readings(folders: Path) -> None:
    with pytest.raises(SettingsError, match=r"--label-values 1-2.*--label-values 0-1"):
        scored(folders, "soil", "leaf")


def test_predictions_equal_to_the_masks_are_reported(folders: Path) -> None:
    events: list[Event] = []
    for masks in (folders / "masks", folders / "predictions/../masks"):
        evaluate_folders(str(masks), str(folders / "masks"), labels=(), options=Evaluate(), notify=events.append)
    assert sum("the same folder" in event.message for event in events if event.kind == "warning") == 2
