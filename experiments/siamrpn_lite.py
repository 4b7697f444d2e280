"""A light SiamRPN: EfficientNet-Lite0 to stride 16 and a depthwise head of 96 channels.

Result      of all 3,200 steps: NOT RUN HERE. Of 250, on clips held out: below.
Published   none: this project's own.
Hardware    2 CPU cores of an AMD EPYC, 11 to 18 pairs/s: 6 minutes for 250 steps.
Command     siamjax train siamrpn_lite --backbone efficientnet-lite0-57934424.pth --data DATA/train

Held out    success on 6 of the 30 videos, their first 50 frames, after 0, 50, .., 250 steps:
            seed 0: 0.038 0.286 0.451 0.457 0.475 0.481
            seed 1: 0.028 0.369 0.440 0.406 0.474 0.537
            siamjax train siamrpn_lite --backbone FILE.pth --data DATA/train --hold-out 0.2
            --validate-every 50 --clip-frames 50 --steps 250 --batch-size 16 --ema 0.97 --seed S

Data as siamfc_lite (siamjax/train/lite.py). Five anchors of about 64 x 64 px a cell, 9 x 9 cells of
16 px: the whole 8 x 8 cells of the template are its kernel, for a neck would crop the search's 16 x
16 cells to 7 x 7 as well. Blocks 0 to 4 of the backbone stay ImageNet's.
"""

from siamjax.track.siamrpn import SiamRPN
from siamjax.train import lite

RECIPE = lite.recipe(
    "siamrpn_lite",
    SiamRPN(
        backbone="efficientnet-lite0",
        layers=("block10",),
        hidden=96,
        stride=16,
        scales=(4.0,),
    ),
)
