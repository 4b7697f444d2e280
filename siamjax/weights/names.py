"""Names and layouts of PyTorch state dicts, mapped to those of linen variables and back.

One mechanism for every family: a `Family` says how a linen module's path becomes the name of the
PyTorch module (a short list of regular expressions); the leaf's own name and its layout follow
from `LEAVES`. The arrays expected come from the shapes of the tracker's own variables, so a family
file holds names only. Layouts: convolution kernels OIHW to HWIO (grouped ones alike, the second
axis being inputs per group), dense kernels transposed, `num_batches_tracked` int64 to int32.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from siamjax.typing import Variables

LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
    "count": "num_batches_tracked",
}

# Within a module, PyTorch lists parameters before buffers.
_ORDER = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

_INWARD = {"conv": (2, 3, 1, 0), "dense": (1, 0)}  # PyTorch's axes, in linen's order
_OUTWARD = {"conv": (3, 2, 0, 1), "dense": (1, 0)}


class Family(NamedTuple):
    """The PyTorch names of one family of networks.

    `rules`: pairs (pattern, replacement) on a linen module's path (`backbone/conv1/bn`); the first
    pattern that matches all of it gives the PyTorch module. `ignored`: a pattern of PyTorch names
    that such checkpoints hold and the network does not use. `own`: a pattern of paths in the
    variables that have no counterpart in PyTorch and start as zeros. `order`: parts of PyTorch
    names in the order of the module's definition, where that is not the alphabet's; others follow,
    numbers by their value. `also`: the other layouts in which the same network's checkpoints come.
    """

    name: str
    rules: tuple[tuple[str, str], ...]
    ignored: str = r"(?!)"
    own: str = r"(?!)"
    order: tuple[str, ...] = ()
    also: tuple["Family", ...] = ()

    @property
    def layouts(self) -> tuple["Family", ...]:
        """This layout, the usual one, and the others."""
        return (self, *self.also)


class Entry(NamedTuple):
    """One array: its PyTorch name and shape, its path in the variables, how to convert it.

    `kind` is "conv", "dense", "count", "same", or "own" for an array without PyTorch name.
    """

    key: str
    path: str
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype


# Names that betray where a foreign checkpoint comes from; the first that matches wins.
_SIGNATURES = (
    (r"features\.features\.|mask_model\.|refine_model\.", "a SiamMask checkpoint"),
    (r"featureExtract\.", "a DaSiamRPN checkpoint"),
    (r"ban_head\.", "a NanoTrack or SiamBAN checkpoint"),
    (r"rpn_head\.|mask_head\.|refine_head\.", "a PySOT checkpoint"),
    (r"_blocks\.\d+\._", "an EfficientNet checkpoint"),
    (r"layer[1-4]\.\d+\.conv\d\.", "a ResNet checkpoint"),
    (r"backbone\.conv1\.0\.", "a siamfc-pytorch checkpoint"),
)


def flatten(variables: Variables) -> dict[str, Any]:
    """Give the leaves of a nested dict by path (`params/backbone/conv1/conv/kernel`).

    Raises:
        ValueError: a name contains "/" or is no string.
    """
    flat: dict[str, Any] = {}
    for name, value in variables.items():
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f"variables hold the name {name!r}, expected text without '/'")
        if isinstance(value, Mapping):
            flat |= {f"{name}/{below}": leaf for below, leaf in flatten(value).items()}
        else:
            flat[name] = value
    return flat


def unflatten(flat: Mapping[str, Any], collections: tuple[str, ...] = ()) -> dict[str, Any]:
    """Build the nested dict of `flatten`; `collections` are there even when empty."""
    tree: dict[str, Any] = {name: {} for name in collections}
    for path, value in flat.items():
        *above, leaf = path.split("/")
        node = tree
        for name in above:
            node = node.setdefault(name, {})
        node[leaf] = value
    return tree


@functools.lru_cache(maxsize=64)
def expected(tracker: Any) -> Mapping[str, jax.ShapeDtypeStruct]:
    """Give the shapes and dtypes of a tracker's variables by path, computing nothing."""
    return flatten(jax.eval_shape(tracker.init_variables, jax.random.key(0)))


def entries(shapes: Mapping[str, jax.ShapeDtypeStruct], family: Family) -> list[Entry]:
    """List every array of a network with its PyTorch name, in PyTorch's order.

    Raises:
        ValueError: the family has no rule for a module, or two arrays get one name.
    """
    result: dict[str, Entry] = {}
    for path, leaf in shapes.items():
        if re.match(family.own, path):
            result[path] = Entry(path, path, "own", tuple(leaf.shape), np.dtype(leaf.dtype))
            continue
        _, *module, last = path.split("/")
        key = f"{_module('/'.join(module), family)}.{LEAVES.get(last, last)}"
        kind, shape = "same", tuple(leaf.shape)
        if last == "kernel" and len(shape) == 4:
            kind, shape = "conv", tuple(shape[axis] for axis in (3, 2, 0, 1))
        elif last == "kernel" and len(shape) == 2:
            kind, shape = "dense", shape[::-1]
        elif last == "count":
            kind = "count"
        if key in result:
            raise ValueError(f"{family.name}: {path} and {result[key].path} are both {key!r}")
        result[key] = Entry(key, path, kind, shape, np.dtype(leaf.dtype))
    ranks = {part: rank for rank, part in enumerate((*_ORDER, *family.order))}
    return sorted(result.values(), key=lambda entry: _position(entry.key, ranks))


