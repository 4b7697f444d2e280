"""VOT-LT, long-term: VOT's layout with boxes, NaN where the target is out of sight."""

from pathlib import Path

from siamjax.data.readers import vot
from siamjax.data.tracks import Track


def read(root: str | Path) -> list[Track]:
    """Read the sequences of `root` in the order of its `list.txt`, by name without one.

    Raises:
        ValueError: naming the path: missing, without sequences, a sequence that does not fit or
            that holds polygons or masks.
    """
    tracks = vot.read(root)
    for track in tracks:
        if track.regions is not None or track.masks is not None:
            raise ValueError(f"{root}: {track.name}: expected boxes, got polygons or masks")
    return tracks
