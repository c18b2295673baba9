"""Discovery of a data folder's server, and the environment variables that direct AWS clients to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gtseg.local.identity import connect, prove
from gtseg.local.locks import is_locked
from gtseg.local.storage.store import read_credentials

ANSWER_SECONDS = 10

REMOVED = (
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CA_BUNDLE", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT",
    "AWS_ACCOUNT_ID", "AWS_DATA_PATH", "AWS_ENDPOINT", "AWS_NO_SIGN_REQUEST", "AWS_SKIP_SIGNATURE", "AWS_ALLOW_HTTP",
)  # fmt: skip
"""Variables that would direct a client to another server or give it another identity."""


@dataclass(frozen=True)
class Serving:
    """A running server: its address, process and keys."""

    url: str
    pid: int
    access_key: str
    secret_key: str = field(repr=False)
    owner_token: str = field(repr=False)
    region: str = "us-east-1"


def find_serving(folder: Path) -> Serving | None:
    """Return the running server of a data folder: its lock is held, and the server proves its identity.

    None if there is none, or another server responds at its address. Raises ServiceError if credentials.json is
    damaged.
    """
    if not is_served(folder):
        return None
    try:
        if not (folder / "server.json").is_file():
            return None
        place = json.loads((folder / "server.json").read_bytes())
        keys = read_credentials(folder / "credentials.json")
        connection = connect(place["url"], certificate=find_certificate(folder), timeout=ANSWER_SECONDS)
        try:
            prove(connection, secret_key=keys.secret_key, url=place["url"])
        finally:
            connection.close()
        region = str(place.get("region", "us-east-1"))
        return Serving(place["url"], int(place["pid"]), keys.access_key, keys.secret_key, keys.owner_token, region)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_served(folder: Path) -> bool:
    """Return whether a server holds the folder's lock."""
    return is_locked(folder / "lock")


def find_certificate(folder: Path) -> Path | None:
    """Return the certificate of this folder's server, which its own clients trust; None without TLS."""
    path = folder / "server.crt"
    return path if path.is_file() else None


def variables(serving: Serving, folder: Path, region: str) -> dict[str, str]:
    """Return the environment variables of a client, under every name that known clients read."""
    scheme, _, host = serving.url.partition("://")
    certificate = find_certificate(folder) if scheme == "https" else None
    encryption = {"AWS_CA_BUNDLE": str(certificate)} if certificate else {}
    return {
        **(encryption if scheme == "https" else {"AWS_ALLOW_HTTP": "true"}),  # object_store: obstore, polars, ...
        "AWS_ENDPOINT_URL": serving.url,  # AWS's own SDKs and CLI
        "S3_ENDPOINT_URL": serving.url,  # s5cmd
        "AWS_S3_ENDPOINT": host,  # GDAL and rasterio, with the next two
        "AWS_HTTPS": "YES" if scheme == "https" else "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "AWS_ACCESS_KEY_ID": serving.access_key,
        "AWS_SECRET_ACCESS_KEY": serving.secret_key,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "GTSEG_LOCAL_DATA": str(folder),  # gtseg local worker, owner and crowd
    }


def environment(parent: Mapping[str, str], serving: Serving, folder: Path, *, region: str) -> dict[str, str]:
    """Return the parent's environment with this server as AWS, and no other AWS settings."""
    kept = {
        name: value for name, value in parent.items() if name not in REMOVED and not name.startswith("AWS_ENDPOINT_URL")
    }
    nothing = folder / "no-aws-config"  # a regular file: some SDKs reject /dev/null
    nothing.touch(mode=0o600)
    no_proxy = ",".join(filter(None, [parent.get("NO_PROXY") or parent.get("no_proxy"), "127.0.0.1,localhost"]))
    return {
        **kept,
        **variables(serving, folder, region),
        "AWS_CONFIG_FILE": str(nothing),
        "AWS_SHARED_CREDENTIALS_FILE": str(nothing),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }
