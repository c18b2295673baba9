"""The simulated crowd: lookup of masks, exactness at error 0, reproducibility; and unmodified AWS clients."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labeling_fixture import SIZE, Labeling, square
from PIL import Image
from polling import wait_for
from test_verdicts import ask_for_verdicts

from gtseg.local.labeling.crowd import MaskFolder, choose_verdicts, measure_agreement
from gtseg.local.labeling.mask_values import ValueOptions

pytestmark = pytest.mark.usefixtures("no_workers")
CATS = Path(__file__).parents[2] / "data" / "cats"
AWS = str(Path(sys.executable).with_name("aws"))


def put_mask(folder: Path, name: str, mask: np.ndarray | None = None, mode: str = "L") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(square() if mask is None else mask).convert(mode).save(path)
    return path


def run_crowd_until(labeling: Labeling, job: str, *arguments: str) -> dict[str, Any]:
    """Run `gtseg local crowd` until the job has ended; return the job's description."""
    command = [sys.executable, "-m", "gtseg.local.cli", "crowd", "--data", str(labeling.aws.folder), *arguments]
    crowd = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        return labeling.await_end(job)
    finally:
        crowd.terminate()
        assert crowd.wait(20) == 0, crowd.stderr and crowd.stderr.read()


def test_masks_are_found_by_longest_path_then_by_unique_stem(tmp_path: Path) -> None:
    for name in (
        "b/x.png",
        "x.png",
        "deep/only.png",
        "one/twice.png",
        "two/twice.png",
        "c/y.jpg.png",
        "a b.png",
        "100%20#?.png",
    ):
        put_mask(tmp_path, name)
    masks = MaskFolder(tmp_path)

    def find(uri: str) -> str | None:
        found = masks.find(uri)
        return found and found.relative_to(tmp_path).as_posix()

    assert find("s3://bucket/a/b/x.jpg") == "b/x.png"
    assert find("s3://bucket/a/x.jpeg") == "x.png"
    assert find("s3://bucket/elsewhere/only.JPG") == "deep/only.png"
    assert find("s3://bucket/c/y.jpg") == "c/y.jpg.png"
    assert find("s3://bucket/elsewhere/twice.jpg") is None
    assert find("s3://bucket/100%20#?.jpg") == "100%20#?.png"
    assert find("s3://bucket/a%20b.jpg") == "a b.png"
    assert find("s3://bucket/../../../etc/passwd.jpg") is None


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (square(3), "value 3, but the job has 2 labels"),
        (np.zeros((5, 5), np.uint8), "5x5, but the image is 32x24"),
        (np.zeros((24, 32, 3), np.uint8), "mode RGB"),
    ],
)
def test_an_invalid_mask_is_refused_with_the_reason(tmp_path: Path, mask: np.ndarray, words: str) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(mask).save(path)
    with pytest.raises(ValueError, match=words):
        MaskFolder(tmp_path).read(path, labels=("cat", "dog"), size=SIZE)


def test_palette_masks_are_read_as_indices_and_void_is_kept(tmp_path: Path) -> None:
    drawn = square(2)
    drawn[0] = 255
    image = Image.fromarray(drawn, mode="L")
    image.putpalette(bytes(range(256)) * 3)
    image.save(tmp_path / "a.png")
    masks = MaskFolder(tmp_path)
    labels = ("void", "cat", "dog")
    numbers = masks.read(tmp_path / "a.png", labels=labels, size=SIZE)
    assert np.array_equal(numbers, drawn)
    answer = masks.meaning(labels).to_job(np.where(numbers == 255, 0, numbers), numbers == 255)
    assert np.array_equal(answer, np.where(drawn == 255, 1, np.where(drawn == 2, 3, 0)))
    with pytest.raises(ValueError, match="32 void pixels, but the job has no label"):
        masks.read(tmp_path / "a.png", labels=("cat", "dog"), size=SIZE)
    dropped = MaskFolder(tmp_path, ValueOptions(drop_void=True))
    assert dropped.meaning(("cat", "dog")).void is None
    dropped.read(tmp_path / "a.png", labels=("cat", "dog"), size=SIZE)


def test_void_pixels_survive_consolidation_of_erring_workers(shared_aws: Any, tmp_path: Path) -> None:
    labeling = Labeling(shared_aws)
    truth = square()
    truth[:6] = 255
    put_mask(tmp_path, "000.png", truth)
    (photo,) = labeling.put_pictures(1)
    job = labeling.create([{"source-ref": photo}], workers=3, labels=("cat", "void"))
    run_crowd_until(labeling, job, "--masks", str(tmp_path), "--workers", "3", "--error", "0.3")
    (line,) = labeling.manifest(job)
    mask = np.array(Image.open(io.BytesIO(labeling.read(line[f"{job}-ref"]))))
    assert line[f"{job}-ref-metadata"]["internal-color-map"]["2"]["class-name"] == "void"
    assert np.array_equal(mask == 2, truth == 255)


