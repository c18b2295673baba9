"""import job: labels and answers of a job folder from another machine, on a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import FaultProxy, Request
from labeling_project import Project
from polling import pause
from reviewing_worker import Worker, paint, square

from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import OUTPUT_MANIFEST, GroundTruth, JobState
from gtseg.aws.s3 import S3
from gtseg.aws.waiting import poll
from gtseg.errors import GtsegError, ManifestError, StageError
from gtseg.pipeline.commands.agreement import agreement
from gtseg.pipeline.commands.job_import import MergedJob, merge_job
from gtseg.pipeline.commands.review import continue_labeling
from gtseg.pipeline.run import LabelingJobSection, Run
from gtseg.pipeline.stages.dataset import dataset
from gtseg.pipeline.stages.watch import watch


def await_state(s3: GroundTruth, name: str, until: Callable[[JobState], bool]) -> None:
    poll(
        lambda: s3.describe_job(name),
        until=until,
        patience=60,
        resume="",
        sleep=pause,
    )


class Field(Project):
    """Project on a laptop: two of three images are labeled before the job is stopped."""

    def label_all(self, aws: Any, folder: Path) -> Path:
        """Label two images and return the job's folder as copied by `aws s3 sync`."""
        self.set("labeling", labels=["cat"])
        for number in range(3):
            self.image(f"{number}.jpg", color=10 * number)
        job = self.label().labeling_job
        assert job
        Worker(aws).work(job.name, lambda task: paint(square(), ["cat"]), count=2)
        s3 = GroundTruth(self.clients)
        await_state(s3, job.name, lambda state: state.counters["TotalLabeled"] == 2)
        s3.stop_job(job.name)
        await_state(s3, job.name, lambda state: state.is_over)
        target = folder / job.name
        root = f"{self.run.root}labeling/{job.name}/"
        bucket, prefix = root.removeprefix("s3://").split("/", 1)
        for item in S3(self.clients).list_objects(root):
            path = target / item.key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(S3(self.clients).read(f"s3://{bucket}/{item.key}")[0])
        return target


class Home(Project):
    """Run elsewhere: the same images with other names, and one more."""

    def __init__(self, folder: Path, clients: Clients) -> None:
        super().__init__(folder, clients)
        for number in range(3):
            self.image(f"set/cat-{number}.jpg", color=10 * number)
        self.image("set/more.jpg", color=99)

    def bring(self, source: object, **options: Any) -> MergedJob:
        brought = merge_job(self.run, self.context(), source=str(source), **options)
        if brought.run != self.run:
            self.run_file.save(brought.run)
        return brought

    def keep(self, run: Run) -> Run:
        return self.run_file.save(run)


@pytest.fixture
def home(clients: Clients, tmp_path: Path) -> Home:
    return Home(tmp_path / "home", clients)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {}


@pytest.fixture
def brought_folder(
    clients: Clients, shared_aws: Any, tmp_path: Path, kept: dict[str, Path], tmp_path_factory: Any
) -> Path:
    """Return a copy of the laptop's folder; it is labeled once per module."""
    if "job" not in kept:
        field = Field(tmp_path / "field", clients)
        kept["job"] = field.label_all(shared_aws, tmp_path_factory.mktemp("field"))
    return Path(shutil.copytree(kept["job"], tmp_path / "usb" / kept["job"].name))


def test_labels_are_imported_with_their_answers_and_a_second_import_changes_nothing(
    home: Home, brought_folder: Path, shared_aws: Any
) -> None:
    first = home.bring(brought_folder)
    job = home.run.labeling_job
    assert job
    assert (job.objects, job.counters["TotalLabeled"], job.counters["Unlabeled"]) == (4, 2, 2)
    assert first.account.exit_code == 0
    found = agreement(home.run, home.context())
    assert sorted(image.image.rsplit("/", 1)[-1] for image in found.images) == ["cat-0.jpg", "cat-1.jpg"]
    assert [worker.answers for worker in found.workers] == [2]
    before = home.run
    again = home.bring(brought_folder)
    assert home.run == before
    assert (again.account.flow("label").outputs, again.account.exit_code) == (2, 0)
    # what the laptop did not label goes to the people here, and the answers of both are found
    home.keep(continue_labeling(home.run, home.context()))
    following = home.run.labeling_job
    assert following
    Worker(shared_aws).work(following.name, lambda task: paint(square(shift=3), ["cat"]))
    home.keep(watch(home.run, home.context(sleep=lambda seconds: None)))
    assert len(agreement(home.run, home.context()).images) == 4
    home.keep(dataset(home.run, home.context()))
    assert home.run.dataset
    assert sum(home.run.dataset.counts[part] for part in ("train", "validation", "test")) == 4
    home.bring(brought_folder)
    assert home.run.labeling_job == home.run.labeling_job


