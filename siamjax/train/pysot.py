"""What the published trainings of PySOT's region trackers share; a recipe says where it differs.

Source: PySOT `tools/train.py`, `core/config.py` and its experiments (REFERENCE 1.8). Differences
here: where PySOT's crops of ImageNet VID, YouTube-BB, COCO and ImageNet DET are not at hand,
GOT-10k and COCO are drawn, half of the pairs each, with search frames within 100 accepted frames,
as VID's there; with them, tracks take turns where there videos do; losses are means over the whole
batch instead of one for each GPU; the momentum of everything else is kept when the backbone is
unfrozen; the classification loss counts a lone positive; crops have no whole-pixel windows.
"""

from pathlib import Path
from typing import Any

from siamjax import weights
from siamjax.data.augment import Augment
from siamjax.data.pairs import PairConfig
from siamjax.data.readers import coco, crop511, got10k
from siamjax.data.sources import Filter, Source
from siamjax.track.siamrpn import SiamRPN
from siamjax.train import pretrained
from siamjax.train.freeze import Unfreeze
from siamjax.train.optimizer import Optimizer
from siamjax.train.recipe import Recipe
from siamjax.train.schedule import WarmupLog
from siamjax.train.training import Initial
from siamjax.typing import Variables
from siamjax.weights import pysot

PAIRS = 600_000
"""Pairs of one epoch."""
UNFREEZE_EPOCH = 10
CROPS = (
    ("vid", "train.json", 100, 100_000),
    ("yt_bb", "train.json", 3, None),
    ("coco", "train2017.json", 1, None),
    ("det", "train.json", 1, None),
)
"""PySOT's data: folder, json, frame range, pairs in a round of all (None: as many as videos)."""


def sources(data: Path) -> list[Source]:
    """Read PySOT's crops (`vid/crop511` and `vid/train.json`, ...) below `data`, those there are.

    Without any, `GOT-10k/train` and `coco/annotations`, `coco/train2017`.
    """
    found = []
    for name, annotations, frame_range, count in CROPS:
        crops = data / name / "crop511"
        if crops.is_dir():
            tracks = crop511.read(data / name / annotations, crops)
            count = tracks.clips if count is None else count
            found.append(
                Source(tracks, 1.0, frame_range, name, Filter(min_side=0.0), per_epoch=count)
            )
    if found:
        return found
    stills = data / "coco" / "annotations" / "instances_train2017.json"
    return [
        Source(got10k.read(data / "GOT-10k", split="train"), 0.5, 100, "GOT-10k"),
        Source(coco.read(stills, data / "coco" / "train2017"), 0.5, 0, "COCO"),
    ]


def initial(tracker: SiamRPN) -> Initial:
    """Give the function that puts ImageNet weights, in PySOT's names, into the backbone."""

    def start(variables: Variables, path: Path | None) -> Variables:
        if path is None:
            raise ValueError(
                "backbone: expected the file of ImageNet weights (--backbone FILE.pth): the"
                " backbone is frozen for the first epochs, and would stay the noise it was drawn as"
            )
        state_dict = weights.read_torch(path)
        backbone = pysot.backbone(state_dict, tracker.backbone, tracker.net.stages)
        return pretrained.put(variables, backbone)

    return start


def recipe(
    name: str,
    tracker: SiamRPN,
    schedule: WarmupLog,
    *,
    gpus: int,
    batch: int,
    layers: tuple[str, ...],
    lr_multiplier: float = 0.1,
    negative: float = 0.2,
    kin: float = 0.0,
    gray: float = 0.0,
    blur: float = 0.0,
    masks: bool = False,
    search_size: int | None = None,
) -> Recipe:
    """Make a recipe of SGD, warm-up, and a backbone that is frozen until epoch 10.

    Args:
        name: of the recipe.
        tracker: what is trained.
        schedule: learning rates, whose epochs are 600,000 pairs.
        gpus: of the original; their gradients were added up.
        batch: pairs for each of them.
        layers: stages of the backbone trained from epoch 10 on.
        lr_multiplier: on the learning rate of these.
        negative: share of pairs that show two objects.
        kin: share of these that show two of one category.
        gray: share of pairs without colours.
        blur: share of blurred searches.
        masks: pairs have masks, where the data do.
        search_size: side of the search crops, where it is not the tracker's.
    """
    whole = gpus * batch
    epoch = PAIRS // whole
    common: dict[str, Any] = {"color": 1.0, "gray": gray}
    return Recipe(
        name=name,
        tracker=tracker,
        sources=sources,
        data=Path("data"),
        initial=initial(tracker),
        steps=schedule.epochs * epoch,
        batch_size=whole,
        search_size=search_size,
        pairs=PairConfig(147, 431, negative=negative, kin=kin, masks=masks),
        template_augment=Augment(shift=4.0, scale=0.05, **common),
        search_augment=Augment(shift=64.0, scale=0.18, blur=blur, **common),
        optimizer=Optimizer(
            method="sgd",
            schedule=schedule,
            momentum=0.9,
            weight_decay=1e-4,
            decay_all=True,
            gradients="sum",
            shards=gpus,
            clip=10.0,
        ),
        unfreeze=(Unfreeze(UNFREEZE_EPOCH * epoch, layers, lr_multiplier),),
        checkpoint_every=epoch,
        source=f"PySOT's crops, or GOT-10k and COCO, by its recipe ({name}); ImageNet backbone",
    )
