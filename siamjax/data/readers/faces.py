"""Faces by person in the layout of the ORL (AT&T) database: `s1/1.pgm` ... `s40/10.pgm`.

Any folder of one folder of pictures for each person is read alike.
"""

from pathlib import Path

import numpy as np

from siamjax.data.examples import Examples, read_fit
from siamjax.data.media import list_pictures


def read(root: str | Path, size: int = 92, channels: int = 1) -> Examples:
    """Read all pictures; the classes are people.

    Args:
        root: folder of the people's folders.
        size: side of the pictures, pixels; ORL's 92 x 112 are stretched to it.
        channels: 1 for grey, 3 for RGB.

    Raises:
        FileNotFoundError: no folder with pictures.
        ValueError: a picture is damaged.
    """
    root = Path(root)
    people = sorted(path for path in root.glob("*") if path.is_dir())
    files = {person.name: list_pictures(person) for person in people}
    files = {name: found for name, found in files.items() if found}
    if not files:
        raise FileNotFoundError(f"{root}: expected a folder of pictures for each person")
    pictures = [read_fit(path, size, channels) for paths in files.values() for path in paths]
    labels = np.repeat(np.arange(len(files)), [len(paths) for paths in files.values()])
    return Examples(np.stack(pictures), labels, tuple(files))
