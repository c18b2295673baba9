"""Scenes that stay in S3: GDAL reads windows of them, with signed or unsigned requests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gtseg.aws.s3 import split_uri
from gtseg.errors import SettingsError, StageError

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients


def open_clients(settings_file: Path | None) -> Clients:
    """Return clients for the settings' region; without a settings file, for the region of the AWS configuration."""
    from gtseg.aws.clients import Clients
    from gtseg.cli.options import open_settings
    from gtseg.pipeline.run.account import open_clients as clients_of

    try:
        return clients_of(open_settings(settings_file))
    except SettingsError:
        if settings_file is not None:
            raise
        return Clients()


def list_scenes(
    uri: str, suffixes: Iterable[str], settings_file: Path | None
) -> tuple[list[str], tuple[tuple[str, str], ...]]:
    """Return GDAL's names of the scenes below a prefix, and the GDAL options to read them.

    Source: GDAL documentation, /vsis3/ (AWS_NO_SIGN_REQUEST, AWS_S3_ENDPOINT, AWS_HTTPS, AWS_VIRTUAL_HOSTING).
    """
    from gtseg.pipeline.commands.imports import list_keys

    clients = open_clients(settings_file)
    bucket, _ = split_uri(uri)
    s3, keys = list_keys(clients, uri, sorted(suffixes))
    if not keys:
        raise StageError(f"{uri}: no GeoTIFF found below this prefix")
    signed = s3._clients is clients
    return [f"/vsis3/{bucket}/{item.key}" for item in keys], (
        *_endpoint(clients),
        *_credentials(clients, signed),
    )


def _endpoint(clients: Clients) -> Iterable[tuple[str, str]]:
    yield "GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR"
    yield "AWS_REGION", clients.region
    if clients.requester_pays:
        yield "AWS_REQUEST_PAYER", "requester"
    address = urlsplit(clients.s3.meta.endpoint_url)
    if not (address.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")):
        yield "AWS_S3_ENDPOINT", address.netloc
        yield "AWS_HTTPS", "YES" if address.scheme == "https" else "NO"
        yield "AWS_VIRTUAL_HOSTING", "FALSE"


def _credentials(clients: Clients, signed: bool) -> Iterable[tuple[str, str]]:
    found = clients.session.get_credentials() if signed else None
    if found is None:
        yield "AWS_NO_SIGN_REQUEST", "YES"
        return
    frozen = found.get_frozen_credentials()
    yield "AWS_ACCESS_KEY_ID", frozen.access_key
    yield "AWS_SECRET_ACCESS_KEY", frozen.secret_key
    if frozen.token:
        yield "AWS_SESSION_TOKEN", frozen.token
