"""`siamjax tune` from a checkout: python scripts/tune.py --data FOLDER --model M [...]."""

import sys

from siamjax.cli import main

if __name__ == "__main__":
    sys.exit(main(["tune", *sys.argv[1:]]))
