"""One typed way to run a network's methods."""

from typing import Any

from flax import linen as nn

from siamjax.typing import Variables


def apply(net: nn.Module, variables: Variables, *inputs: Any, method: str) -> Any:
    """Run one of the network's methods, its statistics fixed.

    Args:
        net: the network.
        variables: its parameters and statistics.
        inputs: pytrees of arrays, what the method takes.
        method: its name.

    Returns:
        What the method returns, a pytree of arrays.
    """
    return net.apply(variables, *inputs, method=method)
