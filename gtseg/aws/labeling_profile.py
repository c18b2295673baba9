"""AWS profile of the labeling endpoint, if it differs from the default profile.

In boto3, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_SAGEMAKER and AWS_DEFAULT_REGION override the settings of an explicitly
named profile. So this module reads the profile's endpoint and region with botocore's parser and passes them to the
client. Nothing that the profile lacks is filled in from other sources, in particular not the credentials of the
machine's role.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gtseg.errors import SettingsError

SERVICE = "sagemaker"
FOREIGN_PROVIDERS = ("env", "ec2-credentials-file", "boto-config", "container-role", "iam-role")
"""METHOD names of the botocore credential providers outside of the profile."""


@dataclass(frozen=True)
class LabelingProfile:
    """Settings of the profile itself. `ca_bundle`: the certificates that verify its server."""

    name: str
    endpoint: str
    region: str
    file: str
    """Path of the configuration file."""
    ca_bundle: str | None = None

    @property
    def place(self) -> str:
        """Description of where the endpoint is configured, for messages."""
        return f"endpoint_url of profile {self.name!r} in {self.file}"


def profile_session(name: str) -> Any:
    """Return a botocore session limited to the profile. Raises SettingsError if there is no such profile."""
    import botocore.session

    core = botocore.session.Session(profile=name)
    if name not in core.full_config.get("profiles", {}):
        raise _profile_error(name, _files(core), "there is no such profile")
    resolver = core.get_component("credential_provider")
    for method in FOREIGN_PROVIDERS:
        resolver.remove(method)
    return core


def read_labeling_profile(core: Any, name: str) -> LabelingProfile:
    """Return the profile's endpoint and region. Raises SettingsError that names profile, file and missing key."""
    profile: Mapping[str, Any] = core.get_scoped_config()
    file = str(core.get_config_variable("config_file"))
    endpoint = _endpoint(name, profile, core.full_config, file)
    region = profile.get("region")
    if not endpoint:
        raise _profile_error(
            name,
            file,
            "it has no endpoint_url (nor one for sagemaker in a services section), so labeling would go to AWS. For "
            "AWS write endpoint_url = https://api.sagemaker.REGION.amazonaws.com",
        )
    if not region:
        raise _profile_error(name, file, "it has no region")
    if not _is_address(endpoint):
        raise _profile_error(
            name, file, "its endpoint_url must be an http:// or https:// address without user and password"
        )
    if not isinstance(region, str) or not re.fullmatch(r"[a-z0-9-]{1,63}", region):
        raise _profile_error(name, file, f"region = {region!r} is not a region name")
    if _credentials(core, name) is None:
        raise _profile_error(name, _files(core), "it has no aws_access_key_id and aws_secret_access_key")
    return LabelingProfile(name, str(endpoint), str(region), file, profile.get("ca_bundle"))


def _is_address(endpoint: object) -> bool:
    """Return whether `endpoint` is http(s)://host[:port][/...] in printable ASCII."""
    if not isinstance(endpoint, str) or not endpoint.isascii() or not endpoint.isprintable():
        return False
    try:
        place = urlsplit(endpoint)
        has_port = place.port != 0
    except ValueError:  # invalid port or IPv6 address
        return False
    return place.scheme in ("http", "https") and bool(place.hostname) and has_port and "@" not in place.netloc


def _credentials(core: Any, name: str) -> Any:
    """Return the credentials. Raises SettingsError if they are incomplete or their provider fails."""
    from botocore.exceptions import BotoCoreError

    try:
        return core.get_credentials()
    except BotoCoreError as error:
        raise _profile_error(name, _files(core), " ".join(str(error).split())) from None


def _endpoint(name: str, profile: Mapping[str, Any], config: Mapping[str, Any], file: str) -> Any:
    """Return the endpoint as botocore does: from the profile's services section, else from the profile."""
    section = profile.get("services")
    if section:
        services = config.get("services", {})
        if section not in services:
            raise _profile_error(name, file, f"services = {section}, but there is no section [services {section}]")
        own = services[section].get(SERVICE)
        if isinstance(own, Mapping) and own.get("endpoint_url"):
            return own["endpoint_url"]
    return profile.get("endpoint_url")


def _files(core: Any) -> str:
    return f"{core.get_config_variable('config_file')} or {core.get_config_variable('credentials_file')}"


def _profile_error(name: str, file: str, problem: str) -> SettingsError:
    return SettingsError(
        f"[labeling] profile = {name!r} ({file}): {problem}. `gtseg local profile NAME --write`, run on the machine "
        "of the labeling server, writes a profile."
    )
