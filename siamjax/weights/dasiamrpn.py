"""PyTorch names of DaSiamRPN: SiamRPN's up-channel head on an AlexNet, in three sizes.

`featureExtract` is the backbone, one sequence of layers; `conv_cls1`, `conv_r1` raise the
template's channels, `conv_cls2`, `conv_r2` serve the search window. Source: DaSiamRPN, names alone.
"""

from typing import Any

from siamjax.track.dasiamrpn import DaSiamRPN
from siamjax.weights import names
from siamjax.weights.pysot import sequence

FAMILY = names.Family(
    "dasiamrpn",
    (
        *sequence("featureExtract"),
        (r"rpn_head/level_0/template_loc", r"conv_r1"),
        (r"rpn_head/level_0/search_loc", r"conv_r2"),
        (r"rpn_head/level_0/template_cls", r"conv_cls1"),
        (r"rpn_head/level_0/search_cls", r"conv_cls2"),
        (r"rpn_head/level_0/loc_adjust", r"regress_adjust"),
    ),
    order=("featureExtract", "conv_r1", "conv_r2", "conv_cls1", "conv_cls2", "regress_adjust"),
)


def family(tracker: Any) -> names.Family | None:
    """Give the names for a DaSiamRPN on its own network, None for any other tracker."""
    if not isinstance(tracker, DaSiamRPN):
        return None
    fits = (tracker.backbone, tracker.head, tracker.features) == ("alexnet", "up", ())
    return FAMILY if fits else None
