"""Decoding of botocore's service models."""

from __future__ import annotations

from pathlib import Path

import botocore
import pytest
from botocore.loaders import JSONFileLoader

from gtseg.aws.clients import Clients
from gtseg.aws.models import Models

DATA = Path(botocore.__file__).parent / "data"
FILES = [
    "s3/2006-03-01/service-2",
    "s3/2006-03-01/endpoint-rule-set-1",
    "sts/2011-06-15/service-2",
    "endpoints",
    "none",
]


@pytest.mark.parametrize("name", FILES)
def test_a_service_model_is_decoded_as_by_botocore(name: str) -> None:
    path, theirs, ours = str(DATA / name), JSONFileLoader(), Models()
    assert (ours.exists(path), ours.load_file(path)) == (theirs.exists(path), theirs.load_file(path))


def test_the_members_of_an_input_are_in_botocores_order() -> None:
    path = str(DATA / "s3/2006-03-01/service-2")
    theirs, ours = (loader.load_file(path)["shapes"] for loader in (JSONFileLoader(), Models()))
    assert [(name, list(shape.get("members", ()))) for name, shape in ours.items()] == [
        (name, list(shape.get("members", ()))) for name, shape in theirs.items()
    ]


def test_clients_are_created_from_the_decoded_models() -> None:
    clients = Clients(region="eu-west-1")
    assert "PutObject" in clients.s3.meta.service_model.operation_names
    assert isinstance(clients.session._session.get_component("data_loader").file_loader, Models)
