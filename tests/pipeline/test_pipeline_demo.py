from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gtseg.cli.demo import Narrator
from gtseg.errors import GtsegError, MaskError, SettingsError, StageError
from gtseg.pipeline.commands.demo import Project, prepare
from gtseg.settings import load


def mask_file(path: Path, values: list[list[int]], *, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).convert(mode).save(path)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a folder with two images with masks of values 0, 1, 2 and void, and one image without a mask."""
    for name in ("a.jpg", "deep/b.png", "lonely.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3)).save(tmp_path / "images" / name)
    mask_file(tmp_path / "masks/a.png", [[0, 1, 2, 255]] * 3)
    mask_file(tmp_path / "masks/deep/b.png", [[0, 1, 1, 0]] * 3)
    return tmp_path


def ready(own: Path, folder: str = "demo", **options: Any) -> Project:
    values = {"images": own / "images", "masks": own / "masks", "labels": [], **options}
    return prepare(own / folder, progress=lambda done, total: None, **values)


def test_only_images_with_a_mask_are_used_and_classes_are_named_by_value(own: Path) -> None:
    project = ready(own)
    assert (project.images, project.skipped, project.labels) == (2, ("lonely.jpg",), ("class-1", "class-2"))
    assert sorted(p.name for p in (own / "demo/images").rglob("*.*")) == ["a.jpg", "b.png"]
    settings = load(project.settings, environ={})
    assert settings.labeling.labels == ("class-1", "class-2", "void")
    assert settings.images.source == "images"


@pytest.mark.parametrize("place", ["dataset.json", "masks/dataset.json"])
@pytest.mark.parametrize("classes", [["background", "cat", "dog"], ["cat", "dog", "bird"][:2]])
def test_class_names_are_read_from_dataset_json_with_or_without_background(
    own: Path, place: str, classes: list[str]
) -> None:
    (own / place).write_text(json.dumps({"classes": classes}))
    assert ready(own).labels == ("cat", "dog")


def test_a_named_value_zero_becomes_the_background_with_a_message(own: Path) -> None:
    (own / "dataset.json").write_text(json.dumps({"classes": ["land", "road", "water"]}))
    project = ready(own)
    assert project.labels == ("road", "water")
    assert "land" in project.remarks[0]


def test_given_labels_override_others_and_must_cover_all_values(own: Path) -> None:
    (own / "dataset.json").write_text(json.dumps({"classes": ["background", "x", "y"]}))
    assert ready(own, labels=["cat", "dog"]).labels == ("cat", "dog")
    with pytest.raises(SettingsError, match=r"hold the value 2 .*--labels names 1 label, cat"):
        ready(own, "other", labels=["cat"])


def test_invalid_input_is_named(own: Path) -> None:
    with pytest.raises(SettingsError, match="must be given together"):
        ready(own, masks=None)
    with pytest.raises(StageError, match=r"--images .*nowhere: there is no such folder"):
        ready(own, "x", images=own / "nowhere")
    (own / "empty").mkdir()
    with pytest.raises(StageError, match="No image has a mask"):
        ready(own, "y", masks=own / "empty")
    mask_file(own / "masks/a.png", [[0, 1, 2, 3]], mode="RGB")
    with pytest.raises(MaskError, match=r"a\.png.*one channel.*gtseg import"):
        ready(own, "z")


def test_masks_with_background_only_are_accepted(own: Path) -> None:
    for name in ("a", "deep/b"):
        mask_file(own / f"masks/{name}.png", [[0, 0]])
    project = ready(own, labels=["cat", "dog"])
    assert (project.images, project.labels) == (2, ("cat", "dog"))
    assert "only background" in project.remarks[0]


def test_masks_of_0_and_255_are_one_class_written_with_its_index(own: Path) -> None:
    """The simulated workers copy the demo's masks; void of an earlier demo is a label."""
    for name in ("a", "deep/b"):
        mask_file(own / f"masks/{name}.png", [[0, 255]])
    project = ready(own, labels=["leaf"])
    assert project.masks == own / "demo/masks"
    assert np.asarray(Image.open(own / "demo/masks/deep/b.png")).tolist() == [[0, 1]]
    assert load(project.settings, environ={}).labeling.labels == ("leaf",)
    assert "--void 255" in project.remarks[0]
    void = ready(own, "other", labels=["leaf"], void=255)
    assert load(void.settings, environ={}).labeling.labels == ("leaf", "void")


def test_masks_with_classes_from_zero_need_an_option(own: Path) -> None:
    mask_file(own / "masks/a.png", [[0, 1, 0, 1]] * 3)
    with pytest.raises(SettingsError, match=r"--label-values 1-2.*--label-values 0-1"):
        ready(own, labels=["soil", "leaf"])
    project = ready(own, labels=["soil", "leaf"], values=(0, 1))
    assert np.asarray(Image.open(project.masks / "a.png"))[0].tolist() == [1, 2, 1, 2]


