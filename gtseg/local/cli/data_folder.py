"""backup, restore and check: the data folder, and the rights in the buckets of --s3."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtseg.local.cli.client import Data, ask_owner, explain, fail, find_folder
from gtseg.local.errors import ServiceError
from gtseg.local.terminal import show

if TYPE_CHECKING:
    from gtseg.local.storage.backup import Findings

app = typer.Typer(rich_markup_mode=None)


@app.command("backup")
def back_up_folder(
    target: Annotated[Path, typer.Argument(help="New folder for the backup; outside of the data folder.")],
    data: Data = None,
) -> None:
    """Copy the data folder as it is at one moment, also while people work. Exit code 5: with damaged objects, listed."""
    from gtseg.local.storage.backup import back_up

    target = target.expanduser().absolute()
    try:
        findings = back_up(find_folder(data), target)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None
    show_findings(findings, f"{findings.objects} objects, {findings.bytes / 1e6:.1f} MB, are kept in {target}.")


@app.command("restore")
def restore_folder(
    source: Annotated[Path, typer.Argument(help="A folder that `gtseg local backup` made.")],
    data: Data = None,
) -> None:
    """Make the data folder of a backup; it must not be there yet, or be empty. Exit code 5: with damaged objects, listed."""
    from gtseg.local.storage.backup import restore

    folder = find_folder(data)
    try:
        findings = restore(source.expanduser().absolute(), folder)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None
    show_findings(findings, f"{findings.objects} objects, {findings.bytes / 1e6:.1f} MB, are back in {folder}.")


@app.command("check")
def check_data_folder(
    s3: Annotated[
        bool,
        typer.Option(
            "--s3",
            help="Try instead what the running server (gtseg local up --s3) may do in its buckets. Nothing is left.",
        ),
    ] = False,
    place: Annotated[
        list[str] | None,
        typer.Option(
            help="With --s3: s3://bucket/prefix to read and write. May be repeated. [default: those of its jobs]"
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Read every object and both databases and compare them with their checksums. Exit code 5: something is damaged."""
    from gtseg.local.storage.backup import check_folder

    if s3 or place:
        check_storage(data, place or [])
        return
    folder = find_folder(data)
    try:
        findings = check_folder(folder)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None
    show_findings(findings, f"{findings.objects} objects, {findings.bytes / 1e6:.1f} MB, were read in {folder}.")


def check_storage(data: Path | None, places: list[str]) -> None:
    """Each right that the server tried, and whether it has it; then exit code 4 where one is missing, 3 where S3 is away."""
    found = ask_owner(data, "POST", "/owner/storage/check", {"places": places})
    storage, rights = found["storage"], found["rights"]
    for right in rights:
        show(f"{right['action']:<24} {right['place']}  {right['problem'] or 'allowed'}")
    where = storage["endpoint"] or "the data folder"
    refused = [right for right in rights if right["problem"]]
    if refused:
        raise fail(
            f"{len(refused)} of {len(rights)} rights are missing at {where}: gtseg init --policies writes labeling-server.json,"
            " a policy with all of them.",
            4,
        )
    show(
        f"{len(rights)} rights at {where} are there."
        if rights
        else f"Objects are at {where}; the server has no job yet: give --place s3://bucket/prefix."
    )


def show_findings(findings: Findings, summary: str) -> None:
    """What was done, and a line for everything that is damaged; then exit code 5."""
    for line in findings.damaged:
        show(f"damaged: {line}", err=True)
    show(summary)
    if findings.damaged:
        raise fail(
            f"{len(findings.damaged)} damaged. Upload these objects again, or restore an earlier backup: gtseg local restore.",
            5,
        )
