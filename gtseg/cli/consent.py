"""Confirmation before money is spent: a question on a terminal, --yes otherwise.

Only services that AWS bills need a confirmation (Context.agree).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gtseg.cli.console import show
from gtseg.errors import SettingsError

if TYPE_CHECKING:
    from gtseg.cli.options import Session, Spending
    from gtseg.pipeline.run import Run
    from gtseg.pipeline.run.events import Consent


def ask(session: Session, spending: Spending) -> Consent:
    """Return the consent of this invocation. The cost of a stage is shown first and checked against [budget]."""
    from gtseg.cli.options import LabelSpendingOptions
    from gtseg.pipeline.run.events import Consent

    wanted = spending if isinstance(spending, LabelSpendingOptions) else LabelSpendingOptions(spending.yes)

    def check_cost(stage: str, run: Run, objects: int | None) -> None:
        from gtseg.cli.cost import print_rows
        from gtseg.pipeline.run.cost import check_budget

        rows, warning = check_budget(stage, run, session.context(), objects=objects)
        print_rows(f"{stage} may cost at most", rows, file=sys.stderr)
        if warning:
            show(f"warning: {warning}", file=sys.stderr)

    def spend(words: str) -> bool:
        if spending.yes:
            return True
        if not sys.stdin.isatty():
            raise SettingsError(f"{words} This spends money and there is no terminal for the confirmation: use --yes.")
        show(f"{words} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def stop(words: str) -> bool:
        if spending.yes or not session.clients.is_aws("sagemaker"):
            return True
        if not sys.stdin.isatty():
            return False
        show(f"{words} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    # --yes consents to the price only: a bucket with a misspelled name must not be created
    asked = wanted.create_bucket or not session.clients.is_aws("s3")
    return Consent(
        spend=spend, check_cost=check_cost, stop=stop, create_bucket=asked, public_crowd=wanted.allow_public_crowd
    )
