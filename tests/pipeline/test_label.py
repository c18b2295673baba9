"""label on the embedded AWS: written objects, refusals, one job."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fault_proxy import FaultProxy, Request
from labeling_project import point_at
from PIL import Image

import gtseg
from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import GroundTruth
from gtseg.aws.s3 import S3
from gtseg.core.labeling.cors import LABELING_RULE
from gtseg.core.labeling.job import labeling_job_request
from gtseg.core.labeling.label_file import label_file
from gtseg.errors import GtsegError, SettingsError, StageError
from gtseg.pipeline.run import STAND_IN, create_once, fingerprint
from gtseg.pipeline.run.events import Consent
from gtseg.pipeline.stages.label.buckets import ensure_run_bucket
from gtseg.pipeline.stages.label.images import gather_images
from gtseg.pipeline.stages.label.job import FirstJob, make_job, upload_images
from gtseg.pipeline.stages.label.workteams import choose_workteam


@pytest.fixture
def two(project: Any) -> Any:
    project.image("b/2.PNG", color=2)
    project.image("a 1.jpg", color=1)
    return project


def lines(project: Any, key: str) -> list[dict[str, Any]]:
    body = S3(project.clients).read(f"{project.run.root}{key}")[0]
    return [json.loads(line) for line in body.splitlines()]


def test_a_folder_becomes_a_bucket_a_manifest_and_one_job(two: Any) -> None:
    run = two.label()
    name = f"{two.name}-label-1"
    assert run.labeling_job.name == name
    assert two.written() == [
        "images/a 1.jpg",
        "images/b/2.PNG",
        f"labeling/{name}/annotation-tool/data.json",
        f"labeling/{name}/annotation-tool/template.liquid",
        f"labeling/{name}/images.jsonl",
        f"labeling/{name}/input.manifest",
        "run.json",
    ]
    root = run.root
    assert lines(two, f"labeling/{name}/input.manifest") == [
        {"source-ref": f"{root}images/{n}"} for n in ("a 1.jpg", "b/2.PNG")
    ]
    first = lines(two, f"labeling/{name}/images.jsonl")[0]
    etag = S3(two.clients).head(f"{root}images/a 1.jpg").etag  # type: ignore[union-attr]
    assert (first["width"], first["height"], first["format"], first["etag"]) == (32, 24, "JPEG", etag)


def test_the_job_has_the_settings_and_the_runs_tags(two: Any) -> None:
    two.set(
        "labeling",
        labels=["cat", "dog"],
        workers_per_object=3,
        task_time_limit="10m",
        tags={"team": "vision"},
    )
    run = two.label()
    answer = two.clients.sagemaker.describe_labeling_job(LabelingJobName=run.labeling_job.name)
    assert answer["LabelAttributeName"] == run.labeling_job.label_attribute == f"{run.labeling_job.name}-ref"
    assert answer["HumanTaskConfig"]["NumberOfHumanWorkersPerDataObject"] == 3
    assert answer["HumanTaskConfig"]["TaskTimeLimitInSeconds"] == 600
    tags = GroundTruth(two.clients).find_job(run.labeling_job.name).tags  # type: ignore[union-attr]
    etag = S3(two.clients).read(run.labeling_job.input_manifest)[1]  # type: ignore[union-attr]
    assert tags == {
        "team": "vision",
        "gtseg:run": two.name,
        "gtseg:fingerprint": run.attempts[0].fingerprint,
        "gtseg:root": run.root,
        "gtseg:version": gtseg.__version__,
        "gtseg:manifest": etag,
    }


def test_colors_are_a_tag_of_the_job_and_not_part_of_its_fingerprint(two: Any) -> None:
    two.set("labeling", labels=["cat", "dog"], colors={"dog": "#D55E00"})
    run = two.label()
    assert GroundTruth(two.clients).find_job(run.labeling_job.name).tags["gtseg:colors"] == "2=d55e00"  # type: ignore[union-attr]
    two.set("labeling", labels=["cat", "dog"], colors={})
    assert two.label().labeling_job.name == run.labeling_job.name


def test_a_second_command_finds_the_job_and_changes_nothing(two: Any) -> None:
    first, keys = two.label(), two.written()
    assert two.label().labeling_job == first.labeling_job
    assert two.written() == keys
    assert "nothing to do" in two.messages()


def test_a_stopped_job_is_followed_by_another_without_a_second_upload(two: Any) -> None:
    run = two.label()
    GroundTruth(two.clients).stop_job(run.labeling_job.name)
    two.events.clear()
    again = two.label()
    assert again.labeling_job.name == f"{two.name}-label-2"
    assert [a.outcome for a in again.attempts] == ["failed", "created"]
    assert "0 images uploaded" in two.messages()


def test_an_image_replaced_by_one_of_equal_length_does_not_create_a_second_job(two: Any) -> None:
    two.label()
    path = two.folder / "images/a 1.jpg"
    body = path.read_bytes()
    path.write_bytes(body[:-3] + bytes([body[-3] ^ 1]) + body[-2:])
    with pytest.raises(StageError, match="with other settings or data"):
        two.label()
    path.write_bytes(body)
    assert two.label().labeling_job.name == f"{two.name}-label-1"


def test_a_run_fingerprinted_without_etags_finds_its_job(two: Any) -> None:
    def earlier_gtseg(job: FirstJob) -> str:
        rows = (f"{item.line}\t{item.size}\n" for item in job.gathered.manifest.objects)
        return fingerprint(
            labeling_job_request(job.plan(STAND_IN)), "".join(rows).encode(), label_file(job.labels), job.template
        )

    gathered = gather_images(two.run, two.context())
    team = choose_workteam(two.context())
    job = make_job(two.run, two.context(), gathered, team=team)
    object.__setattr__(job, "fingerprint", earlier_gtseg(job))
    ensure_run_bucket(two.run, two.context())
    upload_images(gathered, two.context())
    _, attempt, _ = create_once(two.run_file, two.run, job)
    assert attempt.fingerprint == earlier_gtseg(job)
    two.label()
    assert "nothing to do" in two.messages()
    assert len(two.run.attempts) == 1


def test_a_changed_setting_does_not_create_a_second_job(two: Any) -> None:
    two.label()
    two.set("labeling", workers_per_object=2)
    with pytest.raises(StageError, match="with other settings or data"):
        two.label()
    assert len(two.run.attempts) == 1


def test_a_dry_run_prints_the_request_that_is_sent_later_and_changes_nothing(two: Any) -> None:
    run = two.label(dry_run=True)
    plan = next(e for e in two.events if e.kind == "plan").fields
    assert run.etag is None
    assert not S3(two.clients).bucket_exists(f"test-{two.name}")
    assert plan["creates_bucket"] == f"test-{two.name}"
    assert plan["adds_cors_to"] == [f"test-{two.name}"]
    assert plan["uploads"] == {"files": 2, "to": f"{run.root}images/"}
    two.label()
    sent = two.clients.sagemaker.describe_labeling_job(LabelingJobName=plan["request"]["LabelingJobName"])
    for key in (
        "LabelAttributeName",
        "InputConfig",
        "OutputConfig",
        "RoleArn",
        "LabelCategoryConfigS3Uri",
        "HumanTaskConfig",
    ):
        assert sent[key] == plan["request"][key]
    assert set(plan["writes"]) == {f"{run.root}{key}" for key in two.written() if not key.startswith("images/")}


def test_images_below_a_prefix_are_labeled_without_copies(two: Any, bucket: str, clients: Clients) -> None:
    S3(clients).upload_folder(two.folder / "images", f"s3://{bucket}/photos/")
    S3(clients).write(f"s3://{bucket}/photos/notes.txt", b"x")
    S3(clients).write(f"s3://{bucket}/photos2/c.jpg", b"x")
    two.set("images", source=f"s3://{bucket}/photos")
    name = two.label().labeling_job.name
    assert [o["source-ref"] for o in lines(two, f"labeling/{name}/input.manifest")] == [
        f"s3://{bucket}/photos/a 1.jpg",
        f"s3://{bucket}/photos/b/2.PNG",
    ]
    assert S3(clients).cors_rules(bucket)[0]["ExposeHeaders"] == ["Access-Control-Allow-Origin"]
    assert "1 other file is left alone" in two.messages()


def test_a_bucket_as_source_excludes_the_runs_own_masks(two: Any) -> None:
    run = two.label()
    S3(two.clients).write(f"{run.root}labeling/x/annotations/consolidated-annotation/output/0_x.png", b"x")
    two.set("images", source=f"s3://test-{two.name}/")
    two.label(dry_run=True)
    assert "2 images (1 JPEG, 1 PNG)" in two.messages()


def test_existing_cors_rules_of_a_bucket_stay(two: Any, bucket: str, clients: Clients) -> None:
    own = {"AllowedMethods": ["PUT"], "AllowedOrigins": ["https://app.example"]}
    S3(clients).put_cors(bucket, [own])
    S3(clients).upload_folder(two.folder / "images", f"s3://{bucket}/")
    two.set("images", source=f"s3://{bucket}/")
    two.label()
    kept, added = S3(clients).cors_rules(bucket)
    assert own.items() <= kept.items()
    assert {k: v for k, v in LABELING_RULE.items() if v}.items() <= added.items()
    assert "its 1 other rules are kept" in two.messages()


def test_the_lines_of_an_existing_manifest_stay(two: Any, bucket: str, clients: Clients) -> None:
    S3(clients).upload_folder(two.folder / "images", f"s3://{bucket}/")
    body = f'{{"source-ref": "s3://{bucket}/b/2.PNG", "scene": 7}}\n'.encode()
    S3(clients).write(f"s3://{bucket}/mine.manifest", body)
    two.set("images", source=f"s3://{bucket}/mine.manifest")
    name = two.label().labeling_job.name
    assert S3(clients).read(f"{two.run.root}labeling/{name}/input.manifest")[0] == body


def test_unusable_images_are_reported_and_the_others_are_labeled(two: Any) -> None:
    (two.folder / "images/empty.jpg").write_bytes(b"")
    (two.folder / "images/page.png").write_bytes(b"<html>")
    (two.folder / "images/cut.jpg").write_bytes((two.folder / "images/a 1.jpg").read_bytes()[:100])
    noise = Image.effect_noise((64, 48), 90)
    noise.save(two.folder / "images/torn.jpg")
    (two.folder / "images/torn.jpg").write_bytes((two.folder / "images/torn.jpg").read_bytes()[:-300])
    (two.folder / "images/readme.txt").write_text("x")
    (two.folder / "images/.DS_Store").write_bytes(b"x")
    two.image("webp.jpg", kind="WEBP")
    two.image("really-a-png.jpg", kind="PNG", color=9)
    two.image("cmyk.jpg", mode="CMYK", color=3)
    exif = Image.Exif()
    exif[0x0112] = 6
    two.image("turned.jpg", color=5, exif=exif)
    (two.folder / "images/copy.jpg").write_bytes((two.folder / "images/a 1.jpg").read_bytes())
    run = two.label()
    warnings = two.messages("warning")
    for words in (
        "empty.jpg is empty",
        "page.png contains a web page or SVG",
        "cut.jpg has a damaged or truncated header",
        "torn.jpg is truncated",
        "webp.jpg contains WEBP",
        "really-a-png.jpg is named .jpg but is a PNG file",
        "cmyk.jpg is CMYK",
        "turned.jpg has EXIF orientation 6",
        "copy.jpg has the same bytes as",
    ):
        assert words in warnings
    assert (run.labeling_job.objects, run.labeling_job.rejected) == (6, 5)
    side = lines(two, f"labeling/{run.labeling_job.name}/images.jsonl")
    assert [line["source-ref"].rpartition("/")[2] for line in side if "rejected" in line] == [
        "cut.jpg",
        "empty.jpg",
        "page.png",
        "torn.jpg",
        "webp.jpg",
    ]


def test_a_missing_image_of_a_manifest_is_omitted(two: Any, bucket: str, clients: Clients) -> None:
    S3(clients).upload_folder(two.folder / "images", f"s3://{bucket}/")
    (two.folder / "my.jsonl").write_text(
        "".join(f'{{"source-ref":"s3://{bucket}/{name}"}}\n' for name in ("a 1.jpg", "gone.jpg", "a 1.jpg"))
    )
    two.set("images", source="my.jsonl")
    run = two.label()
    assert (run.labeling_job.objects, run.labeling_job.rejected) == (1, 1)
    assert "gone.jpg cannot be read: NoSuchKey" in two.messages()
    assert "listed twice" in two.messages()


@pytest.mark.parametrize(
    ("table", "values", "kind", "words"),
    [
        ("images", {"source": "nowhere"}, StageError, "does not exist"),
        ("images", {"source": "gtseg.toml"}, StageError, r"gtseg\.toml is a file\. Use a folder"),
        ("images", {"source": "nowhere.manifest"}, StageError, "cannot be read"),
        ("images", {"source": "empty"}, StageError, "No image to label"),
        ("labeling", {"labels": []}, SettingsError, "labels is empty"),
        ("labeling", {"template": "none.liquid"}, SettingsError, "none.liquid"),
        ("labeling", {"automated": True}, SettingsError, "automated labeling needs 1,250 objects .*; there are 2"),
        ("project", {"create_bucket": False}, StageError, "--create-bucket"),
        ("project", {"role_arn": "arn:aws:iam::12:role/x"}, SettingsError, "role_arn"),
    ],
)
def test_invalid_input_is_refused_before_anything_is_created(
    two: Any, table: str, values: dict[str, Any], kind: type[GtsegError], words: str
) -> None:
    (two.folder / "empty").mkdir()
    two.set(table, **values)
    with pytest.raises(kind, match=words):
        two.label()
    assert not S3(two.clients).bucket_exists(f"test-{two.name}")


def test_the_public_crowd_needs_an_option_and_gives_a_warning(two: Any) -> None:
    two.set(
        "labeling",
        workforce="public",
        price_per_task="0.84",
        content_classifiers=["FreeOfPersonallyIdentifiableInformation"],
    )
    with pytest.raises(SettingsError, match=r"closed on 30 September 2026.*--allow-public-crowd"):
        two.label()
    two.label(dry_run=True, consent=Consent(public_crowd=True))
    plan = next(e for e in two.events if e.kind == "plan").fields
    assert plan["request"]["HumanTaskConfig"]["WorkteamArn"].endswith(":394669845002:workteam/public-crowd/default")
    assert "AWS will most likely refuse" in two.messages("warning")
    assert plan["cost"] == "2 objects x (1 worker x 0.84 + 0.08) USD = 1.84 USD"


def test_a_refused_price_creates_no_labeling_job(two: Any) -> None:
    asked: list[str] = []
    two.clients.__dict__["is_aws"] = lambda service: service == "labeling"
    with pytest.raises(GtsegError, match="Nothing was started"):
        two.label(consent=Consent(spend=lambda words: bool(asked.append(words))))
    assert "0.16 USD" in asked[0]
    assert not S3(two.clients).bucket_exists(f"test-{two.name}")


def test_one_of_several_private_teams_must_be_named(
    two: Any, start_local_aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(start_local_aws(), monkeypatch)
    two.clients = Clients()
    teams = GroundTruth(two.clients).list_workteams()
    two.label()
    own = two.clients.sagemaker.describe_workteam(WorkteamName=teams[0].name)["Workteam"]["MemberDefinitions"]
    two.clients.sagemaker.create_workteam(WorkteamName="second", Description="x", MemberDefinitions=own)
    with pytest.raises(SettingsError, match=r"2 private workteams(.|\n)*/second"):
        two.label(dry_run=True)
    two.set("labeling", workteam_arn=teams[0].arn)
    two.label(dry_run=True)


def through(project: Any, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    project.clients = Clients()


def test_a_public_bucket_that_denies_the_credentials_is_read_unsigned(
    two: Any, bucket: str, clients: Clients, shared_aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    S3(clients).upload_folder(two.folder / "images", f"s3://{bucket}/")
    public = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"]}
    public["Resource"] = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    clients.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [public]}))
    denial = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

    def deny(request: Request) -> tuple[int, bytes] | None:
        return (403, denial) if request.is_signed and f"/{bucket}" in request.name else None

    with FaultProxy(shared_aws.url, before=deny) as proxy:
        through(two, proxy, monkeypatch)
        two.set("images", source=f"s3://{bucket}/")
        run = two.label()
    assert run.labeling_job.objects == 2
    assert "is read with unsigned requests" in two.messages("note")
    assert f"the CORS rules of bucket {bucket} cannot be read or changed" in two.messages("warning")


def test_a_bucket_in_another_region_is_refused_before_anything_is_uploaded(
    two: Any, clients: Clients, shared_aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients.s3.create_bucket(Bucket=f"test-{two.name}")
    elsewhere = b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>'

    def move(request: Request) -> tuple[int, bytes] | None:
        return (200, elsewhere) if "?location" in request.name else None

    with FaultProxy(shared_aws.url, before=move) as proxy:
        through(two, proxy, monkeypatch)
        with pytest.raises(StageError, match="is in eu-west-1, but the labeling job would be in us-east-1"):
            two.label()
    assert list(S3(clients).list_objects(f"s3://test-{two.name}/")) == []


def test_a_changed_setting_is_refused_before_the_price_and_before_uploads(two: Any) -> None:
    two.label()
    two.image("new.jpg", color=8)
    two.clients.__dict__["is_aws"] = lambda service: True
    with pytest.raises(StageError, match="settings or data"):
        two.label(consent=Consent(spend=lambda words: pytest.fail("asked")))
    assert "images/new.jpg" not in two.written()
