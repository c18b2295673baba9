"""Where the command starts: Ctrl-C is one line and exit code 130 from here on, also while the rest is still being imported."""

from __future__ import annotations

import os
import signal
from typing import Any

__all__ = ["main"]

EARLY = b"gtseg: Interrupted before anything was done.\n"


def main() -> None:
    """The command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from gtseg.cli import main as run

    run()


def _leave(number: int, frame: Any) -> None:
    """Nothing has begun: no exception has to find its way through half-imported modules."""
    os.write(2, EARLY)
    os._exit(130)


if __name__ == "__main__":
    main()
