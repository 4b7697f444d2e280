"""`siamjax report` for a checkout."""

import sys

from siamjax.cli import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
