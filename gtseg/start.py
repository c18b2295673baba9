"""Entry point of the command line: Ctrl-C prints one line and exits with 130, also during the imports."""

from __future__ import annotations

import os
import signal
from typing import Any

EARLY = b"gtseg: Interrupted before anything was done.\n"


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from gtseg.cli import main as run

    run()


def _leave(number: int, frame: Any) -> None:
    """Exit at once: an exception would have to pass through partly imported modules."""
    os.write(2, EARLY)
    os._exit(130)


if __name__ == "__main__":
    main()
