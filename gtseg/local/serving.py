"""Where a data folder is served, and what a client needs in its environment to be led there and nowhere else."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Serving", "environment", "find_certificate", "find_serving", "variables"]

# What would lead a client elsewhere or give it another identity.
REMOVED = (
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CA_BUNDLE", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT",
    "AWS_ACCOUNT_ID", "AWS_DATA_PATH",
)  # fmt: skip


@dataclass(frozen=True)
class Serving:
    """A server that answers: where, as which process, with which keys."""

    url: str
    pid: int
    access_key: str
    secret_key: str
    owner_token: str


def find_serving(folder: Path) -> Serving | None:
    """Who serves this data folder now, if anybody answers."""
    try:
        place = json.loads((folder / "server.json").read_bytes())
        keys = json.loads((folder / "credentials.json").read_bytes())
        answer_health(place["url"], find_certificate(folder))
    except (OSError, ValueError, KeyError):
        return None
    return Serving(place["url"], place["pid"], keys["access_key"], keys["secret_key"], keys["owner_token"])


def answer_health(url: str, certificate: Path | None) -> None:
    """Raises OSError if nobody answers there."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith("https"):
        from gtseg.local.labeling.crowd import trust

        handlers.append(urllib.request.HTTPSHandler(context=trust(certificate)))
    with urllib.request.build_opener(*handlers).open(url + "/_gtseg/health", timeout=10) as answer:
        answer.read()


def find_certificate(folder: Path) -> Path | None:
    """The certificate of this folder's server, which its own clients trust; None without TLS."""
    path = folder / "server.crt"
    return path if path.is_file() else None


def variables(serving: Serving, folder: Path, region: str) -> dict[str, str]:
    """What a client needs in its environment."""
    certificate = find_certificate(folder) if serving.url.startswith("https") else None
    return {
        **({"AWS_CA_BUNDLE": str(certificate)} if certificate else {}),
        "AWS_ENDPOINT_URL": serving.url,
        "AWS_ACCESS_KEY_ID": serving.access_key,
        "AWS_SECRET_ACCESS_KEY": serving.secret_key,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }


def environment(parent: Mapping[str, str], serving: Serving, folder: Path, *, region: str) -> dict[str, str]:
    """The parent's environment with AWS being this server, and nothing else of AWS in it."""
    kept = {
        name: value
        for name, value in parent.items()
        if name not in REMOVED and not name.startswith("AWS_ENDPOINT_URL")
    }
    nothing = folder / "no-aws-config"  # a regular file: some SDKs refuse /dev/null
    nothing.touch()
    no_proxy = ",".join(
        filter(None, [parent.get("NO_PROXY") or parent.get("no_proxy"), "127.0.0.1,localhost"])
    )
    return {
        **kept,
        **variables(serving, folder, region),
        "AWS_CONFIG_FILE": str(nothing),
        "AWS_SHARED_CREDENTIALS_FILE": str(nothing),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "GTSEG_LOCAL_DATA": str(folder),
    }
