"""The table of services: every module is there, and together they answer what the workflow calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from gtseg.local.embedded import Embedded
from gtseg.local.front.registry import MODULES, load_module, register_services
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.store import Store


@pytest.mark.parametrize("name", [name for modules in MODULES.values() for name in modules])
def test_every_module_of_the_table_registers(name: str) -> None:
    assert callable(load_module(name).register)


def test_services_are_made_with_their_operations_and_components_can_be_stopped(tmp_path: Path) -> None:
    store = Store(tmp_path / "aws")
    services, components = register_services(Embedded(store, FolderObjects(store.folder)))
    assert set(services) == {"sagemaker", "logs"}
    assert components
    assert all(hasattr(one, "start") and hasattr(one, "stop") for one in components)
    status, _, body = services["sagemaker"].answer("SageMaker.ListTrainingJobs", b"{}")  # type: ignore[attr-defined]
    assert (status, body) == (200, b'{"TrainingJobSummaries":[]}')
