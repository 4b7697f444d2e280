"""Where arrays lie in memory: what decides XLA's fusions on CPUs."""

from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Shaped

from siamjax.typing import Array


def stored(a: Shaped[Array, "*n"]) -> Shaped[Array, "*n"]:
    """Have an array written to memory, its last axis contiguous.

    XLA fuses whatever reads an array into the loop that makes it, and on CPUs makes it anew for
    each reader, however dear; `lax.optimization_barrier` is gone by then. No fusion crosses a
    constraint on the layout. Values, batching and derivatives are those of `a`.
    """
    return with_layout_constraint(a, Layout(tuple(range(a.ndim))))
