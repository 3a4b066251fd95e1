"""``python -m hemafeat`` is the command ``hemafeat``."""

import sys

from hemafeat.cli import main

if __name__ == "__main__":
    sys.exit(main())
