"""Registry of the JSON services of the embedded AWS and the packages that implement them."""

from __future__ import annotations

from collections.abc import Callable

from gtseg.local import hosting, labeling, logs, training, transform, tuning
from gtseg.local.embedded import Component, Embedded
from gtseg.local.front.protocol import ABSENT, JsonService
from gtseg.local.jobs import tags
from gtseg.local.labeling import identities

Register = Callable[[JsonService, Embedded], Component | None]

SERVICES: dict[str, tuple[Register, ...]] = {
    "sagemaker": (
        tags.register,
        labeling.register,
        training.register,
        tuning.register,
        hosting.register,
        transform.register,
    ),
    "logs": (logs.register,),
    "cognito-idp": (identities.register,),
}


ONLY: dict[str, dict[str, tuple[Register, ...]]] = {
    "": SERVICES,
    "labeling": {"sagemaker": (tags.register, labeling.register)},
}
"""Operations served with `gtseg local up --only`. The other packages still run: automated labeling trains models."""


def register_services(embedded: Embedded) -> tuple[dict[str, JsonService], list[Component]]:
    """Return every JSON service with its operations, and the components whose background work must be started."""
    only = embedded.options.only
    absent = f"This server serves {only} only (gtseg local up --only {only}) and does not implement" if only else ""
    services = {name: JsonService(name, absent=absent or ABSENT) for name in ONLY[only]}
    found: list[Component | None] = []
    for name, rooms in SERVICES.items():
        unanswered = JsonService(name)
        for register in rooms:
            is_answered = register in ONLY[only].get(name, ())
            found.append(register(services[name] if is_answered else unanswered, embedded))
    return services, [component for component in found if component is not None]
