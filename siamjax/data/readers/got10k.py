"""GOT-10k (Huang, Zhao, Huang): `SPLIT/list.txt`, `SPLIT/SEQ/00000001.jpg`, `groundtruth.txt`.

`absence.label` (1 = absent) becomes NaN boxes, `cover.label` (0 to 8 eighths visible) the cover
of the track, `meta_info.ini` its category and frame size. Boxes are taken as written.
"""

import configparser
import re
from pathlib import Path

import numpy as np

from siamjax.data.media import PictureFolder, list_pictures
from siamjax.data.readers import truth
from siamjax.data.tracks import Track, check_counts


def _meta(path: Path) -> tuple[str | None, tuple[int, int] | None]:
    if not path.is_file():
        return None, None
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not an ini file ({error})") from error
    values = {key: value for section in parser.values() for key, value in section.items()}
    numbers = re.findall(r"\d+", values.get("resolution", ""))
    size = (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else None
    return values.get("object_class"), size


def read_sequence(folder: str | Path) -> Track:
    """Read one sequence; boxes beyond a lone first one (the test split) are NaN.

    Raises:
        ValueError: naming the path: files missing, damaged, or of other lengths than the frames.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    pictures = list_pictures(folder)
    if not pictures:
        raise ValueError(f"{folder}: expected pictures, found none")
    path = folder / "groundtruth.txt"
    boxes = truth.first_only(truth.read_boxes(path), len(pictures))
    check_counts(path, len(pictures), len(boxes))
    labels = {}
    for name in ("absence", "cover", "cut_by_image"):
        label_path = folder / f"{name}.label"
        if label_path.is_file():
            labels[name] = truth.read_labels(label_path)
            check_counts(label_path, len(pictures), len(labels[name]))
    if "absence" in labels:
        boxes[labels["absence"] != 0] = np.nan
    category, size = _meta(folder / "meta_info.ini")
    return Track(folder.name, PictureFolder(pictures), boxes, category, labels.get("cover"), size)


def read(root: str | Path, split: str = "train") -> list[Track]:
    """Read a split, in the order of its `list.txt`.

    Args:
        root: the dataset folder that holds `split`, or the folder of the split itself.
        split: "train", "val" or "test".

    Raises:
        ValueError: naming the path: missing, empty, or a sequence that does not fit.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    folder = root if (root / "list.txt").is_file() else root / split
    listing = folder / "list.txt"
    if not listing.is_file():
        raise ValueError(f"{listing}: no such file")
    names = listing.read_text(encoding="utf-8").split()
    if not names:
        raise ValueError(f"{listing}: names no sequence")
    return [read_sequence(folder / name) for name in names]
