"""Losses, one function each.

Over devices: with `axis_name` the sums *and* the counts they are divided by run over the axis, so
every device returns the loss of the whole batch, and its gradient is scaled so that the mean over
the devices (`jax.lax.pmean`) is the gradient of the whole batch. No collective is differentiated,
so `pmap` and `shard_map` (with or without its check of varying values) agree; but for losses that
compare a batch with itself, which gather its embeddings: `all_gather` has the same gradient in all.
"""

from siamjax.losses.anchor import selected_cross_entropy, softmax_focal, weighted_l1
from siamjax.losses.axis import mean_where
from siamjax.losses.infonce import info_nce, nt_xent, siglip
from siamjax.losses.margin import arcface
from siamjax.losses.mask import mask_labels, mask_overlap, soft_margin
from siamjax.losses.overlap import giou, iou
from siamjax.losses.pairs import contrastive, hadsell, logistic
from siamjax.losses.response import balanced, focal, ghm, ghm_init, logistic_labels, ohnm
from siamjax.losses.triplet import mined_triplet, triplet

__all__ = [
    "arcface",
    "balanced",
    "contrastive",
    "focal",
    "ghm",
    "ghm_init",
    "giou",
    "hadsell",
    "info_nce",
    "iou",
    "logistic",
    "logistic_labels",
    "mask_labels",
    "mask_overlap",
    "mean_where",
    "mined_triplet",
    "nt_xent",
    "ohnm",
    "selected_cross_entropy",
    "siglip",
    "soft_margin",
    "softmax_focal",
    "triplet",
    "weighted_l1",
]
