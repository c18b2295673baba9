"""Whether an endpoint is AWS's, compared with the suffixes of botocore."""

from __future__ import annotations

import json
from pathlib import Path

import botocore
import pytest

from gtseg.aws.partitions import DNS_SUFFIXES, is_aws


def test_the_host_suffixes_equal_botocores() -> None:
    partitions = json.loads((Path(botocore.__file__).parent / "data" / "partitions.json").read_bytes())
    outputs = [partition["outputs"] for partition in partitions["partitions"]]
    known = {out[name] for out in outputs for name in ("dnsSuffix", "dualStackDnsSuffix")}
    assert set(DNS_SUFFIXES) == known


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://api.sagemaker.us-east-1.amazonaws.com", True),
        ("https://s3.dualstack.eu-central-1.amazonaws.com", True),
        ("https://API.SAGEMAKER.cn-north-1.amazonaws.com.cn:443/", True),
        ("https://sagemaker.us-east-1.api.aws", True),
        ("https://vpce-0a-b.s3.us-east-1.vpce.amazonaws.com", True),
        ("http://127.0.0.1:4566", False),
        ("http://[::1]:4566", False),
        ("http://192.168.7.4:4566", False),
        ("https://minio.lan:9000", False),
        ("https://s3.amazonaws.com.example.org", False),
        ("https://notamazonaws.com", False),
        ("https://amazonaws.com@evil.example", False),
        ("", False),
    ],
)
def test_only_hosts_below_awss_suffixes_are_awss(endpoint: str, expected: bool) -> None:
    assert is_aws(endpoint) is expected