def test_at_error_0_a_job_writes_the_known_masks_of_real_photographs(local_aws: Any) -> None:
    labeling = Labeling(local_aws)
    lines = [
        {"source-ref": labeling.put(f"photos/{path.name}", path.read_bytes())}
        for path in sorted((CATS / "images").glob("*.jpg"))
    ]
    lines.append({"source-ref": labeling.put("photos/unknown.jpg", (CATS / "images" / "group0277.jpg").read_bytes())})
    job = labeling.create(lines, workers=3)
    described = run_crowd_until(labeling, job, "--masks", str(CATS / "masks"), "--workers", "5", "--error", "0")
    assert described["LabelCounters"]["TotalLabeled"] == 10
    *labeled, unknown = labeling.manifest(job)
    for line in labeled:
        truth = np.array(Image.open(CATS / "masks" / f"{Path(line['source-ref']).stem}.png"))
        assert np.array_equal(np.array(Image.open(io.BytesIO(labeling.read(line[f"{job}-ref"])))), truth)
        assert line[f"{job}-ref-metadata"]["internal-color-map"]["1"]["confidence"] == 1
    assert "no mask for" in unknown[f"{job}-ref-metadata"]["failure-reason"]


def test_answers_depend_on_seed_worker_and_object_alone(shared_aws: Any, tmp_path: Path) -> None:
    labeling = Labeling(shared_aws)
    big = np.zeros((24, 32), np.uint8)
    big[4:20, 4:28] = 1
    for number in range(6):
        put_mask(tmp_path, f"{number:03}.png", big)
    outcomes = []
    for seed in ("1", "1", "2"):
        job = labeling.create(6, workers=3)
        run_crowd_until(labeling, job, "--masks", str(tmp_path), "--workers", "3", "--error", "0.3", "--seed", seed)
        outcomes.append([labeling.read(line[f"{job}-ref"]) for line in labeling.manifest(job)])
    assert outcomes[0] == outcomes[1]
    assert outcomes[0] != outcomes[2]


def test_a_crowd_that_declines_everything_fails_the_objects(shared_aws: Any, tmp_path: Path) -> None:
    labeling = Labeling(shared_aws)
    put_mask(tmp_path, "000.png")
    job = labeling.create(1, workers=2)
    described = run_crowd_until(labeling, job, "--masks", str(tmp_path), "--decline", "1")
    assert described["LabelCounters"]["FailedNonRetryableError"] == 1
    assert "declined at random" in labeling.manifest(job)[0][f"{job}-ref-metadata"]["failure-reason"]


def test_the_servers_crowd_labels_every_job_and_continues_after_kill_9(start_local_aws: Any, tmp_path: Path) -> None:
    for number in range(40):
        put_mask(tmp_path / "masks", f"{number:03}.png")
    aws = start_local_aws(options={"crowd_masks": str(tmp_path / "masks"), "crowd_error": 0.0})
    labeling = Labeling(aws)
    job = labeling.create(40, workers=3)
    wait_for(lambda: labeling.describe(job)["LabelCounters"]["TotalLabeled"] >= 1)
    aws.kill9()
    aws.start()
    labeling.connect()
    assert labeling.await_end(job)["LabelCounters"]["TotalLabeled"] == 40
    assert len([key for key in labeling.keys(f"out/{job}/") if key.endswith(".png")]) == 40


def test_a_crowd_started_on_a_full_disk_works_once_there_is_space(local_aws: Any, tmp_path: Path) -> None:
    labeling = Labeling(local_aws)
    put_mask(tmp_path, "000.png")
    job = labeling.create(1, workers=1)
    _, hard = resource.prlimit(local_aws.pid, resource.RLIMIT_FSIZE)
    before = resource.prlimit(local_aws.pid, resource.RLIMIT_FSIZE, (4096, hard))
    threading.Timer(3, resource.prlimit, (local_aws.pid, resource.RLIMIT_FSIZE, before)).start()
    described = run_crowd_until(labeling, job, "--masks", str(tmp_path), "--error", "0")
    assert described["LabelCounters"]["TotalLabeled"] == 1


# ---------------------------------------------------------------- unmodified clients


