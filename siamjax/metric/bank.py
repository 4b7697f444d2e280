"""Pictures and texts, as a user names them, to embeddings with names; and such banks as files.

Not pure: reads files. A source is a picture file, a folder of pictures, a `.txt` file of one text a
line, or a text itself; which tower of a model takes it follows from what it is.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Shaped

from siamjax import weights
from siamjax.data.examples import read_fit
from siamjax.data.media import PICTURE_SUFFIXES, list_pictures
from siamjax.metric import text
from siamjax.metric.model import Towers
from siamjax.metric.towers import ByteTower, ConvTower, ImageTower, NgramTower, Tower
from siamjax.typing import Variables
from siamjax.weights import npz

BATCH = 64
_PICTURES = (ConvTower, ImageTower)
_TEXTS = (ByteTower, NgramTower)


class Bank(NamedTuple):
    """Embeddings by name.

    Attributes:
        names: paths of pictures, or texts.
        embeddings: one row for each.
        weights: a digest of the weights they were made with.
    """

    names: tuple[str, ...]
    embeddings: Float[np.ndarray, "N D"]
    weights: str


def load_model(source: str | Path) -> tuple[Towers, dict[str, Any]]:
    """Load a Siamese or pseudo-Siamese model and its weights.

    Raises:
        FileNotFoundError: a path to nothing.
        ValueError: an unknown name, a damaged file, or weights of a tracker.
    """
    model, variables = weights.load(source)
    if not isinstance(model, Towers):
        raise ValueError(f"model: {source} holds {weights.title(model)}, expected towers")
    return model, variables


def side_of(model: Towers, source: str, otherwise: str = "a") -> str:
    """Tell which side of a model takes a source; `otherwise` where both do.

    Raises:
        FileNotFoundError: a picture is wanted, and there is no such file.
        ValueError: no tower takes the source.
    """
    path = Path(source)
    if path.is_dir() or path.suffix.lower() in PICTURE_SUFFIXES:
        wanted, kind = _PICTURES, "pictures"
    else:
        wanted, kind = _TEXTS, "texts"
    sides = [side for side in ("a", "b") if isinstance(model.towers[model.name_of(side)], wanted)]
    if not sides:
        if kind == "texts" and not path.is_file():
            raise FileNotFoundError(f"no such picture: {source} (the model takes no texts)")
        raise ValueError(f"{source}: the model takes no {kind}")
    return otherwise if otherwise in sides else sides[0]


def names_of(source: str) -> list[str]:
    """List what a source stands for: itself, a folder's pictures, or a file's lines.

    Raises:
        OSError: a file or folder cannot be read.
        ValueError: a folder without pictures, or an empty file.
    """
    path = Path(source)
    if path.is_dir():
        found = [str(picture) for picture in list_pictures(path)]
    elif path.suffix.lower() == ".txt":
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [line.strip() for line in lines if line.strip()]
    else:
        found = [source]
    if not found:
        raise ValueError(f"{source}: expected pictures or lines of text, found none")
    return found


def load_inputs(tower: Tower, names: Sequence[str]) -> Shaped[np.ndarray, "B ..."]:
    """Read pictures, or encode texts, as a tower takes them.

    Raises:
        ValueError: a picture is damaged, or the tower takes neither.
    """
    if isinstance(tower, ConvTower):
        return np.stack([read_fit(Path(name), tower.size, tower.channels) for name in names])
    if isinstance(tower, ImageTower):
        return np.stack([read_fit(Path(name), tower.size, 3) for name in names])
    if isinstance(tower, ByteTower | NgramTower):
        return text.encode(names, tower.length)
    raise ValueError(f"tower: expected one of pictures or texts, got {type(tower).__name__}")


def embed(
    model: Towers,
    variables: Variables,
    sources: Sequence[str],
    side: str = "a",
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Bank:
    """Embed sources by one side of a model.

    Args:
        model: with a tower of pictures or of texts on that side.
        variables: its weights.
        sources: pictures, folders, texts or files of texts.
        side: "a" or "b".
        on_progress: called with the numbers done and to do.

    Raises:
        OSError: a file cannot be read.
        ValueError: a picture is damaged, or there is nothing to embed.
    """
    tower = model.towers[model.name_of(side)]
    names = [name for source in sources for name in names_of(source)]
    if not names:
        raise ValueError("sources: expected at least one picture or text")
    rows = []
    size = min(BATCH, 1 << (len(names) - 1).bit_length())  # few shapes, so few programs
    for first in range(0, len(names), size):
        inputs = load_inputs(tower, names[first : first + size])
        short = size - len(inputs)
        padded = np.concatenate([inputs, np.repeat(inputs[:1], short, axis=0)])
        rows.append(np.asarray(model.embed(variables, padded, side=side))[: len(inputs)])
        on_progress(first + len(inputs), len(names))
    return Bank(tuple(names), np.concatenate(rows), digest(variables))


def digest(variables: Variables) -> str:
    """Hash weights, so that a bank knows those it was made with."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(dict(variables)):
        total.update(jax.tree_util.keystr(path).encode())
        total.update(np.asarray(leaf).tobytes())
    return total.hexdigest()


def save(path: str | Path, bank: Bank) -> None:
    """Write a bank to one `.npz`: `names`, `embeddings`, `weights`.

    Raises:
        ValueError: the path does not end in `.npz`.
        OSError: the file cannot be written.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"path of a bank is {str(path)!r}, expected a name ending in .npz")
    stream = io.BytesIO()
    np.savez(
        stream,
        names=np.asarray(bank.names),
        embeddings=bank.embeddings,
        weights=np.asarray(bank.weights),
    )
    npz.write(path, stream.getvalue())


def load(path: str | Path) -> Bank:
    """Read what `save` wrote.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no bank.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names, embeddings = archive["names"], archive["embeddings"]
            return Bank(tuple(map(str, names)), embeddings, str(archive["weights"]))
    except (KeyError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no bank of embeddings (siamjax embed): {error}") from error
