"""One stage, walked by its command: its events heard, its run saved, its section answered as JSON."""

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


def walk_stage(
    session: Session,
    stage: Callable[[Run, Context], Run],
    spending: Spending | None = None,
    *,
    hear: Listener | None = None,
) -> Run:
    """The run as the stage leaves it, saved. After a dry run nothing is: the stage has only shown its plan."""
    consent, dry_run = (ask(session, spending), spending.dry_run) if spending else (None, False)
    with hear or listener() as notify:
        run = stage(session.run, session.context(notify, consent=consent, dry_run=dry_run))
    return run if dry_run else session.run_file.save(run)


def answer(section: Frozen | None, *, as_json: bool) -> None:
    """What the stage has left in the run, on stdout where it was asked for."""
    if as_json and section is not None:
        print_json(section.model_dump(mode="json"))
