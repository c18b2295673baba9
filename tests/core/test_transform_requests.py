from __future__ import annotations

import io
import json

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator
from drawn_channels import draw_scene
from PIL import Image

from gtseg.core.hosting.endpoint_images import fit_request, sent_as_is
from gtseg.core.hosting.transform import Transform, manifest_body, match_outputs, transform_request

PLAIN = Transform(model="m", manifest="s3://b/m.json", output="s3://b/out")
FULL = Transform(
    model="m",
    manifest="s3://b/m.json",
    output="s3://b/out",
    kms_key="k",
    instance_count=4,
    tags={"gtseg:run": "x"},
)


@pytest.mark.parametrize("transform", [PLAIN, FULL])
def test_the_request_fits_the_service_model(transform: Transform) -> None:
    shape = get_session().get_service_model("sagemaker").operation_model("CreateTransformJob").input_shape
    assert ParamValidator().validate(transform_request("t", transform), shape).generate_report() == ""


def test_one_image_is_one_request_without_concurrency() -> None:
    request = transform_request("t", PLAIN)
    assert request["TransformInput"]["SplitType"] == "None"
    assert (request["BatchStrategy"], request["MaxConcurrentTransforms"]) == ("SingleRecord", 1)
    assert request["MaxPayloadInMB"] * request["MaxConcurrentTransforms"] <= 100
    assert request["ModelClientConfig"]["InvocationsTimeoutInSeconds"] <= 3600
    assert request["ModelClientConfig"]["InvocationsMaxRetries"] <= 3


def test_a_manifest_is_a_prefix_and_sorted_keys() -> None:
    assert json.loads(manifest_body("b", ["z/ü.jpg", "a.jpg"])) == [{"prefix": "s3://b/"}, "a.jpg", "z/ü.jpg"]


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        ({"p/a/1.jpg.out", "p/b/1.jpg.out"}, {"p/a/1.jpg": "p/a/1.jpg.out", "p/b/1.jpg": "p/b/1.jpg.out"}),
        ({"a/1.jpg.out"}, {"p/a/1.jpg": "a/1.jpg.out"}),
        ({"1.jpg.out"}, {}),
        ({"p/a/1.jpg"}, {}),
        (set(), {}),
    ],
    ids=["whole keys", "a folder left out", "two inputs would share it", "no output", "nothing"],
)
def test_an_output_is_matched_to_its_input_by_name(outputs: set[str], found: dict[str, str]) -> None:
    assert match_outputs(["p/a/1.jpg", "p/b/1.jpg"], outputs) == found


def _encoded(kind: str, size: int) -> bytes:
    body = io.BytesIO()
    Image.open(io.BytesIO(draw_scene(1, size=size)[0])).save(body, kind)
    return body.getvalue()


@pytest.mark.parametrize(
    ("body", "is_sent"),
    [
        (_encoded("JPEG", 60), True),
        (_encoded("PNG", 60), False),
        (_encoded("JPEG", 80), False),
        (b"no image", False),
    ],
    ids=["a small JPEG", "a PNG", "a large JPEG", "no image"],
)
def test_unconverted_images_are_the_bytes_that_an_endpoint_would_get(body: bytes, is_sent: bool) -> None:
    size = sent_as_is(body[:700], len(body), max_side=64, content_type="image/jpeg")
    assert (size is not None) is is_sent
    if size:
        assert fit_request(body, max_side=64).body == body
        assert fit_request(body, max_side=64).size == size
