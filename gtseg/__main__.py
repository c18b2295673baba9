"""python -m gtseg"""

from gtseg.cli import main

main()
