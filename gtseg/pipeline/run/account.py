"""AWS clients of a project."""

from __future__ import annotations

from gtseg.aws.clients import Clients
from gtseg.aws.encryption import Encryption
from gtseg.settings import Settings


def open_clients(settings: Settings) -> Clients:
    """Return clients for the project's region, with its settings for encryption, requester pays and labeling."""
    project = settings.project
    return Clients(
        region=project.region,
        labeling_profile=settings.labeling.profile,
        encryption=Encryption(project.sse, project.kms_key),
        requester_pays=settings.images.requester_pays,
    )
