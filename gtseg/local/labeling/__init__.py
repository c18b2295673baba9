"""Ground Truth: labeling jobs, workers, task pages, and consolidation of answers."""

from __future__ import annotations

from gtseg.local.embedded import Component, Embedded
from gtseg.local.front.protocol import JsonService

__all__ = ["register"]


def register(service: JsonService, embedded: Embedded) -> Component:
    """Register Ground Truth's operations; return the component that runs jobs and the simulated crowd, if enabled."""
    from gtseg.local.labeling import colors, gold
    from gtseg.local.labeling.assist import records as assist
    from gtseg.local.labeling.automated import records as automated
    from gtseg.local.labeling.component import Labeling
    from gtseg.local.labeling.jobs import register_jobs
    from gtseg.local.labeling.previews import register_previews
    from gtseg.local.labeling.records import DDL
    from gtseg.local.labeling.teams import make_first_team, register_teams

    embedded.store.create(DDL)
    embedded.store.create(automated.DDL)
    embedded.store.create(assist.DDL)
    embedded.store.create(gold.DDL)
    embedded.store.create(colors.DDL)
    make_first_team(embedded)
    register_jobs(service, embedded)
    register_teams(service, embedded)
    register_previews(service, embedded)
    return Labeling(embedded)
