"""gtseg cost: what the next stages may cost, what the run has cost, what still costs by the hour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import typer

from gtseg.cli.console import print_json, say
from gtseg.cli.grouping import grouped
from gtseg.cli.options import ProjectOptions, Session

if TYPE_CHECKING:
    from gtseg.cli.options import Session
    from gtseg.core.cost import Row

app = typer.Typer(rich_markup_mode=None)


@app.command()
@grouped
def cost(
    project: ProjectOptions,
) -> None:
    """What each stage that is still to come may cost at most, what the run has cost so far, what costs by the hour."""
    from gtseg.core.cost import total
    from gtseg.pipeline.run.cost import past_rows, planned_rows

    session = project.open()
    run, context = session.run, session.context()
    objects = run.labeling_job.objects if run.labeling_job else _count_images(session)
    coming = [row for stage in _missing(session) for row in planned_rows(stage, context, objects=objects)]
    bill = past_rows(run, context)
    if project.as_json:
        print_json({"planned": [r.as_json() for r in coming], "spent": [r.as_json() for r in bill.spent],
                    "by_the_hour": [r.as_json() for r in bill.running], "spent_usd": float(total(bill.spent)[0]),
                    "planned_usd": float(total(coming)[0]), "max_usd": bill.max_usd and float(bill.max_usd),
                    "local": session.clients.is_local})  # fmt: skip
        return
    if session.clients.is_local:
        say("On the embedded AWS nothing costs anything; this is what AWS would bill.")
    print_rows("still to come, at most", coming)
    print_rows("so far", bill.spent)
    print_rows("by the hour, until deleted", bill.running)
    if bill.max_usd is not None:
        print(f"budget: {bill.max_usd} USD")


def _missing(session: Session) -> list[str]:
    run = session.run
    sections = {"label": run.labeling_job, "train": run.training_job, "deploy": run.endpoint}
    return [stage for stage, section in sections.items() if section is None]


def _count_images(session: Session) -> int | None:
    from gtseg.pipeline.commands.doctor import count_images

    return count_images(session.context())


def print_rows(title: str, rows: Sequence[Row], *, file: TextIO | None = None) -> None:
    """A table on stdout (or `file`), prices with their sources below it."""
    from gtseg.core.cost import total

    if not rows:
        return

    def tell(text: str) -> None:
        print(text, file=file)

    tell(f"{title}:")
    for row in rows:
        usd = "unknown" if row.usd is None else f"{row.usd:,.2f}" if row.usd >= 1 else f"{row.usd:,.4f}"
        price = "?" if row.price.usd is None else f"{row.price.usd:.6f}".rstrip("0").rstrip(".")
        tell(
            f"  {row.stage:<8} {row.what:<34} {row.quantity:>12,.2f} {row.unit:<8} x {price:>9} = {usd:>12} USD"
        )
    if not rows[0].recurring or len(rows) > 1:
        known, unknown = total(rows)
        if not all(row.recurring for row in rows):
            words = "total" + (", hourly costs left out" if any(row.recurring for row in rows) else "")
            tell(
                f"  {'':<8} {words:<34} {'':>12} {'':<8}   {'':>9} = {known:>12,.2f} USD"
                + (f", {unknown} unknown" if unknown else "")
            )
    for source in dict.fromkeys(row.price.source for row in rows):
        tell(f"      {source}")
