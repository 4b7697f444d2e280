"""Lost and found: when a target counts as lost, and how wide a window it is then looked for in.

Source: PySOT's `siamrpnlt_tracker.py`; the search from local to global of Zhu et al. 2018.
"""

import functools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int, UInt8

from siamjax.typing import AnyArray, Array


def is_lost(
    was: Bool[AnyArray, ""],
    score: Float[AnyArray, ""],
    below: float | int,
    above: float | int,
) -> Bool[Array, ""]:
    """Tell whether the target is lost: below one score it is, above another it is not.

    Args:
        was: whether it was the step before, which stands between the two.
        score: of the chosen proposal.
        below: lost where the score is lower.
        above: found where it is higher.
    """
    return jnp.asarray((score < below) | (was & ~(score > above)))


def widen(
    lost: Bool[AnyArray, ""],
    level: Int[AnyArray, ""],
    home: Int[AnyArray, ""],
    wider: int,
    levels: int,
) -> Int[Array, ""]:
    """Say which search window comes next: a wider one with every step while the target is lost.

    Args:
        lost: whether it is.
        level: of the window just searched, its place among all.
        home: of the window that suits the target.
        wider: how many there are for a lost target, the last of all.
        levels: how many there are.
    """
    last = levels - 1
    further = jnp.minimum(jnp.maximum(level, last - wider) + 1, last)
    return jnp.where(lost, further, home)


def cut_at(
    level: Int[AnyArray, ""], sizes: Sequence[int], cut: Callable[[int], UInt8[Array, "s s 3"]]
) -> tuple[UInt8[Array, "_ _ 3"], ...]:
    """Cut the window of one level; those of the other levels are left black.

    Args:
        level: place among `sizes`.
        sizes: sides of the windows, pixels.
        cut: gives the window of a size.
    """
    if len(sizes) == 1:
        return (cut(sizes[0]),)
    black = lambda size: jnp.zeros((size, size, 3), jnp.uint8)
    return tuple(
        lax.cond(level == i, functools.partial(cut, s), functools.partial(black, s))
        for i, s in enumerate(sizes)
    )
