"""``python -m fastconv``."""

import sys

from fastconv.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
