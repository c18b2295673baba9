"""What a labeling server that is not AWS says of itself at its health address: which objects it reads, and what waits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gtseg.aws.failures import read_answer, translate
from gtseg.aws.reachability import no_answer
from gtseg.errors import AWSError

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients

__all__ = ["Health", "read_health"]

PATH = "/_gtseg/health"
SECONDS = 10
MOST = 64 * 1024
"""Bytes of a health answer that are read; a real one has a few hundred."""


@dataclass(frozen=True)
class Health:
    """`storage`: the S3 endpoint whose objects it reads, '' for a folder of its own. `trouble`: why it cannot read now, or ''."""

    version: str
    storage: str
    trouble: str
    backlog: int
    """Labeled objects that are not written to the storage yet."""


def read_health(clients: Clients) -> Health | None:
    """The health of the server behind labeling's endpoint; None where there is no such address, or it says nothing. AWSError where nobody answers."""
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session
    from botocore.utils import get_environ_proxies

    url, profile = clients.endpoint("labeling") + PATH, clients.labeling_profile
    verify = (profile and profile.ca_bundle) or clients.session._session.get_config_variable("ca_bundle") or True
    http = URLLib3Session(verify=verify, proxies=get_environ_proxies(url), timeout=SECONDS)
    try:
        with translate(f"GET {url}"):
            answer = http.send(AWSRequest("GET", url, stream_output=True).prepare())
            body = answer.raw.read(MOST)
    except AWSError as error:
        if error.code == "ConnectionError":  # what is to be mended is the profile's address, where there is one
            place = clients.contact.place_of(url)
            raise no_answer(error.operation, url, error.message, place=place) from error
        raise
    if answer.status_code != 200:
        return None
    return read_answer(f"GET {url}", body, _read)


def _read(body: bytes) -> Health | None:
    document: Any = json.loads(body)
    if "storage" not in document:  # a server of gtseg 0.1.0
        return None
    storage = document["storage"]
    endpoint = "" if storage["kind"] == "folder" else str(storage["endpoint"]).rstrip("/")
    trouble = "" if storage["reachable"] else str(storage["reason"])
    return Health(str(document["version"]), endpoint, trouble, int(document["backlog"]["objects"]))
