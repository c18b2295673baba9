"""gtseg on the command line. Nothing heavy is imported before the command that needs it runs.

A command is one line of SECTIONS and its module in `commands_of`: `gtseg --help` imports none of them.
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
    "Pipeline, in the order of the work": {
        "init": "Write a commented gtseg.toml and the worker template here.",
        "run": "Do every stage that is not done yet.",
        "status": "Say what this run has and what comes next.",
        "label": "Start the labeling job over your images.",
        "watch": "Follow the labeling job until it ends.",
        "dataset": "Turn a job's output into training, validation and test data.",
        "train": "Train the built-in algorithm, follow it, keep its best epoch.",
        "tune": "Search for better hyperparameters.",
        "deploy": "Put the model on an endpoint.",
        "evaluate": "Score the model on the test split, or any masks against any masks.",
        "predict": "Ask the endpoint for the masks of images.",
        "report": "Write the run up as one page to show.",
    },
    "Labels that exist already": {
        "import": "Bring in labels that did not come from Ground Truth.",
        "export": "Write labels as COCO, YOLO-seg, CVAT XML or index masks.",
    },
    "Review": {
        "agreement": "Say how well the workers agree: who is slow, who is off, what is hard.",
        "verify": "Let people say which masks are good and which are bad.",
        "adjust": "Let people correct masks that are there.",
    },
    "Operations": {
        "doctor": "Check everything that could fail, before it costs anything.",
        "cost": "What the next stages may cost, what the run has cost, what costs by the hour.",
        "jobs": "List labeling jobs: this run's, or the account's with --all.",
        "compare": "Put runs or folders of predictions side by side on one page.",
        "diff": "Say what changed between two runs: data, settings, results.",
        "serve": "Advance every run of the project by itself.",
        "cleanup": "Delete what costs money; say what is left.",
    },
    "This machine": {
        "demo": "From images to a report in a few minutes, on your own machine.",
        "local": "The embedded AWS: all of this on your own machine, without an account.",
    },
}
"""One line of help for each command, by section of the help."""
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
"""Distributions that are imported under other names than their own, or bring what is imported, too."""
GARBAGE = 50_000
"""Objects between two looks for garbage, for Python's 700: a tenth of a short command's time went into looking at imports."""
HELP = """From unlabeled images to a measured, deployed semantic segmentation model.

label -> watch -> dataset -> train -> deploy -> evaluate -> report, on Amazon SageMaker or on your own machine:

  gtseg demo                                   a small example, from images to a report, in a few minutes
  gtseg init && gtseg local exec -- gtseg run  your own images, without an AWS account
"""

INTERRUPTED = "gtseg: Interrupted. What was done is saved; run the same command again to go on."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code. A traceback is a bug of ours."""
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
            if not interrupts.came:
                raise
            show(INTERRUPTED, file=sys.stderr)  # an import that is interrupted may fail in its own way
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
        words = f"this needs {error.name}, which is not installed: pip install 'gtseg[{extra}]'"
        show(f"gtseg: {words}", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:
        raise SystemExit(1) from None
    except OSError as error:  # a folder or file of the user's that cannot be made, read or written
        if error.filename is None:
            raise
        show(
            f"gtseg: {printable(str(error.filename))}: {error.strerror}. Name another place, or free this one.",
            file=sys.stderr,
        )
        raise SystemExit(1) from None


def extra_of(module: str) -> str | None:
    """The extra that brings an optional package, by gtseg's own metadata; None for one of ours or of the base install."""
    from importlib.metadata import requires

    top = module.partition(".")[0]
    for requirement in requires("gtseg") or ():
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()
        if extra and extra[1] != "dev" and top in OTHER_NAMES.get(name, (name.replace("-", "_"),)):
            return extra[1]
    return None


def commands_of(name: str) -> Typer:
    """The typer app that has a command, imported when the command is called."""
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
    """Those that are no stage."""
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
