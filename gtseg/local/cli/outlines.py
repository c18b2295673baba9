"""Commands `outlines` and `profile`: the outline model of the running server, and an AWS profile for it."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from gtseg.local.cli.client import Data, check_url, explain, fail, find_base, find_folder, require_own_server
from gtseg.local.errors import ServiceError
from gtseg.local.terminal import show

app = typer.Typer(rich_markup_mode=None)


@app.command("outlines")
def examine_outlines(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
    data: Data = None,
) -> None:
    """Show which model outlines objects on the labeling page, and its speed, measured by the server on a drawn disc."""
    serving = require_own_server(data)
    from gtseg.local.execute import ask_server

    problem = ""
    try:
        found = ask_server(find_folder(data), "GET", "/owner/outlines")
    except (OSError, RuntimeError, ServiceError) as error:
        problem = explain(error)
    if as_json:
        show(json.dumps({"url": serving.url.rstrip("/"), **({"problem": problem} if problem else found)}))
    if problem:
        raise fail(problem, 1)
    if as_json:
        return
    show("\n".join([str(found["kind"]), *found["files"]]))
    show(f"{found['picture_seconds']:.1f} s per image,  {1000 * found['click_seconds']:.0f} ms per further click")


@app.command("profile")
def show_profile(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the AWS profile, e.g. labels.")],
    write: Annotated[
        bool, typer.Option("--write", help="Write the sections into the two files instead of printing them.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Public address of this server, e.g. https://label.local.", callback=check_url
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Print or write an AWS profile of this server, for `[labeling] profile` of gtseg.toml, boto3 and the AWS CLI.

    The profile belongs in ~/.aws/config and ~/.aws/credentials (or AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE).
    """
    from gtseg.local import profiles
    from gtseg.local.environment import find_certificate

    try:
        profiles.check_name(name)
    except ValueError as error:
        raise fail(error, 2) from None
    serving = require_own_server(data)
    endpoint = find_base(data, at, what="profile")
    trusted = find_certificate(find_folder(data)) if endpoint.startswith("https://") and not at else None
    profile = profiles.Profile(
        name,
        endpoint,
        serving.region,
        serving.access_key,
        serving.secret_key,
        ca_bundle=str(trusted) if trusted else None,
    )
    config, credentials = profiles.files(os.environ)
    if not write:
        for path, lines in ((config, profile.config), (credentials, profile.credentials)):
            show("\n".join([f"# {path}", *lines, ""]))
        return
    try:
        changed = profiles.write(profile, os.environ)
    except ServiceError as error:
        raise fail(explain(error), 1) from None
    for path in (config, credentials):
        show(f"{path}: profile {name} {'written' if path in changed else 'is up to date'}")
