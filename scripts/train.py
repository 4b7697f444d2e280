"""`siamjax train` from a checkout: python scripts/train.py RECIPE [--FIELD VALUE ...]."""

import sys

from siamjax.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
