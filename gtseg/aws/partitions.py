"""Whose endpoint an address is: AWS's, in whatever partition, or another's."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["DNS_SUFFIXES", "is_aws"]

DNS_SUFFIXES = (
    "amazonaws.com", "api.aws", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "amazonaws.eu",
    "api.amazonwebservices.eu", "c2s.ic.gov", "api.aws.ic.gov", "sc2s.sgov.gov", "api.aws.scloud", "cloud.adc-e.uk",
    "api.cloud-aws.adc-e.uk", "csp.hci.ic.gov", "api.aws.hci.ic.gov",
)  # fmt: skip
"""Of the endpoints of all partitions (botocore's partitions.json); a VPC's own endpoints end in them too."""


def is_aws(endpoint: str) -> bool:
    """Whether a service's endpoint is AWS's: what is done there may cost money."""
    host = (urlsplit(endpoint).hostname or "").rstrip(".")
    return host.endswith(tuple(f".{suffix}" for suffix in DNS_SUFFIXES))
