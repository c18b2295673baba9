"""The page of label verification."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from portal_helpers import Pointer, PortalJob, ask, draw_photo, encode
from test_portal_pages import violations

from gtseg.settings.templates import read_template

FUNCTION = "arn:aws:lambda:us-east-1:432418664414:function:{}-VerificationSemanticSegmentation"


def make_verification(aws: Any, job: str) -> PortalJob:
    """A verification job over one image and its mask, and its worker."""
    s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
    s3.create_bucket(Bucket="labels")
    mask = np.zeros((240, 320), np.uint8)
    mask[60:140, 60:140] = 1
    prior = Image.fromarray(mask, "P")
    prior.putpalette([255, 255, 255, 0x2C, 0xA0, 0x2C])
    entry = {"class-name": "cat", "hex-color": "#2ca02c", "confidence": 0}
    line = {
        "source-ref": "s3://labels/judged/a.png",
        "old-ref": "s3://labels/judged/m.png",
        "old-ref-metadata": {"internal-color-map": {"1": entry}},
    }
    template = (
        read_template("verify.liquid")
        .replace("[[attribute]]", "old-ref")
        .replace("[[header]]", "Right?")
        .replace("[[instructions]]", "Outline every cat.")
    )
    labels = {"document-version": "2018-11-28", "labels": [{"label": "good"}, {"label": "bad"}]}
    files = {
        "a.png": encode(draw_photo(), "PNG"),
        "m.png": encode(prior, "PNG"),
        "in.manifest": json.dumps(line) + "\n",
        "labels.json": json.dumps(labels),
        "t.liquid": template,
    }
    for key, body in files.items():
        s3.put_object(Bucket="labels", Key=f"judged/{key}", Body=body)
    sagemaker.create_labeling_job(
        LabelingJobName=job, LabelAttributeName="judged",
        InputConfig={"DataSource": {"S3DataSource": {"ManifestS3Uri": "s3://labels/judged/in.manifest"}}},
        OutputConfig={"S3OutputPath": "s3://labels/out/"}, RoleArn="arn:aws:iam::123456789012:role/GroundTruth",
        LabelCategoryConfigS3Uri="s3://labels/judged/labels.json",
        HumanTaskConfig={
            "WorkteamArn": sagemaker.list_workteams()["Workteams"][0]["WorkteamArn"],
            "UiConfig": {"UiTemplateS3Uri": "s3://labels/judged/t.liquid"},
            "PreHumanTaskLambdaArn": FUNCTION.format("PRE"),
            "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": FUNCTION.format("ACS")},
            "TaskTitle": "Right?", "TaskDescription": "Is the mask right?",
            "NumberOfHumanWorkersPerDataObject": 1, "TaskTimeLimitInSeconds": 3600,
        },
    )  # fmt: skip
    made = ask(aws, "POST", "/_portal/api/workers", {"name": f"Judge {job}", "team": "gtseg"})
    portal_job = PortalJob(aws, job, {"Judge": f"{aws.url}/_portal/signin#{made['token']}"})
    portal_job.await_status("InProgress")
    return portal_job


def open_verdict(page: Any, link: str) -> None:
    page.goto(link)
    page.get_by_role("link", name="Start").click()
    expect(page.locator("crowd-image-classifier")).to_have_attribute("data-ready", "true")
    page.keyboard.press("Escape")  # the instructions, which open by themselves


def color_at(page: Any, x: float, y: float) -> tuple[int, ...]:
    """RGB of the screen at image point (x, y)."""
    left, top = Pointer(page, 320, 240).at(x, y)
    clip = {"x": round(left), "y": round(top), "width": 1, "height": 1}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB").getpixel((0, 0))  # type: ignore[no-any-return]


def test_a_verdict_page_shows_image_and_mask_and_submits_verdict_and_comment(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_verification(shared_aws, "judging")
    page = open_page()
    open_verdict(page, portal_job.links["Judge"])
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Choose good or bad first")
    for _ in range(6):
        page.keyboard.press("w")  # the mask hides what is under it
    expect(page.get_by_label("Mask strength")).to_have_value("100")
    assert color_at(page, 100, 100) == (
        0xE6,
        0x9F,
        0x00,
    )  # safe for color blindness, whatever the file holds
    page.keyboard.press("v")
    expect(page.get_by_role("checkbox", name="Show mask")).not_to_be_checked()
    assert color_at(page, 100, 100) != (0xE6, 0x9F, 0x00)
    expect(page.locator(".legend")).to_contain_text("8.3%")
    page.keyboard.press("2")
    expect(page.get_by_role("radio", name="bad")).to_be_checked()
    page.keyboard.press("Control+Enter")  # a bad verdict needs its comment, as the page says
    expect(page.get_by_role("alert")).to_contain_text("Write a comment first: say what is bad")
    expect(page.get_by_label("What is wrong?")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.type("the ears")
    page.reload()
    expect(page.get_by_role("radio", name="bad")).to_be_checked()
    expect(page.get_by_label("What is wrong?")).to_have_value("the ears")
    expect(page.locator("crowd-image-classifier")).to_have_attribute("data-ready", "true")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Nothing left to do here")).to_be_visible()
    portal_job.await_status()
    line = json.loads(portal_job.read("output.manifest")[0])
    assert line["judged"] == "1"
    assert line["judged-metadata"]["worker-feedback"] == [{"comment": "the ears"}]


def test_a_mask_can_be_zoomed_before_it_is_judged(shared_aws: Any, open_page: Any) -> None:
    portal_job = make_verification(shared_aws, "looking")
    page = open_page()
    open_verdict(page, portal_job.links["Judge"])
    place = page.locator(".place")
    at = Pointer(page, 320, 240).at(100.5, 60.5)
    page.mouse.move(*at)
    expect(place).to_contain_text("100, 60: cat")
    whole = place.text_content()
    page.mouse.wheel(0, -600)
    expect(place).not_to_have_text(whole)
    expect(place).to_contain_text("100, 60: cat")  # the point under the pointer stays where it is
    page.mouse.down()
    page.mouse.move(at[0] + 80, at[1] + 50, steps=4)
    page.mouse.up()
    expect(place).to_contain_text("100, 60: cat")  # it went along with the pointer
    page.mouse.move(*at)
    expect(place).not_to_contain_text("100, 60: cat")
    page.keyboard.press("r")
    expect(place).to_have_text(whole)
    page.locator(".stage").focus()
    page.keyboard.press("ArrowLeft")
    expect(place).not_to_contain_text("100, 60")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Write the comment")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_an_accessibility_checker_finds_no_violation_on_the_verdict_page(
    shared_aws: Any, open_page: Any, scheme: str, width: int
) -> None:
    portal_job = make_verification(shared_aws, f"axe-verdict-{scheme}-{width}")
    page = open_page(bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 800})
    open_verdict(page, portal_job.links["Judge"])
    assert violations(page) == []
    page.keyboard.press("?")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Nothing left to do here")).to_be_visible()
    assert violations(page) == []
