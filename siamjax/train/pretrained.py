"""Start a network from pretrained weights of its backbone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from siamjax import weights
from siamjax.typing import Variables
from siamjax.weights import efficientnet


def put(variables: Variables, backbone: Mapping[str, Any]) -> Variables:
    """Replace the `params` and `batch_stats` of the part that is called `backbone`."""
    return {
        name: {**variables[name], "backbone": backbone[name]} for name in ("params", "batch_stats")
    }


def efficientnet_lite0(variables: Variables, path: Path | None) -> Variables:
    """Put ImageNet weights into an EfficientNet-Lite0; a recipe's `initial`.

    Args:
        variables: of a network whose `backbone` it is, cut after any block.
        path: a `.pth` in the names of `siamjax.weights.efficientnet`; None leaves the backbone as
            it was drawn.

    Raises:
        ValueError: the file does not fit.
    """
    if path is None:
        return variables
    blocks = sum(name.startswith("block") for name in variables["params"]["backbone"])
    return put(variables, efficientnet.backbone(weights.read_torch(path), blocks))
