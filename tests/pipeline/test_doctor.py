from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest
from PIL import Image

from gtseg.core.training.image_uris import image_uri
from gtseg.pipeline.commands.doctor import Finding, examine


def findings(project: Any) -> list[Finding]:
    return list(examine(project.context(), project.run_file.root))


def found(project: Any, subject: str) -> Finding:
    return next(f for f in findings(project) if f.subject == subject)


def as_aws(project: Any) -> Any:
    """Treat the server as AWS, so that checks for AWS run."""
    project.clients.__dict__["is_aws"] = lambda service: True
    return project


def test_a_valid_project_has_no_bad_finding(project: Any) -> None:
    project.image("a.jpg")
    assert not [f for f in findings(project) if f.level == "bad"]


def test_every_finding_that_is_not_good_has_a_remedy(project: Any) -> None:
    project.set("images", source="nowhere")
    project.set("labeling", labels=["cat"])
    for finding in findings(project):
        assert finding.level == "good" or finding.remedy or finding.subject in {"workteam"}, finding


def test_a_region_without_ground_truth_is_named(project: Any) -> None:
    project.set("project", region="eu-north-1")
    project.clients._region = "eu-north-1"
    project.clients.__dict__.pop("region", None)
    assert any("eu-north-1" in f.found and f.level == "bad" for f in findings(project) if f.subject == "region")


def test_a_missing_bucket_is_reported(project: Any) -> None:
    assert found(project, "bucket").level == "warning"


def test_a_bucket_without_cors_is_reported(project: Any) -> None:
    project.clients.s3.create_bucket(Bucket=f"test-{project.name}")
    assert "no rule" in found(project, "CORS").found


def test_bad_images_are_named_one_by_one(project: Any) -> None:
    project.image("good.jpg")
    (project.folder / "images" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    Image.new("CMYK", (8, 8)).save(project.folder / "images" / "print.jpg")
    texts = " ".join(f.found for f in findings(project) if f.level == "bad")
    assert "cut.jpg" in texts
    assert "print.jpg is CMYK" in texts
    assert "good.jpg" not in texts


def test_the_images_of_a_manifest_are_checked(project: Any) -> None:
    bucket = f"test-{project.name}"
    project.clients.s3.create_bucket(Bucket=bucket)
    body = project.image("a.jpg").read_bytes()
    for name, content in (("a.jpg", body), ("b.jpg", body[:-100])):
        project.clients.s3.put_object(Bucket=bucket, Key=name, Body=content)
    (project.folder / "in.manifest").write_text(
        "".join(f'{{"source-ref":"s3://{bucket}/{name}"}}\n' for name in ("a.jpg", "b.jpg"))
    )
    project.set("images", source="in.manifest")
    assert "1 of 2 checked images are fine" in found(project, "images").found
    assert "b.jpg cannot be decoded" in found(project, "image").found


def test_no_images_are_a_bad_finding(project: Any) -> None:
    (project.folder / "images").mkdir()
    assert "no .jpg" in found(project, "images").found


def test_a_template_without_its_form_is_a_bad_finding(project: Any) -> None:
    (project.folder / "mine.liquid").write_text("<p>hello</p>")
    project.set("labeling", template="mine.liquid")
    assert "crowd-form" in found(project, "template").found


def test_more_labels_than_the_console_shows_are_reported(project: Any) -> None:
    project.set("labeling", labels=[f"c{i}" for i in range(12)])
    assert "at most 10" in found(project, "labels").found


def test_an_unknown_workteam_is_a_bad_finding(project: Any) -> None:
    project.set("labeling", workteam_arn="arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/nobody")
    assert found(project, "workteam").level == "bad"


@pytest.mark.parametrize(("service", "level"), [("sagemaker.amazonaws.com", "good"), ("ec2.amazonaws.com", "bad")])
def test_a_role_must_trust_sagemaker(project: Any, service: str, level: str) -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": [service]}, "Action": "sts:AssumeRole"}
    name = f"role-{project.name}"
    arn = project.clients.iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [statement]})
    )["Role"]["Arn"]
    project.set("project", role_arn=arn)
    assert found(as_aws(project), "role").level == level


def test_a_missing_role_is_bad_and_a_denied_policy_simulation_is_not_a_verdict(project: Any) -> None:
    project.set("project", role_arn="arn:aws:iam::123456789012:role/nobody-there")
    assert "does not exist" in found(as_aws(project), "role").found


def test_the_end_of_the_public_crowd_is_reported_with_its_date(project: Any) -> None:
    closed = found(as_aws(project), "Ground Truth")
    assert "30 July 2026" in closed.found
    assert "30 September 2026" in closed.found


def test_without_credentials_the_other_checks_still_run(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    project.image("a.jpg")
    root = project.run_file.root
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    from gtseg.aws.clients import Clients

    report = list(examine(project.context(clients=Clients()), root))
    assert report[-1].subject in {"template", "Ground Truth"}
    assert any(f.level == "bad" for f in report)


def test_one_cause_is_reported_once_for_all_checks_it_affects(project: Any) -> None:
    project.image("a.jpg")
    root = project.run_file.root
    from gtseg.aws.clients import Clients

    bad = [f for f in examine(project.context(clients=Clients(labeling_profile="gone")), root) if f.level == "bad"]
    assert ["no such profile" in f.found for f in bad] == [True] + [False] * (len(bad) - 1)
    assert {f.found for f in bad[1:]} == {"unknown, for the reason given at region"}


def put_model(project: Any, name: str) -> str:
    """A model as an earlier labeling job leaves it, its artifact among the project's objects."""
    bucket = f"test-{project.name}"
    project.clients.s3.create_bucket(Bucket=bucket)
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("model_algo-1"), io.BytesIO())
    project.clients.s3.put_object(Bucket=bucket, Key="earlier/model.tar.gz", Body=body.getvalue())
    container = {"Image": image_uri("us-east-1"), "ModelDataUrl": f"s3://{bucket}/earlier/model.tar.gz"}
    arn: str = project.clients.sagemaker.create_model(
        ModelName=name, PrimaryContainer=container, ExecutionRoleArn=f"arn:aws:iam::{project.clients.account}:role/x"
    )["ModelArn"]
    return arn


def test_the_initial_model_of_automated_labeling_must_exist_and_be_readable(project: Any) -> None:
    arn = put_model(project, f"{project.name}-earlier")

    def look(model: str) -> Finding:
        project.set("labeling", labels=["cat"], automated=True, initial_model_arn=model)
        return found(project, "initial model")

    assert look(arn).level == "good"
    assert "does not exist" in look(f"{arn}-x").found
    assert "is of region eu-west-1" in look(arn.replace("us-east-1", "eu-west-1")).found
    assert "is of account 000000000000" in look(arn.replace(project.clients.account, "000000000000")).found
    project.clients.s3.delete_object(Bucket=f"test-{project.name}", Key="earlier/model.tar.gz")
    assert "does not exist: s3://" in look(arn).found
