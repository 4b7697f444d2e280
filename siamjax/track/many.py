"""Many targets in one call, compiled once for each number of targets and frame size."""

import functools
from typing import Any

import jax
from jaxtyping import Float, UInt8

from siamjax.track.state import Out
from siamjax.track.zoo import Tracker
from siamjax.typing import AnyArray, Variables


@functools.partial(jax.jit, static_argnums=0)
def init_many(
    tracker: Tracker,
    variables: Variables,
    frame: UInt8[AnyArray, "H W 3"],
    boxes: Float[AnyArray, "n 4"],
) -> Any:
    """Start on `n` targets of one frame.

    Args:
        tracker: any of the trackers.
        variables: its weights.
        frame: RGB.
        boxes: (x, y, width, height) each, frame pixels.

    Returns:
        The tracker's state with a leading axis of `n`.
    """
    return jax.vmap(tracker.init, (None, None, 0))(variables, frame, boxes)


@functools.partial(jax.jit, static_argnums=0)
def step_many(
    tracker: Tracker, variables: Variables, states: Any, frame: UInt8[AnyArray, "H W 3"]
) -> tuple[Any, Out]:
    """Find `n` targets in the next frame: one batch on accelerators, one by one on CPUs.

    Args:
        tracker: any of the trackers.
        variables: its weights.
        states: from `init_many` or the step before.
        frame: RGB.

    Returns:
        The next states, and `Out` with a leading axis of `n`.
    """
    return jax.vmap(tracker.step, (None, 0, None))(variables, states, frame)
