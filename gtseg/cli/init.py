"""gtseg init: write a commented gtseg.toml and the worker template."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from gtseg.cli.console import print_json, say
from gtseg.cli.options import Json

app = typer.Typer(rich_markup_mode=None)
FILES = {"gtseg.toml": "gtseg.toml", "template.liquid": "template.liquid"}


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write to.")] = Path(),
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Project name [default: the folder's name].")] = None,
    policies: Annotated[
        bool, typer.Option("--policies", help="Also write the least-privilege IAM policies of this project.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a commented gtseg.toml and the worker template; existing files are not overwritten."""
    from gtseg.settings.table import check_run_name
    from gtseg.settings.templates import read_template

    project = name or _as_name(folder.resolve().name)
    check_run_name(project)
    folder.mkdir(parents=True, exist_ok=True)
    outcome = {}
    for file, template in FILES.items():
        text = read_template(template)
        if file == "gtseg.toml":
            text = text.replace('name = "my-project"', f'name = "{project}"')
        outcome[file] = "written" if _write_new(folder / file, text) else "exists already, not changed"
        say(f"{folder / file}: {outcome[file]}")
    if policies:
        outcome |= _write_policies(folder)
    say("Next: set your images and labels in gtseg.toml, then run `gtseg local exec -- gtseg run --until dataset`.")
    if as_json:
        print_json(outcome)


def _write_policies(folder: Path) -> dict[str, str]:
    """Write policies/ from gtseg.toml: for the caller, SageMaker's role and its trust policy, and a labeling server.

    Existing files are overwritten.
    """
    import json

    from gtseg.cli.options import open_settings
    from gtseg.core.policies import caller_policy, execution_policy, labeling_server_policy, trust_policy
    from gtseg.core.s3_uris import is_s3_uri, split_uri
    from gtseg.pipeline.run import Context, locate
    from gtseg.pipeline.run.account import open_clients

    settings = open_settings(folder / "gtseg.toml")
    clients = open_clients(settings)
    bucket = split_uri(locate(settings, clients))[0]
    source = settings.images.source or ""
    images = [split_uri(source)[0]] if is_s3_uri(source) else []
    role = Context(settings, clients).role_arn
    documents = {
        "caller.json": caller_policy(
            region=clients.region, account=clients.account, bucket=bucket, image_buckets=images,
            role_arn=role, project=settings.project.name,
            labels_here=settings.labeling.profile is None or clients.is_aws("labeling"),
        ),
        "execution-role.json": execution_policy(region=clients.region, buckets=[bucket, *images]),
        "labeling-server.json": labeling_server_policy(
            region=clients.region, account=clients.account, bucket=bucket, image_buckets=images,
            runs=settings.project.prefix + settings.project.name,
            kms_keys=[key for key in (settings.project.kms_key, settings.labeling.kms_key) if key],
        ),
        "trust.json": trust_policy(),
    }  # fmt: skip
    (folder / "policies").mkdir(exist_ok=True)
    for name, document in documents.items():
        (folder / "policies" / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        say(f"{folder / 'policies' / name}: written")
    say(f"The policies cover runs whose names begin with {settings.project.name!r}. For other names, change them.")
    return {f"policies/{name}": "written" for name in documents}


def _write_new(path: Path, text: str) -> bool:
    """Write the file unless it exists; mode 'x' makes the check and the creation one step."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _as_name(text: str) -> str:
    """Return the letters, digits and hyphens of a folder's name."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", text).strip("-")[:40].rstrip("-") or "my-project"