def test_the_runs_own_labels_stay_unless_replacing_is_requested(
    home: Home, brought_folder: Path, shared_aws: Any
) -> None:
    own = home.label().labeling_job
    assert own
    with pytest.raises(StageError, match="running labeling job"):
        home.bring(brought_folder)
    Worker(shared_aws).work(own.name, lambda task: paint(square(shift=5), ["cat"]))
    home.keep(watch(home.run, home.context(sleep=lambda seconds: None)))
    with pytest.raises(GtsegError, match=r"0 of 2 labels arrived; the run is unchanged.*--replace"):
        home.bring(brought_folder)
    taken = home.bring(brought_folder, replace=True)
    assert taken.account.exit_code == 0
    job = home.run.labeling_job
    assert job
    assert (job.follows, job.label_attribute, job.counters["TotalLabeled"]) == (
        own.name,
        own.label_attribute,
        4,
    )
    assert len(agreement(home.run, home.context()).images) == 4


def test_an_import_from_a_bucket_equals_one_from_a_folder(home: Home, brought_folder: Path, bucket: str) -> None:
    S3(home.clients).upload_folder(brought_folder, f"s3://{bucket}/usb/{brought_folder.name}/")
    brought = home.bring(f"s3://{bucket}/usb/{brought_folder.name}/")
    assert brought.account.flow("label").outputs == 2
    assert len(agreement(home.run, home.context()).images) == 2


def test_images_that_cannot_be_imported_are_named(home: Home, brought_folder: Path) -> None:
    masks = sorted((brought_folder / "annotations" / "consolidated-annotation").rglob("*.png"))
    masks[0].write_bytes(b"no picture")
    masks[1].unlink()
    with pytest.raises(GtsegError, match=r"0 of 2 labels arrived; the run is unchanged"):
        home.bring(brought_folder)
    lost = home.bring(brought_folder, insist=True).account
    assert home.run.labeling_job is None
    said = "\n".join(lost.lines())
    assert "is not a PNG" in said
    assert "its mask does not exist" in said
    assert lost.exit_code == 5


def test_other_bytes_with_the_same_name_are_not_imported(
    clients: Clients, brought_folder: Path, tmp_path: Path
) -> None:
    home = Project(tmp_path / "other", clients)
    home.image("0.jpg", color=77)
    home.image("1.jpg", color=10)
    brought = merge_job(home.run, home.context(), source=str(brought_folder))
    assert [loss.reason for loss in brought.account.losses if loss.kind == "lost"] == [
        "the run's image of this name has different bytes"
    ]
    assert brought.account.flow("label").outputs == 1


def test_a_manifest_with_paths_outside_its_folder_reads_nothing_there(home: Home, brought_folder: Path) -> None:
    mask = next((brought_folder / "annotations" / "consolidated-annotation").rglob("*.png"))
    shutil.copy(mask, brought_folder.parent / "secret.png")
    manifest = brought_folder / "manifests" / "output" / "output.manifest"
    climbing = "annotations/consolidated-annotation/../../../secret.png"
    manifest.write_text(re.sub(r"annotations/consolidated-annotation/[^\"]+", climbing, manifest.read_text()))
    with pytest.raises(GtsegError, match=r"0 of 2 labels arrived.*its mask does not exist"):
        home.bring(brought_folder)


@pytest.mark.parametrize("kind", ["answers", "images.jsonl", "manifest", "mask"])
def test_a_symbolic_link_to_outside_the_folder_is_not_read(home: Home, brought_folder: Path, kind: str) -> None:
    secret = brought_folder.parent / "credentials"
    files = {
        "answers": next((brought_folder / "annotations" / "worker-response").rglob("*.json")),
        "images.jsonl": brought_folder / "images.jsonl",
        "manifest": brought_folder / "manifests" / "output" / "output.manifest",
        "mask": next((brought_folder / "annotations" / "consolidated-annotation").rglob("*.png")),
    }
    files[kind].rename(secret)
    files[kind].symlink_to(secret)
    if kind == "mask":
        assert any("leads out of" in line for line in home.bring(brought_folder).account.lines())
        return
    with pytest.raises(GtsegError, match="is a link that leads out of"):
        home.bring(brought_folder)
    assert home.run.labeling_job is None


