"""The table of services and their operations."""

from __future__ import annotations

from pathlib import Path

from gtseg.local.embedded import Embedded
from gtseg.local.front.registry import register_services
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.store import Store


def test_services_have_their_operations_and_components_can_be_stopped(tmp_path: Path) -> None:
    store = Store(tmp_path / "aws")
    services, components = register_services(Embedded(store, FolderObjects(store.folder)))
    assert set(services) == {"sagemaker", "logs", "cognito-idp"}
    assert components
    assert all(hasattr(one, "start") and hasattr(one, "stop") for one in components)
    status, _, body = services["sagemaker"].answer("SageMaker.ListTrainingJobs", b"{}")
    assert (status, body) == (200, b'{"TrainingJobSummaries":[]}')
