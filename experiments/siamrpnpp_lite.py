"""A light SiamRPN++: depthwise heads on three stages of EfficientNet-Lite0, weighed by learning.

Result      of all 3,200 steps: NOT RUN HERE. Of 250, on clips held out: below.
Published   none: this project's own.
Hardware    2 CPU cores of an AMD EPYC, 17 to 23 pairs/s: 5 minutes for 250 steps.
Command     siamjax train siamrpnpp_lite --backbone efficientnet-lite0-57934424.pth
            --data DATA/train

Held out    success on 6 of the 30 videos, their first 50 frames, after 0, 50, .., 250 steps:
            seed 0: 0.026 0.143 0.409 0.502 0.484 0.515
            seed 1: 0.041 0.215 0.401 0.423 0.469 0.475
            siamjax train siamrpnpp_lite --backbone FILE.pth --data DATA/train --hold-out 0.2
            --validate-every 50 --clip-frames 50 --steps 250 --batch-size 16 --ema 0.97 --seed S

Data, anchors and what is frozen as siamrpn_lite. The stages are blocks 6, 8 and 10, all of stride
16, without a neck.
"""

from siamjax.track.siamrpn import SiamRPN
from siamjax.train import lite

RECIPE = lite.recipe(
    "siamrpnpp_lite",
    SiamRPN(
        backbone="efficientnet-lite0",
        layers=("block6", "block8", "block10"),
        hidden=64,
        weighted=True,
        stride=16,
        scales=(4.0,),
    ),
)
