"""A mask is judged in a real browser: the page that label verification shows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import expect
from portal_person import ask, draw_photo, encode

from gtseg.settings.templates import read_template

FUNCTION = "arn:aws:lambda:us-east-1:432418664414:function:{}-VerificationSemanticSegmentation"


def make_verification(aws: Any) -> str:
    """A verification job over one image and its mask; Ada's link."""
    s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
    s3.create_bucket(Bucket="judged")
    mask = np.zeros((240, 320), np.uint8)
    mask[60:140, 60:140] = 1
    prior = Image.fromarray(mask, "P")
    prior.putpalette([255, 255, 255, 0x2C, 0xA0, 0x2C])
    entry = {"class-name": "cat", "hex-color": "#2ca02c", "confidence": 0}
    line = {
        "source-ref": "s3://judged/a.png",
        "old-ref": "s3://judged/m.png",
        "old-ref-metadata": {"internal-color-map": {"1": entry}},
    }
    template = (
        read_template("verify.liquid").replace("[[attribute]]", "old-ref").replace("[[header]]", "Right?")
    )
    labels = {"document-version": "2018-11-28", "labels": [{"label": "good"}, {"label": "bad"}]}
    files = {
        "a.png": encode(draw_photo(), "PNG"), "m.png": encode(prior, "PNG"), "in.manifest": json.dumps(line) + "\n",
        "labels.json": json.dumps(labels), "t.liquid": template,
    }  # fmt: skip
    for key, body in files.items():
        s3.put_object(Bucket="judged", Key=key, Body=body)
    sagemaker.create_labeling_job(
        LabelingJobName="judging", LabelAttributeName="judged",
        InputConfig={"DataSource": {"S3DataSource": {"ManifestS3Uri": "s3://judged/in.manifest"}}},
        OutputConfig={"S3OutputPath": "s3://judged/out/"}, RoleArn="arn:aws:iam::123456789012:role/GroundTruth",
        LabelCategoryConfigS3Uri="s3://judged/labels.json",
        HumanTaskConfig={
            "WorkteamArn": sagemaker.list_workteams()["Workteams"][0]["WorkteamArn"],
            "UiConfig": {"UiTemplateS3Uri": "s3://judged/t.liquid"},
            "PreHumanTaskLambdaArn": FUNCTION.format("PRE"),
            "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": FUNCTION.format("ACS")},
            "TaskTitle": "Right?", "TaskDescription": "Is the mask right?",
            "NumberOfHumanWorkersPerDataObject": 1, "TaskTimeLimitInSeconds": 3600,
        },
    )  # fmt: skip
    made = ask(aws, "POST", "/_portal/api/workers", {"name": "Judge", "team": "gtseg"})
    return f"{aws.url}/_portal/signin#{made['token']}"


def test_a_person_sees_image_and_mask_and_says_what_is_wrong(shared_aws: Any, open_page: Any) -> None:
    link = make_verification(shared_aws)
    page = open_page()
    page.goto(link)
    page.get_by_role("link", name="Start").click()
    expect(page.locator("crowd-image-classifier")).to_have_attribute("data-ready", "true")
    page.keyboard.press("Escape")  # the instructions, which open by themselves
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Choose good or bad first")
    pixel = "(c) => [...c.getContext('2d').getImageData(100, 100, 1, 1).data, ...c.getContext('2d').getImageData(5, 5, 1, 1).data]"
    shown = page.locator(".judged canvas").nth(1).evaluate(pixel)
    assert shown == [0x2C, 0xA0, 0x2C, 255, 0, 0, 0, 0]
    page.keyboard.press("2")
    expect(page.get_by_role("radio", name="bad")).to_have_attribute("aria-checked", "true")
    page.get_by_label("What is wrong?").fill("the ears")
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_text("Nothing left to do here")).to_be_visible()
    sagemaker = shared_aws.client("sagemaker")
    for _ in range(200):
        if sagemaker.describe_labeling_job(LabelingJobName="judging")["LabelingJobStatus"] == "Completed":
            break
        page.wait_for_timeout(50)
    key = "out/judging/manifests/output/output.manifest"
    line = json.loads(shared_aws.client("s3").get_object(Bucket="judged", Key=key)["Body"].read())
    assert line["judged"] == "1"
    assert line["judged-metadata"]["worker-feedback"] == [{"comment": "the ears"}]
