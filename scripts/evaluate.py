"""`siamjax evaluate` for a checkout."""

import sys

from siamjax.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
