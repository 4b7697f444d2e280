"""What the trainings of the light trackers share; a recipe says where it differs.

EfficientNet-Lite0 from its ImageNet weights, some hundred megabytes of real pictures, AdamW. The
backbone learns at a tenth of the rate, its BatchNorm by running statistics; without `--backbone`
the network starts from noise and learns little.
"""

from pathlib import Path
from typing import Any

from siamjax.data.augment import Augment
from siamjax.data.pairs import PairConfig, Source
from siamjax.data.readers import coco, folder, masks
from siamjax.train import pretrained
from siamjax.train.optimizer import Optimizer
from siamjax.train.recipe import Recipe
from siamjax.train.schedule import WarmupCosine

DATA = Path("../shared/data/train")
PAIRS = PairConfig(template_size=147, search_size=431, negative=0.2, keep=True)
TEMPLATE = Augment(
    shift=4.0, scale=0.05, color=1.0, brightness=16.0, contrast=0.2, gray=0.1, flip=0.5
)
SEARCH = Augment(
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
)
EARLY_BLOCKS = ("^backbone/stem/", "^backbone/block[0-4]/")
"""What may stay ImageNet's: edges and textures."""


def sources(
    data: Path,
    weights: tuple[float, float, float] = (0.5, 0.25, 0.25),
    frame_range: int = 100,
    min_side: float = 24,
) -> list[Source]:
    """Read DAVIS-2016's training videos, COCO pictures and ECSSD's photos below `data`.

    Args:
        data: folder of `video/DAVIS2016-train`, `coco` and `ecssd`.
        weights: how often each is drawn; a still picture is its own pair.
        frame_range: of the videos.
        min_side: of COCO's boxes, pixels.
    """
    pictures = data / "coco"
    films = folder.read(data / "video" / "DAVIS2016-train")
    stills = coco.read(pictures / "annotations.json", pictures / "images", min_side=min_side)
    return [
        Source(films, weights[0], frame_range, "DAVIS2016-train", clips=True),
        Source(stills, weights[1], 0, "COCO"),
        Source(masks.read(data / "ecssd"), weights[2], 0, "ECSSD"),
    ]


def optimizer(warmup: float = 0.05, frozen: tuple[str, ...] = ()) -> Optimizer:
    """Give AdamW with warm-up and cosine, a tenth of the rate for the backbone.

    Args:
        warmup: part of the steps.
        frozen: patterns of the paths of parameters that stay.
    """
    return Optimizer(
        method="adamw",
        schedule=WarmupCosine(peak=1e-3, last=1e-6, warmup=warmup),
        weight_decay=1e-4,
        clip=10.0,
        multipliers=(("^backbone/", 0.1),),
        frozen=frozen,
    )


def recipe(name: str, tracker: Any, **changes: Any) -> Recipe:
    """Make a recipe of 3,200 batches of 16 pairs, early blocks frozen: for CPUs.

    Args:
        name: of the recipe.
        tracker: what is trained.
        changes: fields of `Recipe` in place of these.
    """
    fields: dict[str, Any] = {
        "name": name,
        "tracker": tracker,
        "sources": sources,
        "data": DATA,
        "initial": pretrained.efficientnet_lite0,
        "steps": 3200,
        "batch_size": 16,
        "pairs": PAIRS,
        "template_augment": TEMPLATE,
        "search_augment": SEARCH,
        "optimizer": optimizer(warmup=0.1, frozen=EARLY_BLOCKS),
        "ema": 0.995,
        "checkpoint_every": 200,
        "log_every": 20,
        "licence": "MIT",
        "source": "EfficientNet-Lite0 ImageNet weights (Apache-2.0); trained on DAVIS-2016 train,"
        " COCO (357 pictures), ECSSD",
    }
    return Recipe(**(fields | changes))
