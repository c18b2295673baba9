"""Entry point of `python -m gtseg.local.cli`: the commands of `gtseg local` without the client."""

import sys
from pathlib import Path

from gtseg.local.cli import app

if __name__ == "__main__":
    app(prog_name=f"{Path(sys.executable).name} -m gtseg.local.cli")