def test_a_named_pipe_among_the_masks_does_not_block(home: Home, brought_folder: Path) -> None:
    mask = next((brought_folder / "annotations" / "consolidated-annotation").rglob("*.png"))
    mask.unlink()
    os.mkfifo(mask)
    (mask.parent / "nothing.png").symlink_to("nowhere")
    assert any("its mask does not exist" in line for line in home.bring(brought_folder).account.lines())


@pytest.mark.parametrize("member", ["NaN", "1e999", '"\\ud800"', "[" * 3000 + "]" * 3000])
def test_an_unreadable_manifest_is_refused_by_its_line(home: Home, brought_folder: Path, member: str) -> None:
    manifest = brought_folder / "manifests" / "output" / "output.manifest"
    manifest.write_text(manifest.read_text().replace('"human-annotated"', f'"more":{member},"human-annotated"'))
    label = f"{brought_folder.name}-ref"
    with pytest.raises(ManifestError, match="line 1 is not JSON"):
        home.bring(brought_folder, label=label)


@pytest.mark.parametrize("source", ["nowhere", "s3://{bucket}/nothing/"])
def test_a_folder_without_a_job_is_an_error_that_shows_how_to_copy_one(home: Home, bucket: str, source: str) -> None:
    with pytest.raises(StageError, match=r"is not the folder of a labeling job.*s3 sync"):
        home.bring(source.format(bucket=bucket))


# --- the command ---


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / OUTPUT_MANIFEST).read_text().splitlines()]


def write_manifest(folder: Path, lines: list[dict[str, Any]]) -> None:
    (folder / OUTPUT_MANIFEST).write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_the_command_imports_once_and_later_only_what_is_new(home: Home, brought_folder: Path, gtseg: Any) -> None:
    all_lines = read_manifest(brought_folder)
    label = f"{brought_folder.name}-ref"
    (first, second) = (line for line in all_lines if label in line)
    write_manifest(brought_folder, [first, {"source-ref": second["source-ref"]}])
    words = (home.settings.folder, "import", "job", brought_folder, "--json")
    code, out, err = gtseg(*words)
    name = json.loads(out)["name"]
    assert (code, name, job_of(home).counters["TotalLabeled"]) == (0, job_of(home).name, 1)
    assert "import: 1 image labeled by" in err
    assert "  1 of 1 label\n  1 object: was not labeled there: nothing to import;" in err
    code, out, err = gtseg(*words)
    assert (code, json.loads(out)["name"], job_of(home).name) == (0, name, name)
    assert "nothing new, the run already has its 1 label; the run is unchanged" in err
    write_manifest(brought_folder, all_lines)
    code, out, err = gtseg(*words)
    assert (code, json.loads(out)["account"]["flows"]) == (0, {"label": {"in": 2, "out": 2}})
    assert "import: 1 image labeled by" in err
    assert (job_of(home).name, job_of(home).counters["TotalLabeled"]) == (json.loads(out)["name"], 2)


def job_of(home: Home) -> LabelingJobSection:
    job = home.run.labeling_job
    assert job
    return job