def test_the_aws_command_line_creates_describes_lists_and_stops(shared_aws: Any) -> None:
    labeling = Labeling(shared_aws)
    request = labeling.request(2)

    def aws(*arguments: str) -> Any:
        done = subprocess.run(
            [AWS, "sagemaker", *arguments, "--output", "json"],
            env=shared_aws.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")

    assert aws("create-labeling-job", "--cli-input-json", json.dumps(request))["LabelingJobArn"].endswith(
        request["LabelingJobName"].lower()
    )
    assert (
        aws("describe-labeling-job", "--labeling-job-name", request["LabelingJobName"])["LabelAttributeName"]
        == request["LabelAttributeName"]
    )
    listed = aws("list-labeling-jobs", "--name-contains", request["LabelingJobName"])["LabelingJobSummaryList"]
    assert [job["LabelingJobName"] for job in listed] == [request["LabelingJobName"]]
    aws("stop-labeling-job", "--labeling-job-name", request["LabelingJobName"])
    assert labeling.await_end(request["LabelingJobName"])["LabelingJobStatus"] == "Stopped"


SDK = """
import json, sys
from sagemaker.core.resources import LabelingJob
from sagemaker.core.utils.utils import SageMakerClient
request = json.loads(sys.stdin.read())
import re
snake = lambda name: re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("s3_uri", "s3_uri")
from sagemaker.core import shapes
job = LabelingJob.create(
    labeling_job_name=request["LabelingJobName"], label_attribute_name=request["LabelAttributeName"],
    role_arn=request["RoleArn"], label_category_config_s3_uri=request["LabelCategoryConfigS3Uri"],
    input_config=shapes.LabelingJobInputConfig(data_source=shapes.LabelingJobDataSource(
        s3_data_source=shapes.LabelingJobS3DataSource(manifest_s3_uri=request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"]))),
    output_config=shapes.LabelingJobOutputConfig(s3_output_path=request["OutputConfig"]["S3OutputPath"]),
    human_task_config=shapes.HumanTaskConfig(
        workteam_arn=request["HumanTaskConfig"]["WorkteamArn"],
        ui_config=shapes.UiConfig(ui_template_s3_uri=request["HumanTaskConfig"]["UiConfig"]["UiTemplateS3Uri"]),
        pre_human_task_lambda_arn=request["HumanTaskConfig"]["PreHumanTaskLambdaArn"],
        annotation_consolidation_config=shapes.AnnotationConsolidationConfig(
            annotation_consolidation_lambda_arn=request["HumanTaskConfig"]["AnnotationConsolidationConfig"]["AnnotationConsolidationLambdaArn"]),
        task_title="t", task_description="d", number_of_human_workers_per_data_object=1, task_time_limit_in_seconds=60))
got = LabelingJob.get(labeling_job_name=request["LabelingJobName"])
got.refresh()
assert got.labeling_job_arn == job.labeling_job_arn
assert request["LabelingJobName"] in [one.labeling_job_name for one in LabelingJob.get_all()]
got.stop()
got.wait(poll=1, timeout=60)
print(got.labeling_job_status)
"""


def test_sagemakers_sdk_creates_gets_lists_waits_and_stops(shared_aws: Any) -> None:
    labeling = Labeling(shared_aws)
    done = subprocess.run(
        [sys.executable, "-c", SDK],
        input=json.dumps(labeling.request(2)),
        env=shared_aws.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().splitlines()[-1] == "Stopped"


def encode_mask(mask: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("error", "verdicts"), [("0", ["good", "bad"]), ("1", ["bad", "good"])])
def test_the_crowd_judges_masks_of_an_earlier_job_with_the_given_error(
    shared_aws: Any, tmp_path: Path, error: str, verdicts: list[str]
) -> None:
    labeling, truth = Labeling(shared_aws), square()
    priors = (truth, np.roll(truth, 12, axis=1))
    lines = []
    for number, (photo, prior) in enumerate(zip(labeling.put_pictures(2), priors, strict=True)):
        put_mask(tmp_path, f"{number:03}.png", truth)
        uri = labeling.put(f"old/{number}.png", encode_mask(prior))
        classes = {"1": {"class-name": "cat", "hex-color": "#2ca02c", "confidence": 0}}
        metadata = {"internal-color-map": classes, "type": "groundtruth/semantic-segmentation"}
        lines.append({"source-ref": photo, "old-ref": uri, "old-ref-metadata": metadata})
    job = ask_for_verdicts(labeling, lines, workers=3)
    run_crowd_until(labeling, job, "--masks", str(tmp_path), "--workers", "3", "--error", error)
    assert [line["checked-metadata"]["class-name"] for line in labeling.manifest(job)] == verdicts


def test_a_judged_mask_is_compared_with_the_known_one_by_class() -> None:
    truth = np.array([[0, 1, 1, 2], [0, 1, 1, 255]], np.uint8)
    assert measure_agreement(truth, truth) == 1
    assert measure_agreement(np.zeros_like(truth), np.zeros_like(truth)) == 1
    assert measure_agreement(np.where(truth == 2, 0, truth), truth) == 0.5  # one of two classes is missing
    assert choose_verdicts(["Bad", "Good", "unsure"]) == ("Good", "Bad")
    assert choose_verdicts(["ja", "vielleicht", "nein"]) == ("ja", "nein")
