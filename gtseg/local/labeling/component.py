"""Background work of labeling: the engine, the assistant, and the simulated crowd in a child process."""

from __future__ import annotations

import os
import subprocess
import sys

from gtseg.local.embedded import Embedded
from gtseg.local.labeling.assist.assistant import Assistant
from gtseg.local.labeling.engine import Engine

STOP_SECONDS = 5.0


class Labeling:
    """Starts and stops the engine, the assistant and the simulated crowd."""

    def __init__(self, embedded: Embedded) -> None:
        self.embedded = embedded
        self.engine = Engine(embedded)
        self.assistant = Assistant(embedded)
        self.crowd: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.engine.start()
        self.assistant.start()
        if self.embedded.options.crowd_masks is not None:
            self.crowd = start_crowd(self.embedded)

    def stop(self) -> None:
        if self.crowd is not None:
            self.crowd.terminate()
            try:
                self.crowd.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.crowd.kill()
                self.crowd.wait()
        self.assistant.stop()
        self.engine.stop()


def start_crowd(embedded: Embedded) -> subprocess.Popen[bytes]:
    """Start simulated workers that use the worker API.

    They exit when this process does, since their stdin is its pipe.
    """
    options = embedded.options
    flags = {
        "masks": options.crowd_masks, "workers": options.crowd_workers, "error": options.crowd_error,
        "seed": options.crowd_seed, "url": embedded.url, "data": embedded.store.folder.absolute(),
        "label-values": options.crowd_label_values, "void": options.crowd_void,
    }  # fmt: skip
    arguments = [f"--{name}={value}" for name, value in flags.items() if value not in (None, "")]
    arguments += ["--drop-void"] * options.crowd_drop_void
    return subprocess.Popen(
        [sys.executable, "-m", "gtseg.local.cli", "crowd", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={
            **os.environ,
            "GTSEG_LOCAL_PARENT_PIPE": "stdin",
            "GTSEG_OWNER_TOKEN": embedded.store.credentials.owner_token,
        },
    )
