"""gtseg cost: cost of the next stages, of the run so far, and of resources billed by the hour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import typer

from gtseg.cli.console import print_json, say, show
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import ProjectOptions, Session

if TYPE_CHECKING:
    from gtseg.aws.clients import Service
    from gtseg.cli.options import Session
    from gtseg.core.cost import Row

app = typer.Typer(rich_markup_mode=None)


@app.command()
@grouped
def cost(
    project: ProjectOptions,
) -> None:
    """Show what each remaining stage may cost at most, what the run has cost so far, and what is billed by the hour."""
    from gtseg.core.cost import BILLED_BY, total
    from gtseg.pipeline.run.cost import billed_rows, past_rows, planned_rows

    session = project.open()
    run, context = session.run, session.context()
    objects = run.labeling_job.objects if run.labeling_job else _count_images(session)
    coming = [row for stage in _missing(session) for row in planned_rows(stage, context, objects=objects)]
    bill = past_rows(run, context)
    spent, running = bill.spent, bill.running
    if is_billed := any(context.is_billed(stage) for stage in BILLED_BY):
        coming = billed_rows(coming, context)
        spent, running = tuple(billed_rows(spent, context)), tuple(billed_rows(running, context))
    if project.as_json:
        print_json(
            {
                "planned": [r.as_json() for r in coming],
                "spent": [r.as_json() for r in spent],
                "by_the_hour": [r.as_json() for r in running],
                "spent_usd": float(total(spent)[0]),
                "planned_usd": float(total(coming)[0]),
                "max_usd": bill.max_usd and float(bill.max_usd),
                "local": not is_billed,
            }
        )
        return
    if not is_billed:
        say("No service here is AWS's, so nothing is billed; these are AWS's prices.")
    elif free := _free(session):
        say(f"Not AWS services, not included: {free}.")
    print_rows("remaining stages, at most", coming)
    print_rows("so far", spent)
    print_rows("billed by the hour until deleted", running)
    if bill.max_usd is not None:
        show(f"budget: {bill.max_usd} USD")


def _free(session: Session) -> str:
    """Return the services that are not billed, with their endpoints."""
    words: dict[Service, str] = {
        "labeling": "labeling",
        "sagemaker": "training and endpoints",
        "s3": "storage",
    }
    clients = session.clients
    return ", ".join(
        f"{what} ({clients.endpoint(service)})" for service, what in words.items() if not clients.is_aws(service)
    )


def _missing(session: Session) -> list[str]:
    run = session.run
    sections = {"label": run.labeling_job, "train": run.training_job, "deploy": run.endpoint}
    return [stage for stage, section in sections.items() if section is None]


def _count_images(session: Session) -> int | None:
    from gtseg.pipeline.commands.doctor import count_images

    return count_images(session.context())


def print_rows(title: str, rows: Sequence[Row], *, file: TextIO | None = None) -> None:
    """Print a table to stdout (or `file`), with the sources of the prices below it."""
    from gtseg.core.cost import total

    if not rows:
        return

    def line(text: str) -> None:
        show(text, file=file)

    line(f"{title}:")
    for row in rows:
        usd = "unknown" if row.usd is None else f"{row.usd:,.2f}" if row.usd >= 1 else f"{row.usd:,.4f}"
        price = "?" if row.price.usd is None else f"{row.price.usd:.6f}".rstrip("0").rstrip(".")
        line(f"  {row.stage:<8} {row.what:<34} {row.quantity:>12,.2f} {row.unit:<8} x {price:>9} = {usd:>12} USD")
    if not rows[0].recurring or len(rows) > 1:
        known, unknown = total(rows)
        if not all(row.recurring for row in rows):
            words = "total" + (", hourly costs not included" if any(row.recurring for row in rows) else "")
            line(
                f"  {'':<8} {words:<34} {'':>12} {'':<8}   {'':>9} = {known:>12,.2f} USD"
                + (f", {unknown} unknown" if unknown else "")
            )
    for source in dict.fromkeys(row.price.source for row in rows):
        line(f"      {source}")
