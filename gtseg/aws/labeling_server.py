"""Health endpoint of a labeling server that is not AWS: its storage and its backlog."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gtseg.aws.failures import read_answer, translate
from gtseg.aws.reachability import no_answer
from gtseg.errors import AWSError

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients

PATH = "/_gtseg/health"
SECONDS = 10
MAX_BYTES = 64 * 1024
"""Maximum bytes read of a health response; a real one has a few hundred."""


@dataclass(frozen=True)
class Health:
    """Health of a labeling server. `storage`: S3 endpoint of its objects, '' if it stores them in a folder of its own.

    `trouble`: why the storage is unreachable, or ''.
    """

    version: str
    storage: str
    trouble: str
    backlog: int
    """Number of labeled objects not written to the storage yet."""


def read_health(clients: Clients) -> Health | None:
    """Return the health of the server at the labeling endpoint, or None if it has no health endpoint.

    Raises AWSError if the server does not respond.
    """
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session
    from botocore.utils import get_environ_proxies

    url, profile = clients.endpoint("labeling") + PATH, clients.labeling_profile
    verify = (profile and profile.ca_bundle) or clients.session._session.get_config_variable("ca_bundle") or True
    http = URLLib3Session(verify=verify, proxies=get_environ_proxies(url), timeout=SECONDS)
    try:
        with translate(f"GET {url}"):
            answer = http.send(AWSRequest("GET", url, stream_output=True).prepare())
            body = answer.raw.read(MAX_BYTES)
    except AWSError as error:
        if error.code == "ConnectionError":  # the hint names where the profile configures the address
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
