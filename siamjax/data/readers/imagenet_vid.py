"""ImageNet VID in its ILSVRC2015 tree: a track for each `trackid` of a snippet.

`Annotations/VID/SPLIT/.../SNIPPET/000000.xml` and `Data/VID/SPLIT/.../SNIPPET/000000.JPEG`. Where a
target is `occluded` or its box was interpolated (`generated`) becomes tags; categories are WordNet
numbers as written.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from siamjax.data.media import PictureFolder
from siamjax.data.readers import voc
from siamjax.data.tracks import Track

TAGS = ("occluded", "generated")


def read_snippet(annotations: Path, pictures: Path, names: Sequence[str], name: str) -> list[Track]:
    """Read one snippet.

    Args:
        annotations: folder of its XML files.
        pictures: folder of its frames.
        names: of the XML files, in order.
        name: of the snippet.

    Returns:
        A track for each `trackid`, in the order in which they appear.

    Raises:
        ValueError: naming the file: no frames, or a damaged annotation.
    """
    if not pictures.is_dir():
        raise ValueError(f"{pictures}: no such folder, for the frames of {annotations}")
    media = PictureFolder(tuple(pictures / f"{file[:-4]}.JPEG" for file in names))
    found = [voc.read(f"{annotations}/{file}") for file in names]
    boxes: dict[str, np.ndarray] = {}
    tags: dict[str, dict[str, np.ndarray]] = {}
    categories: dict[str, str] = {}
    for i, annotation in enumerate(found):
        for item in annotation.items:
            if item.track not in boxes:
                boxes[item.track] = np.full((len(names), 4), np.nan, np.float32)
                tags[item.track] = {tag: np.zeros(len(names), np.bool_) for tag in TAGS}
                categories[item.track] = item.name
            boxes[item.track][i] = item.box
            for tag in item.flags.intersection(TAGS):
                tags[item.track][tag][i] = True
    size = found[0].size
    return [
        Track(f"{name}.{key}", media, rows, categories[key], frame_size=size, tags=tags[key])
        for key, rows in boxes.items()
    ]


def read(root: str | Path, split: str = "train") -> list[Track]:
    """Read all snippets of a split; annotations are opened, pictures are not.

    Args:
        root: folder that holds `Annotations` and `Data`.
        split: "train" or "val", or a part as `train/ILSVRC2015_VID_train_0000`.

    Raises:
        ValueError: naming the path: missing, damaged, or without a target.
    """
    above = Path(root) / "Annotations" / "VID"
    data = Path(root) / "Data" / "VID"
    tracks = []
    for place, names in voc.walk(above / split):
        inside = place.relative_to(above)
        tracks += read_snippet(place, data / inside, names, place.name)
    if not tracks:
        raise ValueError(f"{above / split}: no object in any annotation")
    return tracks