@pytest.mark.parametrize("moment", [OUTPUT_MANIFEST, "run.json"])
def test_an_interrupted_import_changes_nothing_and_is_completed_by_the_next(
    home: Home, brought_folder: Path, gtseg: Any, shared_aws: Any, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    folder = home.settings.folder

    def interrupt(request: Request) -> tuple[int, bytes] | None:
        if not (request.name.startswith("PUT ") and moment in request.path):
            return None
        os.kill(os.getpid(), signal.SIGINT)
        return 503, b""

    with FaultProxy(shared_aws.url, before=interrupt) as proxy:
        with monkeypatch.context() as patched:
            patched.setenv("AWS_ENDPOINT_URL", proxy.url)
            code, out, err = gtseg(folder, "import", "job", brought_folder)
    assert (code, out, err.count("gtseg: Interrupted")) == (130, "", 1)
    assert home.run.labeling_job is None
    assert gtseg(folder, "import", "job", brought_folder)[0] == 0
    assert job_of(home).counters["TotalLabeled"] == 2
    assert len(agreement(home.run, home.context()).images) == 2


def test_lost_labels_are_named_and_end_with_exit_code_5_or_1(home: Home, brought_folder: Path, gtseg: Any) -> None:
    folder = home.settings.folder
    masks = sorted((brought_folder / "annotations/consolidated-annotation").rglob("*.png"))
    bodies = [mask.read_bytes() for mask in masks]
    for mask in masks:
        mask.write_bytes(b"no picture")
    code, out, err = gtseg(folder, "import", "job", brought_folder)
    assert (code, out) == (1, "")
    assert (
        "0 of 2 labels arrived; the run is unchanged. To continue anyway, use --yes. 1 label: its mask is not a" in err
    )
    code, out, err = gtseg(folder, "import", "job", brought_folder, "--yes", "--json")
    assert (code, json.loads(out)["name"], home.run.labeling_job) == (5, None, None)
    assert f"{brought_folder}: no label arrived; the run is unchanged" in err
    masks[0].write_bytes(bodies[0])
    code, _, err = gtseg(folder, "import", "job", brought_folder, "--name", "field")
    assert (code, job_of(home).name, job_of(home).counters["TotalLabeled"]) == (5, "field", 1)
    assert "  1 of 2 labels\n  1 label: its mask is not a PNG" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "Missing argument"),
        ([""], 2, "'': must be the folder of a labeling job, or its s3:// URI"),
        (
            ["nowhere"],
            3,
            "nowhere is not the folder of a labeling job: it has no manifests/output/output.manifest. Copy",
        ),
        (["{job}/.."], 3, "it has no manifests/output/output.manifest. Import a folder in it: {name}. Copy the job's"),
        (["{job}", "--name", "A b"], 2, "--name 'A b': must be 1 to 63 lower-case letters, digits and hyphens"),
        (["{job}", "--run", "a b"], 2, "--run a b: must be"),
        (
            ["{job}", "--label-attribute", "cats"],
            2,
            "--label-attribute cats: {job}/manifests/output/output.manifest has no such label. Its semantic "
            "segmentation labels: {name}-ref (2 objects). Select one of them, or leave out the option.",
        ),
        (["{job}", "--settings", "none.toml"], 2, "none.toml"),
    ],
)
def test_each_mistake_is_named_with_its_remedy_and_nothing_is_uploaded(
    home: Home, brought_folder: Path, gtseg: Any, words: list[str], code: int, message: str
) -> None:
    facts = {"job": brought_folder, "name": brought_folder.name}
    found, out, err = gtseg(home.settings.folder, "import", "job", *(word.format(**facts) for word in words))
    assert (found, out) == (code, "")
    assert message.format(**facts) in err
    assert f"test-{home.name}" not in [one["Name"] for one in home.clients.s3.list_buckets()["Buckets"]]


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_job_without_labels_is_an_error_that_says_so(
    home: Home, brought_folder: Path, gtseg: Any, is_empty: bool
) -> None:
    lines = [] if is_empty else [{"source-ref": line["source-ref"]} for line in read_manifest(brought_folder)]
    write_manifest(brought_folder, lines)
    code, out, err = gtseg(home.settings.folder, "import", "job", brought_folder)
    assert (code, out) == (3, "")
    assert "output.manifest has no semantic segmentation labels yet. Label its images on that server" in err


def test_of_several_labels_one_must_be_selected(home: Home, brought_folder: Path, gtseg: Any) -> None:
    old, lines = f"{brought_folder.name}-ref", read_manifest(brought_folder)
    for line in lines:
        for name in ("one", "two"):
            line |= {key.replace(old, name): value for key, value in line.items() if key.startswith(old)}
        line.pop(old, None)
        line.pop(f"{old}-metadata", None)
    write_manifest(brought_folder, lines)
    code, out, err = gtseg(home.settings.folder, "import", "job", brought_folder)
    assert (code, out) == (2, "")
    assert "labels: one (2 objects), two (2 objects). Select one with --label-attribute." in err
    assert gtseg(home.settings.folder, "import", "job", brought_folder, "--label-attribute", "two")[0] == 0
    assert job_of(home).counters["TotalLabeled"] == 2
