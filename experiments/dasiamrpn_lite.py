"""A light DaSiamRPN: siamrpn_lite's network, half of whose negative pairs show a look-alike.

Result      of all 3,200 steps: NOT RUN HERE. Of 250, on clips held out: below.
Published   none: this project's own.
Hardware    2 CPU cores of an AMD EPYC: 6 minutes for 250 steps.
Command     siamjax train dasiamrpn_lite --backbone efficientnet-lite0-57934424.pth
            --data DATA/train

Held out    success on 6 of the 30 videos, their first 50 frames, after 0, 50, .., 250 steps:
            seed 0: 0.037 0.237 0.444 0.490 0.469 0.496
            seed 1: 0.032 0.299 0.461 0.445 0.453 0.493
            siamjax train dasiamrpn_lite --backbone FILE.pth --data DATA/train --hold-out 0.2
            --validate-every 50 --clip-frames 50 --steps 250 --batch-size 16 --ema 0.97 --seed S

Data, anchors and what is frozen as siamrpn_lite; of the 20 % of pairs that show two objects, half
show two of one category (COCO's), as the paper has it. The head is depthwise: the published one,
up-channel, sums 6 x 6 x 48 products without any normalisation, and with it (--tracker.head up
--tracker.hidden 48) the command above ended at a loss of 90, success fell from 0.395 to 0.043.
"""

import dataclasses

from siamjax.track.dasiamrpn import DaSiamRPN
from siamjax.train import lite

RECIPE = lite.recipe(
    "dasiamrpn_lite",
    DaSiamRPN(
        backbone="efficientnet-lite0",
        layers=("block10",),
        head="depthwise",
        hidden=96,
        instance=255,
        stride=16,
        scales=(4.0,),
    ),
    pairs=dataclasses.replace(lite.PAIRS, kin=0.5),
)
