"""`python -m siamjax` is the command line."""

import sys

from siamjax.cli import main

if __name__ == "__main__":
    sys.exit(main())
