"""Commands `backup`, `restore` and `check`: the data folder, and permissions on the buckets of --s3."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtseg.local.cli.client import Data, ask_owner, check_path, explain, fail, find_folder
from gtseg.local.errors import ServiceError
from gtseg.local.terminal import show

if TYPE_CHECKING:
    from gtseg.local.storage.backup import Findings

app = typer.Typer(rich_markup_mode=None)


@app.command("backup")
def back_up_folder(
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="New folder for the backup, outside the data folder.")
    ],
    data: Data = None,
) -> None:
    """Back up the data folder; works while the server is running.

    Exit code 5: some objects are damaged; they are listed.
    """
    from gtseg.local.storage.backup import back_up

    target = check_path(target, "TARGET")
    try:
        findings = back_up(find_folder(data), target)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None
    _show_findings(findings, f"{findings.objects} objects, {findings.bytes / 1e6:.1f} MB, backed up to {target}.")


@app.command("restore")
def restore_folder(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A folder created by `gtseg local backup`.")],
    data: Data = None,
) -> None:
    """Restore a backup to the data folder, which must be missing or empty.

    Exit code 5: some objects are damaged; they are listed.
    """
    from gtseg.local.storage.backup import restore

    folder = find_folder(data)
    try:
        findings = restore(check_path(source, "SOURCE"), folder)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None
    _show_findings(findings, f"{findings.objects} objects, {findings.bytes / 1e6:.1f} MB, restored to {folder}.")


@app.command("check")
def check_data_folder(
    s3: Annotated[
        bool,
        typer.Option(
            "--s3",
            help="Check instead the permissions of the running server (gtseg local up --s3) on its buckets. "
            "Stores nothing.",
        ),
    ] = False,
    place: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URI",
            help="With --s3: s3://bucket/prefix to check. Repeatable. [default: those of the server's jobs]",
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Verify the checksums of all objects and both databases. Exit code 5: some are damaged."""
    from gtseg.local.storage.backup import check_folder

    if s3 or place:
        _check_storage(data, place or [])
        return
    folder = find_folder(data)
    try:
        findings = check_folder(folder)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None
    _show_findings(findings, f"{findings.objects} objects, {findings.bytes / 1e6:.1f} MB, checked in {folder}.")


def _check_storage(data: Path | None, places: list[str]) -> None:
    """Print the server's permissions; exit code 4 if some are missing, 3 if S3 is unavailable."""
    for place in places:
        if not re.match(r"s3://[^/\s]{3,}(/|$)", place):
            raise fail(f"--place {place}: must be a bucket or a prefix, written s3://BUCKET/PREFIX.", 2)
    found = ask_owner(data, "POST", "/owner/storage/check", {"places": places})
    storage, rights = found["storage"], found["rights"]
    for right in rights:
        show(f"{right['action']:<24} {right['place']}  {right['problem'] or 'allowed'}")
    where = storage["endpoint"] or "the data folder"
    refused = [right for right in rights if right["problem"]]
    if refused:
        raise fail(
            f"{len(refused)} of {len(rights)} permissions are missing at {where}. gtseg init --policies writes a "
            "policy with all of them, labeling-server.json.",
            4,
        )
    show(
        f"All {len(rights)} permissions at {where} are granted."
        if rights
        else f"Objects are at {where}; the server has no jobs yet. Set --place s3://bucket/prefix."
    )


def _show_findings(findings: Findings, summary: str) -> None:
    """Print a summary and a line for each damaged object; exit code 5 if there are any."""
    for line in findings.damaged:
        show(f"damaged: {line}", err=True)
    show(summary)
    if findings.damaged:
        raise fail(
            f"{len(findings.damaged)} damaged. Upload these objects again, or restore an earlier backup with "
            "gtseg local restore.",
            5,
        )
