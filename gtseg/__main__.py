"""python -m gtseg"""

from gtseg.start import main

main()
