"""State dicts of published PyTorch checkpoints to variables and back, for every tracker."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from siamjax.track import zoo
from siamjax.typing import Variables
from siamjax.weights import names, siamfc
from siamjax.weights.store import title
from siamjax.weights.torch_file import strip_prefix

# One per family file: the names that fit a tracker, or None.
FAMILIES = (siamfc.family,)


def family_of(tracker: Any) -> names.Family | None:
    """Give the PyTorch names of a tracker's family, None where no published weights exist."""
    return next((found for family in FAMILIES if (found := family(tracker))), None)


def convertible() -> list[str]:
    """List the trackers that published PyTorch checkpoints exist for (`--arch`)."""
    return [name for name in zoo.names() if family_of(zoo.tracker(name))]


def _table(tracker: Any) -> tuple[list[names.Entry], names.Family]:
    family = family_of(tracker)
    if family is None:
        name = title(tracker)
        raise ValueError(
            f"{name} has no PyTorch names; trackers that have: {', '.join(convertible())}"
        )
    return names.entries(names.expected(tracker), family), family


def _looks_like(state_dict: Mapping[str, Any]) -> str | None:
    """Name the tracker whose arrays these are, else the project whose names they bear."""
    for name in convertible():
        table, family = _table(zoo.tracker(name))
        if not names.describe_mismatch(state_dict, table, family):
            return name
    return names.origin(state_dict)


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
    table, family = _table(tracker)
    state_dict = strip_prefix(state_dict)
    difference = names.describe_mismatch(state_dict, table, family)
    if difference:
        name = title(tracker)
        similar = _looks_like(state_dict)
        hint = f"; looks like {similar}" if similar and similar != name else ""
        raise ValueError(f"checkpoint does not fit {name}: {difference}{hint}")
    return names.to_variables(state_dict, table)


def to_torch(variables: Variables, tracker: Any) -> dict[str, np.ndarray]:
    """Convert a tracker's variables to the state dict of its PyTorch original, bit for bit.

    Args:
        variables: the tracker's, linen layout.
        tracker: the architecture they belong to.

    Returns:
        Names and arrays in PyTorch's layout (convolutions OIHW, `num_batches_tracked` int64).

    Raises:
        ValueError: the variables do not fit the tracker, or it has no PyTorch form.
    """
    return names.to_state_dict(variables, _table(tracker)[0])
