"""DTB70 (Li, Yeung): `SEQ/img/00001.jpg` ... and `SEQ/groundtruth_rect.txt`, boxes 1-based."""

from pathlib import Path

from siamjax.data.readers import otb
from siamjax.data.tracks import Track


def read(root: str | Path) -> list[Track]:
    """Read a sequence folder, or every sequence folder inside `root`: the layout is OTB's.

    Raises:
        ValueError: naming the path: missing, without sequences, or a sequence that does not fit.
    """
    return otb.read(root)
