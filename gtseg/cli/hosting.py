"""gtseg deploy, predict, cleanup, serve."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gtseg.cli.consent import ask
from gtseg.cli.console import print_json, say
from gtseg.cli.listeners import listener
from gtseg.cli.options import DryRun, Json, RunName, Session, Set, SettingsFile, Yes, open_session
from gtseg.cli.walking import answer, walk_stage
from gtseg.errors import SettingsError

app = typer.Typer(rich_markup_mode=None)


@app.command()
def deploy(
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    job: Annotated[
        str | None, typer.Option(metavar="NAME", help="Any training job instead of the run's.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="URI", help="Any model.tar.gz in S3.")] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put the trained model on an endpoint that answers until `gtseg cleanup`.

    \b
    gtseg deploy --model s3://bucket/model.tar.gz --set deploy.image_uri=... --set deploy.content_type=image/png
    """
    from gtseg.pipeline.stages.deploy import deploy as walk

    if job and model:
        raise typer.BadParameter("--job and --model exclude each other")
    session = open_session(settings_file, run_name, overrides)
    stage = partial(walk, job=job, model=model)
    run = walk_stage(session, stage, consent=ask(session, yes=yes), dry_run=dry_run)
    answer(run.endpoint, as_json=as_json and not dry_run)


@app.command()
def predict(
    images: Annotated[list[str], typer.Argument(help="Images, folders or s3:// prefixes.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="Folder or s3:// prefix of the masks.")
    ],
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    endpoint: Annotated[str | None, typer.Option(help="Any endpoint instead of the run's.")] = None,
    overlays: Annotated[bool, typer.Option("--overlays", help="Also <name>_overlay.jpg.")] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also <name>.npz, (classes, H, W).")
    ] = False,
    tile: Annotated[
        bool, typer.Option("--tile", help="Cut large images into tiles instead of scaling them.")
    ] = False,
    tiles: Annotated[
        Path | None, typer.Option("--tiles", metavar="DIR", help="Also the masks of tiles as DIR/z/x/y.png.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option("--features", metavar="FILE", help="Also GeoJSON footprints, in degrees.")
    ] = None,
    places: Annotated[
        Path | None,
        typer.Option(
            "--places", metavar="DIR", help="The import whose images these are: it knows where they lie."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask the endpoint for the mask of each image: an indexed PNG of the image's own size.

    Exit code 5: some images failed. The same command again asks for what is missing only.
    """
    from gtseg.pipeline.commands.predict import predict as ask_all

    flags = {"overlays": overlays, "probabilities": probabilities}
    extra = [f"predict.{name}=true" for name, wanted in flags.items() if wanted]
    extra += ["predict.large_images=tile"] if tile else []
    session = open_session(settings_file, run_name, [*(overrides or []), *extra])
    with listener() as notify:
        result = ask_all(
            session.run, session.context(notify), sources=images, output=output, endpoint=endpoint
        )
    if tiles or features:
        _put_on_the_map(output, tiles, features, places, session)
    if as_json:
        print_json(asdict(result))
    raise typer.Exit(5 if result.failed else 0)


def _put_on_the_map(
    output: str, tiles: Path | None, features: Path | None, places: Path | None, session: Session
) -> None:
    """Masks with a place on earth: as a tree of tiles, as footprints."""
    from gtseg.imports.placing import read_places, write_features, write_tile_tree

    if output.startswith("s3://"):
        raise SettingsError("--tiles and --features read the masks from a local --output folder")
    known = read_places(places)
    if tiles:
        say(f"predict: {write_tile_tree(Path(output), tiles, places=known):,} tiles below {tiles}")
    if features:
        data = session.run.dataset
        names = data.classes[1:] if data else tuple(f"class-{n}" for n in range(1, 254))
        say(
            f"predict: {write_features(Path(output), features, names, places=known):,} footprints in {features}"
        )


@app.command()
def cleanup(
    settings_file: SettingsFile = None,
    run_name: RunName = None,
    overrides: Set = None,
    everything: Annotated[bool, typer.Option("--all", help="Also stop this run's running jobs.")] = False,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="What runs of this project left behind and none of them uses.")
    ] = False,
    expired: Annotated[
        bool, typer.Option("--expired", help="Endpoints of this project past their time to live.")
    ] = False,
    data: Annotated[
        bool, typer.Option("--data", help="Also everything of this run in S3. Cannot be undone.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Delete endpoint, endpoint config and model; say what was deleted and what still costs money. Never data unless told."""
    from gtseg.errors import GtsegError
    from gtseg.pipeline.stages.cleanup import Sweep, sweep

    if orphans and expired:
        raise typer.BadParameter("--orphans and --expired exclude each other")
    session = open_session(settings_file, run_name, overrides)
    if data and not yes and not dry_run:
        consent = ask(session, yes=False)
        if not session.clients.is_local and not consent.spend(f"Delete everything below {session.run.root}?"):
            raise GtsegError("Nothing was deleted.")
        if session.clients.is_local and not yes:
            raise GtsegError(f"--data deletes everything below {session.run.root}: say --yes.")
    with listener() as notify:
        wanted = Sweep(everything, orphans, expired, data)
        _, swept = sweep(session.run, session.context(notify, dry_run=dry_run), wanted)
    if as_json:
        print_json(asdict(swept))


@app.command()
def serve(
    settings_file: SettingsFile = None,
    overrides: Set = None,
    once: Annotated[bool, typer.Option("--once", help="One look at all runs, then leave.")] = False,
) -> None:
    """Advance every run of this project by itself, as far as [serve] until says; /healthz tells how it is.

    Runs until SIGTERM or Ctrl-C. Its log is one JSON object per line on stderr.
    """
    from gtseg.cli.options import open_settings
    from gtseg.pipeline.commands.serve import Service

    raise typer.Exit(Service(open_settings(settings_file, overrides)).run(once=once))
