"""Classification of endpoints: AWS in any partition, or another service."""

from __future__ import annotations

from urllib.parse import urlsplit

DNS_SUFFIXES = (
    "amazonaws.com", "api.aws", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "amazonaws.eu",
    "api.amazonwebservices.eu", "c2s.ic.gov", "api.aws.ic.gov", "sc2s.sgov.gov", "api.aws.scloud", "cloud.adc-e.uk",
    "api.cloud-aws.adc-e.uk", "csp.hci.ic.gov", "api.aws.hci.ic.gov",
)  # fmt: skip
"""DNS suffixes of all partitions (botocore's partitions.json); VPC endpoints end in them too."""


def is_aws(endpoint: str) -> bool:
    """Return whether the endpoint of a service is AWS's: calls may cost money."""
    host = (urlsplit(endpoint).hostname or "").rstrip(".")
    return host.endswith(tuple(f".{suffix}" for suffix in DNS_SUFFIXES))
