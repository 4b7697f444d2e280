"""PyTorch names of SiamFC: siamfc-pytorch's AlexNetV1, V2 and V3.

`backbone.conv{1..5}.0` is the convolution, `.1` the BatchNorm (V1 and V2 have none after conv5).
The response head has no parameters. Source: siamfc-pytorch `backbones.py`, names alone.
"""

from typing import Any

from siamjax.track.siamfc import SiamFC
from siamjax.weights.names import Family

FAMILY = Family(
    "siamfc-pytorch",
    (
        (r"backbone/conv(\d)/conv", r"backbone.conv\1.0"),
        (r"backbone/conv(\d)/bn", r"backbone.conv\1.1"),
    ),
    own=r"batch_stats/ghm\b",
)


def family(tracker: Any) -> Family | None:
    """Give the names for a SiamFC on an AlexNet, None for any other tracker."""
    fits = isinstance(tracker, SiamFC) and tracker.backbone.startswith("alexnet-")
    return FAMILY if fits else None
