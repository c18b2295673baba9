"""Run one stage from a command: send its events to a listener, save the run, print its section as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gtseg.cli.consent import ask
from gtseg.cli.console import Listener, print_json
from gtseg.cli.listeners import listener

if TYPE_CHECKING:
    from gtseg.cli.options import Session, Spending
    from gtseg.pipeline.run import Context, Run
    from gtseg.pipeline.run.frozen import Frozen


def run_stage(
    session: Session,
    stage: Callable[[Run, Context], Run],
    spending: Spending | None = None,
    *,
    receiver: Listener | None = None,
) -> Run:
    """Run the stage and return the run, saved unless this is a dry run, which only shows the plan."""
    consent, dry_run = (ask(session, spending), spending.dry_run) if spending else (None, False)
    with receiver or listener() as notify:
        run = stage(session.run, session.context(notify, consent=consent, dry_run=dry_run))
    return run if dry_run else session.run_file.save(run)


def answer(section: Frozen | None, *, as_json: bool) -> None:
    """Print the stage's section of the run as JSON if requested."""
    if as_json and section is not None:
        print_json(section.model_dump(mode="json"))
