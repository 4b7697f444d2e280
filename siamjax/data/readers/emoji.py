"""Pictograms with their names and tags: `pairs.json` beside `images/`.

`pairs.json` is a list of records with `image` (a file in `images/`), `name`, and perhaps
`annotation` and `tags`, as the emoji data sets of iamcal/emoji-data and OpenMoji give them.
"""

import json
from pathlib import Path

import numpy as np

from siamjax.data.examples import Captioned, read_fit


def read(root: str | Path, size: int = 64, channels: int = 3) -> Captioned:
    """Read all pictograms, on white, with their texts.

    The titles are the annotation and the name, where they differ; the words are the tags.

    Args:
        root: folder with `pairs.json`.
        size: side of the pictures, pixels.
        channels: 1 for grey, 3 for RGB.

    Raises:
        OSError: the list or a picture's file cannot be read.
        ValueError: the list is not as described, or a picture is damaged.
    """
    root = Path(root)
    path = root / "pairs.json"
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        files = [str(record["image"]) for record in records]
        titles = [
            tuple(dict.fromkeys([str(record.get("annotation") or record["name"]), record["name"]]))
            for record in records
        ]
        words = [tuple(dict.fromkeys(record.get("tags", ()))) for record in records]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected a list of records with image and name ({error})") from (
            error
        )
    if not files:
        raise ValueError(f"{path}: the list is empty")
    pictures = np.stack([read_fit(root / "images" / file, size, channels) for file in files])
    return Captioned(pictures, tuple(titles), tuple(words), tuple(files))
