"""Invalid settings, templates, images and names in the commands: exit code, error message, nothing created."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corpus_project import Project
from PIL import Image

LABELING = '[images]\nsource = "photos"\n[labeling]\nlabels = ["cat"]\n'
SHIPPED = (Path(__file__).parents[2] / "templates" / "template.liquid").read_text()


def encode(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    target = io.BytesIO()
    (image or Image.new("RGB", (32, 24), (9, 90, 200))).save(target, kind, **options)
    return target.getvalue()


# name: (settings after [project], exit code, part of the message)
SETTINGS: dict[str, tuple[str, int, str]] = {
    "invalid TOML": ("[labeling\n", 2, "gtseg.toml"),
    "an unknown table": ("[labelling]\nlabels = []\n", 2, "Did you mean labeling"),
    "an unknown key": ("[labeling]\nlabel = ['cat']\n", 2, "Did you mean labels"),
    "no labels": ("[images]\nsource = 'photos'\n", 2, "labels is empty"),
    "a repeated label": ("[labeling]\nlabels = ['cat', 'cat']\n", 2, "more than once: cat"),
    "BACKGROUND as a label": ("[labeling]\nlabels = ['background']\n", 2, "BACKGROUND itself"),
    "text for a number": ("[labeling]\nworkers_per_object = 'three'\n", 2, "workers_per_object"),
    "too many workers": ("[labeling]\nworkers_per_object = 99\n", 2, "9"),
    "a duration without a unit": ("[labeling]\ntask_time_limit = 60\n", 2, "a duration must be a string with a unit"),
    "split shares with the sum 0.9": (
        "[dataset]\nsplit = { train = 0.5, validation = 0.2, test = 0.2 }\n",
        2,
        "must be 1",
    ),
    "41 tags": ("[labeling.tags]\n" + "".join(f'k{n} = "v"\n' for n in range(41)), 2, "at most 40 tags"),
    "a tag with the reserved prefix": ('[labeling.tags]\n"gtseg:fingerprint" = "mine"\n', 2, "gtseg: prefix"),
    "a negative budget": ("[budget]\nmax_usd = -1\n", 2, "max_usd"),
    "an invalid role": ("role_arn = 'admin'\n", 2, "role_arn"),
    "a prefix with a scheme": ("prefix = 's3://b/x'\n", 2, "prefix"),
    "a missing folder of images": (
        "[images]\nsource = 'nowhere'\n[labeling]\nlabels = ['cat']\n",
        3,
        "nowhere",
    ),
    "a missing bucket of images": (
        "[images]\nsource = 's3://no-such-bucket-at-all/x/'\n[labeling]\nlabels = ['cat']\n",
        3,
        "no-such-bucket-at-all",
    ),
    "an http URL for images": ("[images]\nsource = 'http://x/y'\n", 2, "s3://"),
    "a missing workteam": (
        LABELING + "workteam_arn = 'arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/ghosts'\n",
        3,
        "does not exist",
    ),
}
TEMPLATES: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "cannot be read"),
    "not text": (b"\xff\xfe\x00", "cannot be read"),
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
    "truncated in its header": ("f.jpg", lambda: encode("JPEG")[:40], "header"),
    "a PNG of billions of pixels": (
        "g.png",
        lambda: (b := encode("PNG"))[:16] + (90_000).to_bytes(4, "big") * 2 + b[24:],
        "header",
    ),
    "a web page": ("h.png", lambda: b"<html></html>", "web page"),
}


def assert_nothing_created(project: Project, before: list[Any]) -> None:
    jobs = project.clients.sagemaker.list_labeling_jobs(NameContains="bad")["LabelingJobSummaryList"]
    assert jobs == before
    assert project.keys() == []


@pytest.mark.parametrize("name", SETTINGS)
def test_an_invalid_setting_is_one_error_and_creates_nothing(project: Project, name: str) -> None:
    text, code, words = SETTINGS[name]
    (project.folder / "photos").mkdir()
    (project.folder / "photos" / "a.jpg").write_bytes(encode("JPEG"))
    project.write_settings(text)
    before = project.clients.sagemaker.list_labeling_jobs(NameContains="bad")["LabelingJobSummaryList"]
    result = project.run("label", "--yes")
    assert "Traceback" not in result.err
    assert words in result.err
    assert result.code == code, result.err
    assert len(result.lines) == 1, result.err
    assert_nothing_created(project, before)


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_invalid_template_is_rejected_before_anything_is_uploaded(project: Project, name: str) -> None:
    body, words = TEMPLATES[name]
    (project.folder / "photos").mkdir()
    (project.folder / "photos" / "a.jpg").write_bytes(encode("JPEG"))
    if body is not None:
        (project.folder / "mine.liquid").write_bytes(body)
    project.write_settings(LABELING + 'template = "mine.liquid"\n')
    result = project.run("label", "--yes")
    assert result.code == 2, result.err
    assert words in result.lines[-1]
    assert project.keys() == []


def test_invalid_images_are_reported_with_a_reason_and_the_valid_one_is_labeled(project: Project) -> None:
    photos = project.folder / "photos"
    photos.mkdir()
    (photos / "good.jpg").write_bytes(encode("JPEG"))
    for name, make, _ in IMAGES.values():
        (photos / name).write_bytes(make())
    project.write_settings(LABELING)
    result = project.run("label", "--dry-run")
    assert result.code in (0, 5), result.err
    assert "Traceback" not in result.err
    request = json.loads(result.out)["request"]
    assert request["LabelingJobName"] == "bad-label-1"
    missing = {
        what: words for what, (name, _, words) in IMAGES.items() if name not in result.err or words not in result.err
    }
    assert not missing, result.err


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
def test_markup_in_a_label_is_escaped_on_the_labeling_page(project: Project, label: str) -> None:
    task = {"Input": json.dumps({"taskObject": "s3://b/a.jpg", "labels": [label]})}
    filled = SHIPPED.replace("[[header]]", "h").replace("[[instructions]]", "i")
    answer = project.clients.sagemaker.render_ui_template(
        UiTemplate={"Content": filled}, Task=task, RoleArn="arn:aws:iam::111122223333:role/GroundTruth"
    )
    assert answer["Errors"] == []
    page = answer["RenderedContent"]
    assert label not in page or not set(label) & set('<>"')
    assert "<script>alert" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "-x", "x" * 41, "", "a b", "a\nb", "über"])
def test_an_invalid_run_name_is_rejected(project: Project, name: str) -> None:
    result = project.run("status", "--run", name)
    assert result.code == 2, result
    assert len(result.lines) == 1
    assert "Traceback" not in result.err
