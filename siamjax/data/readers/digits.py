"""Handwritten digits: MNIST's idx files, or the small set inside scikit-learn.

Digits are dark ink on white, so that they look as drawings on paper do.
"""

import gzip
from pathlib import Path
from typing import Literal

import numpy as np

from siamjax.data.examples import Examples, fit

NAMES = tuple(str(digit) for digit in range(10))


def read(
    root: str | Path | None = None, size: int = 28, split: Literal["train", "t10k"] = "t10k"
) -> Examples:
    """Read digits; the classes are 0 to 9.

    Args:
        root: folder of MNIST's `SPLIT-images-idx3-ubyte` and `SPLIT-labels-idx1-ubyte`, plain or
            `.gz`; None for the 1,797 digits of 8 x 8 pixels that come with scikit-learn.
        size: side of the pictures, pixels.
        split: which of MNIST's sets.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is not idx, or scikit-learn is asked for but not installed.
    """
    if root is None:
        pictures, labels = _from_sklearn()
    else:
        pictures = _idx(Path(root), f"{split}-images-idx3-ubyte", 3)
        labels = _idx(Path(root), f"{split}-labels-idx1-ubyte", 1)
    fitted = np.stack([fit(255 - picture, size, 1) for picture in pictures])
    return Examples(fitted, labels.astype(np.int64), NAMES)


def _from_sklearn() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ValueError(
            "root: expected MNIST's folder, or scikit-learn's digits: pip install scikit-learn"
        ) from error
    pixels, labels = load_digits(return_X_y=True)
    return np.round(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8), labels


def _idx(root: Path, name: str, axes: int) -> np.ndarray:
    """Read an idx file of bytes with `axes` axes."""
    path = root / name
    if path.is_file():
        data = path.read_bytes()
    elif path.with_name(f"{name}.gz").is_file():
        path = path.with_name(f"{name}.gz")
        with gzip.open(path) as stream:
            try:
                data = stream.read()
            except (EOFError, gzip.BadGzipFile) as error:
                raise ValueError(f"{path}: is damaged ({error})") from error
    else:
        raise FileNotFoundError(f"{root}: expected {name} or {name}.gz")
    if data[:4] != bytes([0, 0, 8, axes]):
        raise ValueError(f"{path}: expected an idx file of bytes with {axes} axes")
    shape = [int.from_bytes(data[4 + 4 * n : 8 + 4 * n], "big") for n in range(axes)]
    body = np.frombuffer(data, np.uint8, offset=4 + 4 * axes)
    if body.size != np.prod(shape):
        raise ValueError(f"{path}: expected {np.prod(shape)} bytes for {shape}, got {body.size}")
    return body.reshape(shape)
