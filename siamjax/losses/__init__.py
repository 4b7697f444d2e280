"""Losses, one function each.

Over devices: with `axis_name` the sums *and* the counts they are divided by run over the axis, so
every device returns the loss of the whole batch, and its gradient is scaled so that the mean over
the devices (`jax.lax.pmean`) is the gradient of the whole batch. No collective is differentiated,
so `pmap` and `shard_map` (with or without its check of varying values) agree.
"""

from siamjax.losses.anchor import selected_cross_entropy, softmax_focal, weighted_l1
from siamjax.losses.axis import mean_where
from siamjax.losses.overlap import giou, iou
from siamjax.losses.response import balanced, focal, ghm, ghm_init, logistic_labels, ohnm

__all__ = [
    "balanced",
    "focal",
    "ghm",
    "ghm_init",
    "giou",
    "iou",
    "logistic_labels",
    "mean_where",
    "ohnm",
    "selected_cross_entropy",
    "softmax_focal",
    "weighted_l1",
]
