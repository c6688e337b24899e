"""``python -m medsr``."""

import sys

from medsr.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
