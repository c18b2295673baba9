from __future__ import annotations

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from gtseg.core.hosting.requests import (
    MAX_BODY,
    Hosting,
    endpoint_config_request,
    endpoint_request,
    model_request,
)

SESSION = get_session()
PLAIN = Hosting(role_arn="arn:aws:iam::123456789012:role/gtseg", image_uri="i", model_data="s3://b/model.tar.gz")
FULL = Hosting(
    role_arn=PLAIN.role_arn,
    image_uri="i",
    model_data="s3://b/model.tar.gz",
    environment={"B": "2", "A": "1"},
    kms_key="k",
    subnets=("s-1",),
    security_groups=("g-1",),
    network_isolation=True,
    tags={"gtseg:run": "x"},
    instance_count=2,
)


@pytest.mark.parametrize("hosting", [PLAIN, FULL])
def test_requests_fit_the_service_model(hosting) -> None:
    requests = {
        "CreateModel": model_request("m", hosting),
        "CreateEndpointConfig": endpoint_config_request("c", "m", hosting),
        "CreateEndpoint": endpoint_request("e", "c", hosting),
    }
    model = SESSION.get_service_model("sagemaker")
    for operation, request in requests.items():
        shape = model.operation_model(operation).input_shape
        assert ParamValidator().validate(request, shape).generate_report() == ""


def test_the_body_limit_equals_the_apis() -> None:
    shape = SESSION.get_service_model("sagemaker-runtime").shape_for("BodyBlob")
    assert shape.metadata["max"] == MAX_BODY


def test_environment_variables_are_sent_to_the_container() -> None:
    assert model_request("m", FULL)["PrimaryContainer"]["Environment"] == {"A": "1", "B": "2"}
    assert "Environment" not in model_request("m", PLAIN)["PrimaryContainer"]