def test_a_folder_of_another_demo_or_project_is_not_changed(own: Path) -> None:
    ready(own)
    with pytest.raises(
        SettingsError, match=r"has a demo with no --labels; the command has --labels cat,dog\. Use the same"
    ):
        ready(own, labels=["cat", "dog"])
    (own / "mine").mkdir()
    (own / "mine/gtseg.toml").write_text("[project]\n")
    with pytest.raises(SettingsError, match=r"mine has gtseg\.toml that no demo wrote: use .*mine/gtseg-demo"):
        ready(own, "mine")
    (own / "file").write_text("")
    with pytest.raises(GtsegError, match="cannot be used"):
        ready(own, "file")


def test_a_second_demo_in_the_same_folder_changes_nothing(own: Path) -> None:
    ready(own)
    settings = own / "demo/gtseg.toml"
    settings.write_text(settings.read_text() + "\n# mine\n")
    before = settings.read_text()
    assert ready(own).labels == ("class-1", "class-2")
    assert settings.read_text() == before


def test_images_added_changed_and_removed_since_the_demo_began_are_remarked(own: Path) -> None:
    assert not any("since this demo began" in remark for remark in ready(own).remarks)
    Image.new("RGB", (4, 3), "red").save(own / "images/lonely.jpg")
    mask_file(own / "masks/lonely.png", [[0, 1, 1, 0]] * 3)
    (own / "images/a.jpg").unlink()
    Image.new("RGB", (4, 3), "blue").save(own / "images/a.jpg")
    (own / "images/deep/b.png").unlink()
    project = ready(own)
    assert project.remarks[-1].startswith(
        "since this demo began: 1 image added, like lonely.jpg; 1 image changed, like a.jpg; 1 image no longer "
        "there, but kept here, like deep/b.png. Stages that are done already do not use the change"
    )
    assert (own / "demo/images/a.jpg").read_bytes() == (own / "images/a.jpg").read_bytes()
    assert not any("added" in remark for remark in ready(own).remarks)


def test_masks_are_written_again_if_they_changed(own: Path) -> None:
    for value in (255, 0):
        for name in ("a", "deep/b"):
            mask_file(own / f"masks/{name}.png", [[0, 255 if name == "a" else value]])
        ready(own, labels=["leaf"])
        assert np.asarray(Image.open(own / "demo/masks/deep/b.png")).tolist() == [[0, value // 255]]


@pytest.mark.parametrize("there", ["images", "masks", "aws"])
def test_a_folder_with_files_that_no_demo_wrote_is_refused(own: Path, there: str) -> None:
    """Its images would be labeled too, and its masks would be taken for converted ones."""
    (own / "mine" / there).mkdir(parents=True)
    with pytest.raises(SettingsError, match=f"mine has {there} that no demo wrote"):
        ready(own, "mine")
    assert [path.name for path in (own / "mine").iterdir()] == [there]


def test_a_damaged_header_and_an_empty_folder_of_images_are_named(own: Path) -> None:
    ready(own)
    for text in ("{", "[]"):
        (own / "demo/demo.json").write_text(text)
        with pytest.raises(GtsegError, match=r"demo/demo\.json is damaged"):
            ready(own)
    (own / "none").mkdir()
    with pytest.raises(StageError, match=r"--images .*none: the folder has no images \(\.jpg"):
        ready(own, images=own / "none")


def test_scenes_are_drawn_once_and_a_missing_one_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gtseg.pipeline.commands.demo.project.SCENES", 3)
    options: dict[str, Any] = {
        "images": None,
        "masks": None,
        "labels": [],
        "progress": lambda done, total: None,
    }
    assert prepare(tmp_path / "d", **options).drawn == 3
    (tmp_path / "d/masks/scene-01.png").unlink()
    project = prepare(tmp_path / "d", **options)
    assert (project.drawn, project.labels) == (1, ("turtle", "boat"))


def test_each_stage_prints_one_line_with_purpose_and_result() -> None:
    stream = io.StringIO()
    narrator = Narrator(stream)
    narrator.receive({"event": "note", "stage": "train", "message": "x"})
    narrator.receive({"event": "epoch", "stage": "train", "message": "epoch 0"})
    narrator.receive({"event": "finished", "stage": "train", "message": "best mIoU 0.9"})
    narrator.receive({"event": "note", "stage": "deploy", "message": "done already: e"})
    narrator.receive({})
    narrator.end()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("train     a network learns")
    assert lines[0].endswith(": best mIoU 0.9 (0 s)")
    assert lines[1].endswith(": done already: e (0 s)")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_overwritten_on_a_terminal_are_not_wider_than_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first row of a wrapped line could not be erased."""
    monkeypatch.setenv("COLUMNS", "60")
    with Narrator(stream := Terminal()) as narrator:
        narrator.receive({"event": "note", "stage": "label", "message": ""})
        narrator.receive({"event": "progress", "stage": "label", "message": "u" * 80, "done": 1, "total": 2})
        narrator.receive({"event": "finished", "stage": "label", "message": "72 images"})
    *passing, last = stream.getvalue().split("\r\033[K")
    assert [len(line) for line in passing] == [0, 59, 59]
    assert last == (
        "label     simulated workers draw masks on the images, three\n"
        "          per image, with human-like errors: 72 images (0 s)\n"
    )
