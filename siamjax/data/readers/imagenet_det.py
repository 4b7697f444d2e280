"""ImageNet DET in its ILSVRC tree: each annotated object of a photo is a track of one frame.

`Annotations/DET/SPLIT/.../NAME.xml` and `Data/DET/SPLIT/.../NAME.JPEG`; categories are WordNet
numbers as written.
"""

from pathlib import Path

import numpy as np

from siamjax.data.media import Picture
from siamjax.data.readers import voc
from siamjax.data.tracks import Track


def read(root: str | Path, split: str = "train", min_side: float = 10.0) -> list[Track]:
    """Read all objects of a split; annotations are opened, pictures are not.

    Args:
        root: folder that holds `Annotations` and `Data`.
        split: "train" or "val", or a part as `train/ILSVRC2013_train`.
        min_side: objects with a smaller width or height, in pixels, are left out.

    Raises:
        ValueError: naming the path: missing, damaged, or without an object.
    """
    above = Path(root) / "Annotations" / "DET"
    data = Path(root) / "Data" / "DET"
    tracks = []
    for place, names in voc.walk(above / split):
        pictures = data / place.relative_to(above)
        if not pictures.is_dir():
            raise ValueError(f"{pictures}: no such folder, for the pictures of {place}")
        for file in names:
            stem = file[:-4]
            size, items = voc.read(f"{place}/{file}")
            photo = Picture(pictures / f"{stem}.JPEG")
            for number, item in enumerate(items):
                if min(item.box[2:]) >= min_side:
                    box = np.asarray([item.box], np.float32)
                    name = f"{stem}-{number}"
                    tracks.append(Track(name, photo, box, item.name, frame_size=size))
    if not tracks:
        raise ValueError(f"{above / split}: no object of at least {min_side:g} px")
    return tracks
