"""Command line of gtseg. No heavy module is imported before the command that needs it runs.

A command is one entry of SECTIONS and one module in `commands_of`; `gtseg --help` imports none of these modules.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gtseg.cli.console import show
from gtseg.core.printable import printable
from gtseg.errors import GtsegError

if TYPE_CHECKING:
    from typer import Typer

SECTIONS = {
    "Pipeline, in order": {
        "init": "Write a commented gtseg.toml and the worker template here.",
        "run": "Run every stage that is not done yet.",
        "status": "Show what this run has and which stage comes next.",
        "label": "Start the labeling job for your images.",
        "watch": "Follow the labeling job until it ends.",
        "dataset": "Convert the labels of a job to training, validation and test data.",
        "train": "Train the built-in algorithm, follow the job, keep the best epoch.",
        "tune": "Search for better hyperparameters.",
        "deploy": "Deploy the model to an endpoint.",
        "evaluate": "Score the model on the test split, or any masks against reference masks.",
        "predict": "Predict masks of images with the endpoint.",
        "report": "Write a report of the run as one HTML page.",
    },
    "Existing labels": {
        "import": "Import labels that were not made with Ground Truth.",
        "export": "Export labels as COCO, YOLO-seg, CVAT XML or index masks.",
    },
    "Review": {
        "agreement": "Measure how well the workers agree; list slow workers, outliers and hard images.",
        "verify": "Let workers verify which masks are good and which are bad.",
        "adjust": "Let workers correct existing masks.",
    },
    "Operations": {
        "doctor": "Check everything that could fail before it costs anything.",
        "cost": "Show what the next stages may cost, what the run has cost and what costs by the hour.",
        "jobs": "List labeling jobs of this run, or of the account with --all.",
        "compare": "Compare runs or folders of predictions on one page.",
        "diff": "Show what changed between two runs: data, settings, results.",
        "serve": "Advance every run of the project unattended.",
        "cleanup": "Delete resources that cost money; list what remains.",
    },
    "This machine": {
        "demo": "Run an example from images to a report in a few minutes on your own machine.",
        "local": "Run the embedded AWS: the whole pipeline on your own machine, without an account.",
    },
}
"""Help line of each command, by section of the help."""
COMMANDS = {name: line for section in SECTIONS.values() for name, line in section.items()}
OTHER_NAMES = {
    "flask": ("flask", "werkzeug"),
    "ipython": ("IPython",),
    "opencv-python-headless": ("cv2",),
    "pyshp": ("shapefile",),
    "python-liquid": ("liquid",),
    "rasterio": ("rasterio", "affine"),
    "sagemaker-core": ("sagemaker",),
    "starlette": ("starlette", "anyio"),
}
"""Module names of distributions whose modules have other names, or that bring modules of their dependencies."""
GARBAGE = 50_000
"""Threshold of the garbage collector (Python's default: 700); collections during imports took a tenth of a short
command."""
HELP = """From unlabeled images to a measured, deployed semantic segmentation model.

label -> watch -> dataset -> train -> deploy -> evaluate -> report, on Amazon SageMaker or on your own machine:

  gtseg demo                                   a small example, from images to a report, in a few minutes
  gtseg init && gtseg local exec -- gtseg run  your own images, without an AWS account
"""

INTERRUPTED = "gtseg: Interrupted. The work done so far is saved; run the same command again to continue."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its exit code. A traceback is a bug of gtseg."""
    from gtseg.cli.examples import EXAMPLES
    from gtseg.cli.interrupts import interruptible
    from gtseg.cli.lazy import group

    gc.set_threshold(GARBAGE, 20, 20)
    command = group(SECTIONS, commands_of, HELP, EXAMPLES)
    with interruptible() as interrupts:
        try:
            _run(lambda: command.main(args=list(arguments) if arguments is not None else None, prog_name="gtseg"))
        except SystemExit:
            raise
        except BaseException:
            if not interrupts.received:
                raise
            show(INTERRUPTED, file=sys.stderr)  # an interrupted import may fail with any exception
            raise SystemExit(130) from None


def _run(command: Callable[[], object]) -> None:
    try:
        command()
    except SystemExit as end:
        if end.code == 130:  # typer's, for Ctrl-C
            show(INTERRUPTED, file=sys.stderr)
        raise
    except GtsegError as error:
        show(f"gtseg: {printable(str(error))}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except ModuleNotFoundError as error:
        if (extra := extra_of(error.name or "")) is None:
            raise
        words = f"{error.name} is not installed: pip install 'gtseg[{extra}]'"
        show(f"gtseg: {words}", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:
        raise SystemExit(1) from None
    except OSError as error:  # a path given by the user that cannot be created, read or written
        if error.filename is None:
            raise
        show(
            f"gtseg: {printable(str(error.filename))}: {error.strerror}. Use another path, or make this one "
            "accessible.",
            file=sys.stderr,
        )
        raise SystemExit(1) from None


def extra_of(module: str) -> str | None:
    """Return the extra that installs a module, from gtseg's metadata; None for modules of the base installation."""
    from importlib.metadata import requires

    top = module.partition(".")[0]
    for requirement in requires("gtseg") or ():
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()
        if extra and extra[1] != "dev" and top in OTHER_NAMES.get(name, (name.replace("-", "_"),)):
            return extra[1]
    return None


def commands_of(name: str) -> Typer:
    """Return the typer app of a command; its module is imported on the first call."""
    match name:
        case "init":
            from gtseg.cli.init import app
        case "label" | "watch" | "jobs":
            from gtseg.cli.labeling import app
        case "agreement" | "verify" | "adjust":
            from gtseg.cli.review import app
        case "dataset":
            from gtseg.cli.dataset import app
        case "train" | "tune":
            from gtseg.cli.training import app
        case "deploy" | "predict" | "cleanup" | "serve":
            from gtseg.cli.hosting import app
        case "evaluate" | "report":
            from gtseg.cli.evaluation import app
        case _:
            return _other_commands_of(name)
    return app


def _other_commands_of(name: str) -> Typer:
    """Return the typer app of a command that is not a stage."""
    match name:
        case "demo":
            from gtseg.cli.demo import app
        case "import":
            from gtseg.cli.imports import app
        case "compare":
            from gtseg.cli.comparison import app
        case "diff":
            from gtseg.cli.diff import app
        case "export":
            from gtseg.cli.export import app
        case "doctor":
            from gtseg.cli.doctor import app
        case "cost":
            from gtseg.cli.cost import app
        case "run" | "status":
            from gtseg.cli.run import app
        case "local":
            from gtseg.local.cli import app
        case _:
            raise KeyError(name)
    return app
