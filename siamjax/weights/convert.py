"""State dicts of published PyTorch checkpoints to variables and back, for every tracker."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from siamjax.track import zoo
from siamjax.typing import Variables
from siamjax.weights import dasiamrpn, names, nanotrack, pysot, siamfc, siammask
from siamjax.weights.store import title
from siamjax.weights.torch_file import strip_prefix

# One per family file: the names that fit a tracker, or None; the first that fits counts.
FAMILIES = (siamfc.family, dasiamrpn.family, siammask.family, pysot.family, nanotrack.family)


def family_of(tracker: Any) -> names.Family | None:
    """Give the PyTorch names of a tracker's family, None where no published weights exist."""
    return next((found for family in FAMILIES if (found := family(tracker))), None)


def convertible() -> list[str]:
    """List the trackers that published PyTorch checkpoints exist for (`--arch`)."""
    return [name for name in zoo.names() if family_of(zoo.tracker(name))]


def _family(tracker: Any) -> names.Family:
    family = family_of(tracker)
    if family is None:
        name = title(tracker)
        raise ValueError(
            f"{name} has no PyTorch names; trackers that have: {', '.join(convertible())}"
        )
    return family


def _closest(
    state_dict: Mapping[str, Any], tracker: Any
) -> tuple[list[names.Entry], names.Family, str]:
    """Give the layout nearest to a state dict, with its entries and how the two differ."""
    table, family = names.closest(state_dict, names.expected(tracker), _family(tracker))
    return table, family, names.describe_mismatch(state_dict, table, family)


def _looks_like(state_dict: Mapping[str, Any]) -> str | None:
    """Name the tracker whose arrays these are, else the project whose names they bear."""
    for name in convertible():
        tracker = zoo.tracker(name)
        possible = any(names.may_hold(state_dict, family) for family in _family(tracker).layouts)
        if possible and not _closest(state_dict, tracker)[2]:
            return name
    return names.origin(state_dict)


def _fitting(state_dict: Mapping[str, Any], tracker: Any) -> tuple[list[names.Entry], names.Family]:
    """Give the layout of a state dict with its entries, or say how it differs."""
    table, family, difference = _closest(state_dict, tracker)
    if difference:
        name = title(tracker)
        similar = _looks_like(state_dict)
        hint = f"; looks like {similar}" if similar and similar != name else ""
        raise ValueError(f"checkpoint does not fit {name}: {difference}{hint}")
    return table, family


def layout_of(state_dict: Mapping[str, Any], tracker: Any) -> str:
    """Name the layout that a published PyTorch state dict has, as `to_torch` takes it.

    Some networks are published under two sets of names: PySOT's AlexNet as "pysot" and as
    "pysot-legacy". Their variables are the same; `siamjax convert` keeps the layout's name in the
    file's header (`original["layout"]`).

    Raises:
        ValueError: as `from_torch`.
    """
    return _fitting(strip_prefix(state_dict), tracker)[1].name


def from_torch(state_dict: Mapping[str, Any], tracker: Any) -> dict[str, Any]:
    """Convert a published PyTorch state dict to a tracker's variables.

    Args:
        state_dict: names and arrays in PyTorch's layout (`read_torch`, or a module's own
            `state_dict()`); the prefix `module.` is removed.
        tracker: the architecture to convert to.

    Returns:
        `{"params": ..., "batch_stats": ...}`, float32; `num_batches_tracked` becomes `count`,
        0 where the checkpoint lacks it.

    Raises:
        ValueError: the state dict does not fit the tracker: the first missing, unexpected and
            misshapen names are given, and the architecture it looks like; or a value is not
            finite; or the tracker has no published PyTorch form.
    """
    state_dict = strip_prefix(state_dict)
    return names.to_variables(state_dict, _fitting(state_dict, tracker)[0])


def to_torch(
    variables: Variables, tracker: Any, layout: str | None = None
) -> dict[str, np.ndarray]:
    """Convert a tracker's variables to the state dict of its PyTorch original, bit for bit.

    Args:
        variables: the tracker's, linen layout.
        tracker: the architecture they belong to.
        layout: which set of names, where the network has several (`layout_of`); by default that
            of the published checkpoint.

    Returns:
        Names and arrays in PyTorch's order and layout (convolutions OIHW, `num_batches_tracked`
        int64).

    Raises:
        ValueError: the variables do not fit the tracker, or it has no PyTorch form, or none of
            this name.
    """
    family = _family(tracker)
    layouts = {choice.name: choice for choice in family.layouts}
    if layout is not None and layout not in layouts:
        raise ValueError(f"layout: expected one of {tuple(layouts)}, got {layout!r}")
    chosen = family if layout is None else layouts[layout]
    return names.to_state_dict(variables, names.entries(names.expected(tracker), chosen))