def may_hold(state_dict: Mapping[str, Any], family: Family) -> bool:
    """Tell whether the rules can give every name of a state dict, knowing no shapes."""
    given = (re.escape(replacement) for _, replacement in family.rules)
    given = (re.sub(r"\\\\(?:\d|g<\d+>)", r"\\w+", module) for module in given)
    known = re.compile(rf"(?:{'|'.join(given)})\.\w+|(?:{family.ignored}).*")
    return all(known.fullmatch(key) for key in state_dict)


def closest(
    state_dict: Mapping[str, Any], shapes: Mapping[str, jax.ShapeDtypeStruct], family: Family
) -> tuple[list[Entry], Family]:
    """Give the entries of the layout that shares most names with a state dict, and that layout.

    Raises:
        ValueError: as `entries`.
    """
    tables = [(entries(shapes, layout), layout) for layout in family.layouts]
    return max(tables, key=lambda pair: sum(entry.key in state_dict for entry in pair[0]))


def _position(key: str, ranks: Mapping[str, int]) -> list[tuple[Any, ...]]:
    """Give what sorts names as PyTorch lists them: part by part, by rank, then naturally."""
    return [(ranks.get(part, len(ranks)), _natural(part)) for part in key.split(".")]


@functools.cache
def _natural(part: str) -> tuple[str | int, ...]:
    """Split a part of a name into text and numbers in turn, so that numbers sort by value."""
    pieces = re.split(r"(\d+)", part)
    return tuple(int(piece) if piece.isdigit() else piece for piece in pieces)


def _module(path: str, family: Family) -> str:
    for pattern, replacement in family.rules:
        match = re.fullmatch(pattern, path)
        if match:
            return match.expand(replacement)
    raise ValueError(f"{family.name} has no PyTorch name for the module {path!r}")


def mismatch(
    got: Mapping[str, tuple[int, ...]],
    wanted: Mapping[str, tuple[int, ...]],
    optional: frozenset[str] = frozenset(),
    ignored: str = r"(?!)",
) -> str:
    """Describe in one line how two sets of named shapes differ; empty when they fit."""
    missing = [key for key in wanted if key not in got and key not in optional]
    extra = [key for key in got if key not in wanted and not re.match(ignored, key)]
    wrong = [
        f"{key} (got {tuple(got[key])}, expected {tuple(shape)})"
        for key, shape in wanted.items()
        if key in got and tuple(got[key]) != tuple(shape)
    ]
    parts = []
    for label, items in (("missing", missing), ("unexpected", extra), ("of wrong shape", wrong)):
        if items:
            more = ", ..." if len(items) > 3 else ""
            parts.append(f"{len(items)} {label}: {', '.join(items[:3])}{more}")
    return "; ".join(parts)


def optional_keys(table: list[Entry]) -> frozenset[str]:
    """Names that may be absent: `num_batches_tracked`, not written by old PyTorch, and own ones."""
    return frozenset(entry.key for entry in table if entry.kind in ("count", "own"))


def describe_mismatch(state_dict: Mapping[str, Any], table: list[Entry], family: Family) -> str:
    """Describe how a state dict differs from what `table` expects; empty when it fits."""
    got = {key: tuple(np.shape(value)) for key, value in state_dict.items()}
    wanted = {entry.key: entry.shape for entry in table}
    return mismatch(got, wanted, optional_keys(table), family.ignored)


def origin(state_dict: Mapping[str, Any]) -> str | None:
    """Name the project whose checkpoints use such names, or None."""
    for pattern, name in _SIGNATURES:
        if any(re.search(pattern, key) for key in state_dict):
            return name
    return None


def to_variables(state_dict: Mapping[str, Any], table: list[Entry]) -> dict[str, Any]:
    """Convert a state dict that fits `table` to variables.

    Raises:
        ValueError: an array holds NaN or infinity, or text or numbers of the wrong kind.
    """
    flat = {}
    for entry in table:
        if entry.key not in state_dict or entry.kind == "own":
            flat[entry.path] = jnp.zeros(entry.shape, entry.dtype)
            continue
        array = np.asarray(state_dict[entry.key])
        whole = np.issubdtype(array.dtype, np.integer)
        if (entry.kind == "count") != whole or array.dtype.kind in "bcSUO":
            raise ValueError(f"{entry.key} has dtype {array.dtype}, expected {entry.dtype}")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            array = array.astype(array.dtype if whole else np.float32, copy=False)
        if not np.isfinite(array).all():
            raise ValueError(f"{entry.key} holds NaN or infinite values")
        if whole and int(array) not in range(2**31):
            raise ValueError(f"{entry.key} is {int(array)}, expected 0 to {2**31 - 1}")
        axes = _INWARD.get(entry.kind)
        array = array if axes is None else array.transpose(axes)
        flat[entry.path] = jnp.asarray(array.astype(entry.dtype))
    return unflatten(flat, ("params", "batch_stats"))


def to_state_dict(variables: Variables, table: list[Entry]) -> dict[str, np.ndarray]:
    """Convert variables to a state dict, the inverse of `to_variables`.

    Raises:
        ValueError: the variables are not those of `table`; the first differences are named.
    """
    flat = flatten(variables)
    shapes = {path: tuple(np.shape(leaf)) for path, leaf in flat.items()}
    wanted = {
        entry.path: tuple(entry.shape[axis] for axis in _INWARD[entry.kind])
        if entry.kind in _INWARD
        else entry.shape
        for entry in table
    }
    difference = mismatch(shapes, wanted)
    if difference:
        raise ValueError(f"variables do not fit: {difference}")
    state_dict = {}
    for entry in table:
        if entry.kind == "own":
            continue
        array = np.asarray(flat[entry.path])
        axes = _OUTWARD.get(entry.kind)
        array = array if axes is None else array.transpose(axes)
        dtype = np.int64 if entry.kind == "count" else array.dtype
        state_dict[entry.key] = np.array(array, dtype, order="C")
    return state_dict
