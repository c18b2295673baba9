"""Entry point: `python -m gtseg.local.algorithm train|serve|score --root DIR ...`.

`train --root DIR [--seconds S]`, `serve --root DIR --port P`, `score --root DIR --images DIR`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from pathlib import Path

from gtseg.local.algorithm import log
from gtseg.local.algorithm.container import AlgorithmError, ClientError, Folders, Stopped, catch_sigterm


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    # idle threads sleep instead of spinning; read by torch on import
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    folders = Folders(options.root.resolve())
    commands = {"train": run_train, "serve": run_serve, "score": run_score}
    return commands[options.command](folders, options)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m gtseg.local.algorithm", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train on the channels below ROOT/input, write a model to ROOT/model")
    train.add_argument("--root", type=Path, required=True, help="SageMaker's folders (see folders.py)")
    limit = train.add_mutually_exclusive_group()
    limit.add_argument(
        "--seconds", type=float, help="wall-clock time limit of the job in seconds, including resumed runs"
    )
    limit.add_argument("--cpu-seconds", type=float, help="the same limit in CPU seconds, for benchmarks")
    train.add_argument(
        "--seed", type=int, default=1, help="random seed of the order of images and the initial weights of the head"
    )
    serve = commands.add_parser("serve", help="serve inference requests on 127.0.0.1")
    serve.add_argument("--root", type=Path, required=True, help="folder with model/")
    serve.add_argument("--port", type=int, required=True)
    score = commands.add_parser("score", help="predict a mask and a confidence for each image in ROOT/input/names")
    score.add_argument("--root", type=Path, required=True, help="folder with model/ and input/")
    score.add_argument("--images", type=Path, required=True, help="folder of the images")
    score.add_argument("--features", action="store_true", help="add a feature vector for each image")
    return top


def run_train(folders: Folders, options: argparse.Namespace) -> int:
    print("Docker entrypoint called with argument(s): train", flush=True)
    print("Running default environment configuration script", flush=True)
    try:
        with catch_sigterm() as interrupt:
            from gtseg.local.algorithm import train
            from gtseg.local.algorithm.optimization import Budget

            if options.cpu_seconds is not None:
                budget = Budget(options.cpu_seconds, clock=time.process_time)
            else:
                budget = Budget(options.seconds)
            train.train(folders, budget, interrupt, seed=options.seed)
    except Stopped:
        log.info("SIGTERM: what was trained is saved")
    except Exception as error:
        return fail(folders, error)
    return 0


def run_serve(folders: Folders, options: argparse.Namespace) -> int:
    try:
        from gtseg.local.algorithm.inference import serve

        serve.serve(folders, port=options.port)
    except Exception as error:
        return fail(folders, error)
    return 0


def run_score(folders: Folders, options: argparse.Namespace) -> int:
    try:
        from gtseg.local.algorithm.inference.score import score

        score(folders, options.images, features=options.features)
    except Exception as error:
        return fail(folders, error)
    return 0


def fail(folders: Folders, error: Exception) -> int:
    """Write a one-line reason to output/failure and the log; print the traceback of an unexpected error to stderr."""
    if isinstance(error, ClientError | AlgorithmError):
        reason = f"{type(error).__name__}: {error}"
    else:
        reason = f"AlgorithmError: {type(error).__name__}: {error}"
        traceback.print_exc(file=sys.stderr)
    folders.write_failure(reason)
    log.error(reason)
    return 1


if __name__ == "__main__":
    sys.exit(main())
