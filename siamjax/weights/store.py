"""Weights with their tracker: save, read and load the `.npz` files of `siamjax.weights.npz`."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

import siamjax
from siamjax.metric import zoo as metric_zoo
from siamjax.metric.model import Towers
from siamjax.track import zoo
from siamjax.typing import Variables
from siamjax.weights import npz
from siamjax.weights.names import expected, flatten, mismatch, unflatten

ASSETS = Path(__file__).parents[1] / "assets"
ALIASES = {"default": "anchorfree-lite"}
TORCH_SUFFIXES = (".pth", ".pt", ".pkl", ".tar", ".model")


def title(tracker: Any) -> str:
    """Give a tracker's name for messages: the zoo's, or its family and backbone or towers."""
    if isinstance(tracker, Towers):
        return metric_zoo.title(tracker)
    named = (name for name in zoo.names() if zoo.tracker(name) == tracker)
    family, config = zoo.describe(tracker)
    return next(named, f"{family} ({config.get('backbone', 'own configuration')})")


def bundled() -> list[str]:
    """List the names of the weights that come with the package."""
    return sorted(path.stem for path in ASSETS.glob("*.npz"))


def locate(source: str | Path) -> Path:
    """Find the weights file that `source` means.

    Args:
        source: a path ending in `.npz`, `"default"`, or the name of bundled weights.

    Returns:
        The path of an existing file.

    Raises:
        FileNotFoundError: a path to nothing.
        ValueError: a PyTorch file, or a name that is not bundled; close names are suggested.
    """
    path, text = Path(source), str(source)
    if path.suffix in TORCH_SUFFIXES:
        raise ValueError(
            f"{text} is a PyTorch checkpoint; convert it first:"
            f" siamjax convert {text} OUT.npz --arch NAME (names: siamjax info --list)"
        )
    if path.suffix == ".npz":
        if not path.is_file():
            raise FileNotFoundError(f"no such weights file: {text}")
        return path
    available = bundled()
    if ALIASES.get(text, text) in available:
        return ASSETS / f"{ALIASES.get(text, text)}.npz"
    choices = sorted({*available, *ALIASES})
    if text in zoo.names():
        raise ValueError(
            f"no weights of {text} are bundled; convert published ones with siamjax convert"
            f" (bundled: {', '.join(choices)})"
        )
    close = difflib.get_close_matches(text, sorted({*choices, *zoo.names()}), 2)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise ValueError(
        f"unknown model {text!r}{hint} (bundled: {', '.join(choices)}; or a path ending in .npz)"
    )


def save(
    path: str | Path,
    tracker: Any,
    variables: Variables,
    *,
    source: str,
    licence: str,
    dtype: Literal["float32", "float16"] = "float32",
    **extra: Any,
) -> None:
    """Write variables and their tracker's configuration to one `.npz`, wholly or not at all.

    Args:
        path: of the file, ending in `.npz`.
        tracker: what the variables belong to, a tracker or a model of two towers.
        variables: the tracker's, every array of the shape that the tracker expects.
        source: where the weights come from, for the header.
        licence: of the weights, for the header.
        dtype: "float16" stores kernels in half the bytes, rounded (relative error up to 2^-11);
            vectors and statistics stay float32, and `load` gives float32 again.
        extra: further JSON-able fields of the header, e.g. a model card.

    Raises:
        ValueError: the variables do not fit the tracker, hold NaN or infinity, or cannot be stored.
        OSError: the file cannot be written; a file already there is kept.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"path of weights is {str(path)!r}, expected a name ending in .npz")
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype is {dtype!r}, expected 'float32' or 'float16'")
    arrays = {name: np.asarray(leaf) for name, leaf in flatten(variables).items()}
    if isinstance(tracker, Towers):
        family, config = metric_zoo.describe(tracker)
    else:
        family, config = zoo.describe(tracker)
    _check(arrays, tracker, f"variables do not fit {title(tracker)}")
    for key, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"variables hold NaN or infinite values in {key}")
    if dtype == "float16":
        arrays = npz.halve(arrays)
    header = {
        "format": npz.FORMAT,
        "version": npz.VERSION,
        "siamjax": siamjax.__version__,
        "name": title(tracker),
        "tracker": family,
        "config": config,
        "source": source,
        "licence": licence,
        "dtype": dtype,
        "parameters": npz.count(arrays),
        "collections": sorted(variables),
        "sha256": npz.digest(arrays),
    }
    clash = sorted(set(header) & set(extra))
    if clash:
        raise ValueError(f"extra holds {clash[0]!r}, which the header already has")
    npz.write(path, npz.encode(header | extra, arrays))


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read and verify a weights file, without building its tracker.

    Returns:
        The header, and the variables as float32 device arrays.

    Raises:
        ValueError: naming the file, which is damaged, of a newer format or no weights file.
        OSError: the file cannot be read.
    """
    header, arrays = npz.read(path)
    flat = {name: jnp.asarray(array) for name, array in npz.restore(arrays).items()}
    return header, unflatten(flat, tuple(header.get("collections", ())))


def load(source: str | Path = "default") -> tuple[Any, dict[str, Any]]:
    """Load a tracker and its variables.

    Args:
        source: "default", the name of bundled weights, or the path of a `.npz` file.

    Returns:
        The tracker, or model of two towers, that the file describes, and its variables.

    Raises:
        FileNotFoundError: a path to nothing.
        ValueError: an unknown name, a PyTorch file, or a file that is damaged or fits no tracker.
    """
    path = locate(source)
    header, variables = read(path)
    try:
        family = header["tracker"]
        known = metric_zoo if family in metric_zoo.FAMILIES else zoo
        tracker = known.build(family, header["config"])
    except (KeyError, TypeError, ValueError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} describes no tracker of this siamjax: {reason}") from error
    _check(flatten(variables), tracker, f"{path} does not fit its tracker {title(tracker)}")
    return tracker, variables


def _check(arrays: Mapping[str, Any], tracker: Any, message: str) -> None:
    wanted = {name: leaf.shape for name, leaf in expected(tracker).items()}
    difference = mismatch({name: np.shape(leaf) for name, leaf in arrays.items()}, wanted)
    if difference:
        raise ValueError(f"{message}: {difference}")
