"""gtseg on the command line. Nothing heavy is imported before the command that needs it runs.

A command is one line of COMMANDS: its module is imported when it is called, its help line is kept here so that
`gtseg --help` imports none of them.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from gtseg.core.printable import printable
from gtseg.errors import GtsegError

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module with a typer `app` that has it, one line of help)
    "init": ("gtseg.cli.init", "Write a commented gtseg.toml and the worker template here."),
    "label": ("gtseg.cli.labeling", "Start the labeling job over your images."),
    "watch": ("gtseg.cli.labeling", "Follow the labeling job until it ends."),
    "jobs": ("gtseg.cli.labeling", "List labeling jobs: this run's, or the account's with --all."),
    "agreement": (
        "gtseg.cli.review",
        "Say how well the workers agree: who is slow, who is off, what is hard.",
    ),
    "verify": ("gtseg.cli.review", "Let people say which masks are good and which are bad."),
    "adjust": ("gtseg.cli.review", "Let people correct masks that are there."),
    "dataset": ("gtseg.cli.dataset", "Turn a job's output into training, validation and test data."),
    "train": ("gtseg.cli.training", "Train the built-in algorithm, follow it, keep its best epoch."),
    "tune": ("gtseg.cli.training", "Search for better hyperparameters."),
    "deploy": ("gtseg.cli.hosting", "Put the model on an endpoint."),
    "predict": ("gtseg.cli.hosting", "Ask the endpoint for the masks of images."),
    "evaluate": (
        "gtseg.cli.evaluation",
        "Score the model on the test split, or any masks against any masks.",
    ),
    "report": ("gtseg.cli.evaluation", "Write the run up as one page to show."),
    "cleanup": ("gtseg.cli.hosting", "Delete what costs money; say what is left."),
    "serve": ("gtseg.cli.hosting", "Advance every run of the project by itself."),
    "demo": ("gtseg.cli.demo", "From images to a report in a few minutes, on your own machine."),
    "import": ("gtseg.cli.importing", "Bring in labels that did not come from Ground Truth."),
    "compare": ("gtseg.cli.comparing", "Put runs or folders of predictions side by side on one page."),
    "diff": ("gtseg.cli.diff", "Say what changed between two runs: data, settings, results."),
    "export": ("gtseg.cli.exporting", "Write labels as COCO, YOLO-seg, CVAT XML or index masks."),
    "doctor": ("gtseg.cli.doctor", "Check everything that could fail, before it costs anything."),
    "cost": (
        "gtseg.cli.cost",
        "What the next stages may cost, what the run has cost, what costs by the hour.",
    ),
    "run": ("gtseg.cli.run", "Do every stage that is not done yet."),
    "status": ("gtseg.cli.run", "Say what this run has and what comes next."),
    "local": ("gtseg.local.cli", "The embedded AWS: all of this on your own machine, without an account."),
}
EXTRAS = {
    "local": {
        "cv2",
        "flask",
        "flask_cors",
        "httptools",
        "liquid",
        "moto",
        "starlette",
        "torch",
        "uvicorn",
        "uvloop",
    },
    "geo": {"pyproj", "rasterio", "shapely"},
    "sagemaker": {"sagemaker"},
}
"""Packages of each optional extra, by the names they are imported under."""
GARBAGE = 50_000
"""Objects between two looks for garbage, for Python's 700: a tenth of a short command's time went into looking at imports."""
HELP = """From unlabeled images to a measured, deployed semantic segmentation model.

label -> watch -> dataset -> train -> deploy -> evaluate -> report, on Amazon SageMaker or on your own machine:

  gtseg demo                                   a small example, from images to a report, in a few minutes
  gtseg init && gtseg local exec -- gtseg run  your own images, without an AWS account
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code. A traceback is a bug of ours."""
    from gtseg.cli.lazy import group

    gc.set_threshold(GARBAGE, 20, 20)
    try:
        group(COMMANDS, HELP).main(args=list(arguments) if arguments is not None else None, prog_name="gtseg")
    except GtsegError as error:
        print(f"gtseg: {printable(str(error))}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except ModuleNotFoundError as error:
        if (extra := _extra_of(error.name or "")) is None:
            raise
        words = f"this needs {error.name}, which is not installed: pip install 'gtseg[{extra}]'"
        print(f"gtseg: {words}", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:
        raise SystemExit(1) from None
    except SystemExit as end:
        if end.code == 130:
            print(
                "gtseg: Interrupted. What was done is saved; run the same command again to go on.",
                file=sys.stderr,
            )
        raise


def _extra_of(module: str) -> str | None:
    """The extra that brings an optional package; None for one of ours or of the base install."""
    top = module.partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if top in modules), None)
