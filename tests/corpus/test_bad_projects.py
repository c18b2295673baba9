"""Bad settings, templates, images and names through the commands: the exit code, one message, nothing created."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corpus_desk import Desk
from PIL import Image

LABELING = '[images]\nsource = "photos"\n[labeling]\nlabels = ["cat"]\n'
SHIPPED = (Path(__file__).parents[2] / "templates" / "template.liquid").read_text()


def encode(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    target = io.BytesIO()
    (image or Image.new("RGB", (32, 24), (9, 90, 200))).save(target, kind, **options)
    return target.getvalue()


# name: (what stands below [project], exit code, words)
SETTINGS: dict[str, tuple[str, int, str]] = {
    "no TOML": ("[labeling\n", 2, "gtseg.toml"),
    "a table that is none": ("[labelling]\nlabels = []\n", 2, "Did you mean labeling"),
    "a key that is none": ("[labeling]\nlabel = ['cat']\n", 2, "Did you mean labels"),
    "no labels": ("[images]\nsource = 'photos'\n", 2, "labels is empty"),
    "a label twice": ("[labeling]\nlabels = ['cat', 'cat']\n", 2, "more than once: cat"),
    "BACKGROUND as a label": ("[labeling]\nlabels = ['background']\n", 2, "BACKGROUND itself"),
    "text for a number": ("[labeling]\nworkers_per_object = 'three'\n", 2, "workers_per_object"),
    "too many workers": ("[labeling]\nworkers_per_object = 99\n", 2, "9"),
    "a duration without a unit": ("[labeling]\ntask_time_limit = 60\n", 2, "a duration must be a string with a unit"),
    "shares of 0.9": ("[dataset]\nsplit = { train = 0.5, validation = 0.2, test = 0.2 }\n", 2, "must be 1"),
    "41 tags": ("[labeling.tags]\n" + "".join(f'k{n} = "v"\n' for n in range(41)), 2, "at most 40 tags"),
    "a tag of gtseg's own": ('[labeling.tags]\n"gtseg:fingerprint" = "mine"\n', 2, "gtseg: prefix"),
    "a budget below nothing": ("[budget]\nmax_usd = -1\n", 2, "max_usd"),
    "a role that is none": ("role_arn = 'admin'\n", 2, "role_arn"),
    "a prefix with a scheme": ("prefix = 's3://b/x'\n", 2, "prefix"),
    "a folder of images that is not there": (
        "[images]\nsource = 'nowhere'\n[labeling]\nlabels = ['cat']\n",
        3,
        "nowhere",
    ),
    "a bucket of images that is not there": (
        "[images]\nsource = 's3://no-such-bucket-at-all/x/'\n[labeling]\nlabels = ['cat']\n",
        3,
        "no-such-bucket-at-all",
    ),
    "a web address for images": ("[images]\nsource = 'http://x/y'\n", 2, "s3://"),
    "a workteam that is not there": (
        LABELING + "workteam_arn = 'arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/ghosts'\n",
        3,
        "does not exist",
    ),
}
TEMPLATES: dict[str, tuple[bytes | None, str]] = {
    "not there": (None, "cannot be read"),
    "no text": (b"\xff\xfe\x00", "cannot be read"),
    "empty": (b"", "crowd-form"),
    "without the form": (SHIPPED.replace("crowd-form", "form").encode(), "crowd-form"),
    "without the tool": (
        SHIPPED.replace("crowd-semantic-segmentation", "crowd-bounding-box").encode(),
        "crowd-semantic-segmentation",
    ),
    "without the image": (SHIPPED.replace("grant_read_access", "escape").encode(), "grant_read_access"),
    "too long": ((SHIPPED + "x" * 130_000).encode(), "128,000"),
}
IMAGES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty": ("a.jpg", lambda: b"", "is empty"),
    "text": ("b.jpg", lambda: b"hello", "is not an image"),
    "a GIF": ("c.jpg", lambda: encode("GIF"), "GIF"),
    "a WebP": ("d.png", lambda: encode("WEBP"), "WEBP"),
    "a TIFF": ("e.jpg", lambda: encode("TIFF"), "TIFF"),
    "cut in its header": ("f.jpg", lambda: encode("JPEG")[:40], "header"),
    "a PNG of billions of pixels": (
        "g.png",
        lambda: (b := encode("PNG"))[:16] + (90_000).to_bytes(4, "big") * 2 + b[24:],
        "header",
    ),
    "a web page": ("h.png", lambda: b"<html></html>", "web page"),
}


def nothing_created(desk: Desk, before: list[Any]) -> None:
    jobs = desk.clients.sagemaker.list_labeling_jobs(NameContains="bad")["LabelingJobSummaryList"]
    assert jobs == before
    assert desk.keys() == []


@pytest.mark.parametrize("name", SETTINGS)
def test_a_bad_setting_is_one_message_and_creates_nothing(desk: Desk, name: str) -> None:
    text, code, words = SETTINGS[name]
    (desk.folder / "photos").mkdir()
    (desk.folder / "photos" / "a.jpg").write_bytes(encode("JPEG"))
    desk.write_settings(text)
    before = desk.clients.sagemaker.list_labeling_jobs(NameContains="bad")["LabelingJobSummaryList"]
    said = desk.ask("label", "--yes")
    assert "Traceback" not in said.err
    assert words in said.err
    assert said.code == code, said.err
    assert len(said.lines) == 1, said.err
    nothing_created(desk, before)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_bad_template_is_refused_before_anything_is_uploaded(desk: Desk, name: str) -> None:
    body, words = TEMPLATES[name]
    (desk.folder / "photos").mkdir()
    (desk.folder / "photos" / "a.jpg").write_bytes(encode("JPEG"))
    if body is not None:
        (desk.folder / "mine.liquid").write_bytes(body)
    desk.write_settings(LABELING + 'template = "mine.liquid"\n')
    said = desk.ask("label", "--yes")
    assert said.code == 2, said.err
    assert words in said.lines[-1]
    assert desk.keys() == []


def test_every_bad_image_is_told_with_its_reason_and_the_good_one_is_labeled(desk: Desk) -> None:
    photos = desk.folder / "photos"
    photos.mkdir()
    (photos / "good.jpg").write_bytes(encode("JPEG"))
    for name, make, _ in IMAGES.values():
        (photos / name).write_bytes(make())
    desk.write_settings(LABELING)
    said = desk.ask("label", "--dry-run")
    assert said.code in (0, 5), said.err
    assert "Traceback" not in said.err
    request = json.loads(said.out)["request"]
    assert request["LabelingJobName"] == "bad-label-1"
    missing = {
        what: words for what, (name, _, words) in IMAGES.items() if name not in said.err or words not in said.err
    }
    assert not missing, said.err


@pytest.mark.parametrize(
    "label",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "{{ task.input }}",
        "{% raw %}",
        "a\u202eb",
    ],
)
def test_a_label_of_markup_is_text_in_the_page_that_workers_see(desk: Desk, label: str) -> None:
    task = {"Input": json.dumps({"taskObject": "s3://b/a.jpg", "labels": [label]})}
    filled = SHIPPED.replace("[[header]]", "h").replace("[[instructions]]", "i")
    answer = desk.clients.sagemaker.render_ui_template(
        UiTemplate={"Content": filled}, Task=task, RoleArn="arn:aws:iam::111122223333:role/GroundTruth"
    )
    assert answer["Errors"] == []
    page = answer["RenderedContent"]
    assert label not in page or not set(label) & set('<>"')
    assert "<script>alert" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "-x", "x" * 41, "", "a b", "a\nb", "über"])
def test_a_run_name_that_is_a_path_or_too_long_is_refused(desk: Desk, name: str) -> None:
    said = desk.ask("status", "--run", name)
    assert said.code == 2, said
    assert len(said.lines) == 1
    assert "Traceback" not in said.err
