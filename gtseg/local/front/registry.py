"""The services of the embedded AWS and the modules that answer for them."""

from __future__ import annotations

import importlib
from types import ModuleType

from gtseg.local.embedded import Component, Embedded

__all__ = ["MODULES", "load_module", "register_services"]

# service -> modules with `register(service, embedded) -> Component | None`
MODULES: dict[str, tuple[str, ...]] = {
    "sagemaker": (
        "gtseg.local.jobs.tags",
        "gtseg.local.labeling",
        "gtseg.local.training",
        "gtseg.local.tuning",
        "gtseg.local.hosting",
        "gtseg.local.transform",
    ),
    "logs": ("gtseg.local.logs",),
}


def load_module(name: str) -> ModuleType:
    return importlib.import_module(name)


def register_services(embedded: Embedded) -> tuple[dict[str, object], list[Component]]:
    """Every JSON service with its operations, and the components whose background work is to be started."""
    from gtseg.local.front.protocol import JsonService

    services: dict[str, object] = {}
    components: list[Component] = []
    for name, modules in MODULES.items():
        service = services[name] = JsonService(name)
        for module in modules:
            component = load_module(module).register(service, embedded)
            if component is not None:
                components.append(component)
    return services, components
