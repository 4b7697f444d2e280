"""Running a network on a batch of crops at the best speed, also under plain `vmap`."""

from collections.abc import Callable

import jax
from jax import lax
from jax.custom_batching import custom_vmap

from siamjax.typing import AnyArray, Array, Variables


def map_examples(
    embed: Callable[[Variables, AnyArray], Array], variables: Variables, crops: AnyArray
) -> Array:
    """Apply `embed` to crops [B, ...], choosing how to batch by platform.

    XLA's CPU convolutions slow down by half when the batch is over one, so there the whole
    network runs example by example (better for the caches too); accelerators take the whole
    batch. A `vmap` around this, of any depth, is folded into the batch first, so that
    plain `vmap` over targets costs what one batched call does. No reverse mode: training calls
    the network itself.
    """

    @custom_vmap
    def run(variables, crops):
        if crops.shape[0] == 1:
            return embed(variables, crops)
        return lax.platform_dependent(
            variables,
            crops,
            cpu=lambda v, c: lax.map(lambda one: embed(v, one[None])[0], c),
            default=embed,
        )

    @run.def_vmap
    def fold(axis_size, in_batched, variables, crops):
        variables_batched, crops_batched = in_batched
        if any(jax.tree.leaves(variables_batched)):  # other weights for each: nothing to fold
            axes = (jax.tree.map(lambda b: 0 if b else None, variables_batched), 0)
            return jax.vmap(embed, axes if crops_batched else (axes[0], None))(
                variables, crops
            ), True
        if not crops_batched:
            return run(variables, crops), False
        merged = crops.reshape(-1, *crops.shape[2:])
        out = run(variables, merged)
        return out.reshape(axis_size, -1, *out.shape[1:]), True

    return run(variables, crops)
