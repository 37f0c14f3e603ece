"""``python -m rjs`` is the command ``rjs``."""

import sys

from rjs.cli import main

if __name__ == "__main__":
    sys.exit(main())
