"""gtseg deploy, predict, cleanup, serve."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtseg.cli.checks import file_location, location, resource_name
from gtseg.cli.consent import ask
from gtseg.cli.console import print_json, say
from gtseg.cli.listeners import listener
from gtseg.cli.option_groups import grouped
from gtseg.cli.options import (
    BatchOptions,
    ProjectOptions,
    Set,
    SettingsFile,
    Spending,
    open_settings,
)
from gtseg.cli.stage_command import answer, run_stage
from gtseg.core.s3_uris import is_s3_uri
from gtseg.errors import SettingsError

if TYPE_CHECKING:
    from gtseg.pipeline.run import Run

app = typer.Typer(rich_markup_mode=None)


@app.command()
@grouped
def deploy(
    project: ProjectOptions,
    spending: Spending,
    job: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Any training job instead of the run's.", callback=resource_name),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="URI", help="Any model.tar.gz in S3.", callback=file_location)
    ] = None,
) -> None:
    """Deploy the trained model to an endpoint, which runs until `gtseg cleanup`."""
    from gtseg.pipeline.stages.deploy import deploy as implementation

    if job and model:
        raise typer.BadParameter("--job and --model exclude each other")
    session = project.open()
    stage = partial(implementation, job=job, model=model)
    run = run_stage(session, stage, spending)
    answer(run.endpoint, as_json=project.as_json and not spending.dry_run)


@dataclass(frozen=True)
class Results:
    """Files that `predict` writes beside the masks, and how it cuts large images."""

    overlays: Annotated[bool, typer.Option("--overlays", help="Also write <name>_overlay.jpg.")] = False
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write <name>.npz, (classes, H, W) probabilities.")
    ] = False
    tile: Annotated[bool, typer.Option("--tile", help="Cut large images into tiles instead of scaling them.")] = False

    def settings(self) -> list[str]:
        """Return the options as overrides of [predict]."""
        wanted = {"overlays=true": self.overlays, "probabilities=true": self.probabilities}
        wanted["large_images=tile"] = self.tile
        return [f"predict.{setting}" for setting, is_wanted in wanted.items() if is_wanted]


@dataclass(frozen=True)
class GeoOptions:
    """Georeferenced outputs of `predict`: a tree of tiles, footprints."""

    tiles: Annotated[
        Path | None, typer.Option("--tiles", metavar="DIR", help="Also write the masks of tiles as DIR/z/x/y.png.")
    ] = None
    features: Annotated[
        Path | None, typer.Option("--features", metavar="FILE", help="Also write GeoJSON footprints, in degrees.")
    ] = None
    places: Annotated[
        Path | None,
        typer.Option(
            "--places", metavar="DIR", help="Folder of the import of these images, which has their positions."
        ),
    ] = None

    def check(self, output: str) -> None:
        """Raise an error for options that cannot work, before any image is predicted."""
        if not (self.tiles or self.features):
            return
        from gtseg.imports import georeferencing  # noqa: F401  (needs the extra [geo])

        if is_s3_uri(output):
            raise SettingsError("--tiles and --features need a local --output folder")

    def write(self, output: str, run: Run) -> None:
        if not (self.tiles or self.features):
            return
        from gtseg.imports.georeferencing import read_places, write_features, write_tile_tree

        masks, known = Path(output), read_places(self.places)
        if self.tiles:
            count = write_tile_tree(masks, self.tiles, places=known)
            say(f"predict: {count:,} tiles below {self.tiles}")
        if self.features:
            names = run.dataset.classes[1:] if run.dataset else tuple(f"class-{n}" for n in range(1, 254))
            count = write_features(masks, self.features, names, places=known)
            say(f"predict: {count:,} footprints in {self.features}")


@app.command()
@grouped
def predict(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGES", help="Images, folders or s3:// prefixes.", callback=location)
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="DIR", help="Folder or s3:// prefix for the masks.", callback=location),
    ],
    project: ProjectOptions,
    results: Results,
    on_the_map: GeoOptions,
    in_batch: BatchOptions,
    spending: Spending,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="ENDPOINT", help="Any endpoint instead of the run's.", callback=resource_name),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="With --batch: any model.tar.gz in S3 instead of the run's.", callback=file_location
        ),
    ] = None,
) -> None:
    """Predict the mask of each image with the endpoint, or with a transform job (--batch).

    A mask is an indexed PNG of the image's size. Exit code 5: some images failed; run the same command again to predict
    the missing ones.
    """
    from gtseg.pipeline.commands.predict import predict as ask_all
    from gtseg.pipeline.commands.predict import predict_in_batch

    if (in_batch.batch and endpoint) or (model and not in_batch.batch):
        raise typer.BadParameter("--endpoint excludes --batch; --model needs --batch")
    on_the_map.check(output)
    in_batch.check_spending(spending)
    overrides = [*(project.overrides or []), *results.settings(), *in_batch.settings()]
    session = replace(project, overrides=overrides).open()
    with listener() as notify:
        if in_batch.batch:
            consent = ask(session, spending)
            context = session.context(notify, consent=consent, dry_run=spending.dry_run)
            result = predict_in_batch(session.run, context, sources=images, output=output, model=model)
        else:
            context = session.context(notify)
            result = ask_all(session.run, context, sources=images, output=output, endpoint=endpoint)
    if spending.dry_run:
        return
    on_the_map.write(output, session.run)
    if project.as_json:
        print_json(asdict(result) | {"account": result.account.as_json()})
    raise typer.Exit(5 if result.failed else 0)


@app.command()
@grouped
def cleanup(
    project: ProjectOptions,
    spending: Spending,
    everything: Annotated[bool, typer.Option("--all", help="Also stop this run's running jobs.")] = False,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Delete resources of this project that no run uses.")
    ] = False,
    expired: Annotated[
        bool, typer.Option("--expired", help="Delete endpoints of this project whose time to live has passed.")
    ] = False,
    data: Annotated[
        bool, typer.Option("--data", help="Also delete everything of this run in S3. Cannot be undone.")
    ] = False,
) -> None:
    """Delete endpoint, endpoint config and model; list what was deleted and what still costs money.

    Data is deleted only with --data.
    """
    from gtseg.errors import GtsegError
    from gtseg.pipeline.stages.cleanup import Sweep, sweep

    if orphans and expired:
        raise typer.BadParameter("--orphans and --expired exclude each other")
    session = project.open()
    if data and not spending.yes and not spending.dry_run:
        if not session.clients.is_aws("s3"):
            raise GtsegError(f"--data deletes everything below {session.run.root}: confirm with --yes.")
        if not ask(session, spending).spend(f"Delete everything below {session.run.root}?"):
            raise GtsegError("Nothing was deleted.")
    with listener() as notify:
        wanted = Sweep(everything, orphans, expired, data)
        _, swept = sweep(session.run, session.context(notify, dry_run=spending.dry_run), wanted)
    if project.as_json:
        print_json(asdict(swept))


@app.command()
def serve(
    settings_file: SettingsFile = None,
    overrides: Set = None,
    once: Annotated[bool, typer.Option("--once", help="Poll all runs once, then exit.")] = False,
) -> None:
    """Advance every run of this project unattended up to the stage [serve] until; /healthz reports the state.

    Runs until SIGTERM or Ctrl-C. The log is one JSON object per line on stderr.
    """
    from gtseg.pipeline.commands.serve import Service

    raise typer.Exit(Service(open_settings(settings_file, overrides)).run(once=once))
