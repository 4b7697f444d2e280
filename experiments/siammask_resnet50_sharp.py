"""SiamMask, second stage: masks refined from shallow stages; the authors' siammask_sharp.

Result      NOT RUN HERE: COCO (19 GB) is not at hand, nor weights of the first stage.
Published   none that could be cited here with its source.
Hardware    4 V100, 10 hours there.
Command     siamjax train siammask_resnet50_sharp --data DATA --backbone BASE/weights.npz

`--backbone` names the weights that siammask_resnet50_base ended with: all of them are taken, and
only the mask's head and the refinement are trained, the rest and its BatchNorm frozen. Searches of
143 px, whose three by three windows of 127 px lie 8 px apart, shifted by up to 8 px; the mask's
loss alone, weight 36; no pairs of two objects; learning rate 1e-2 down to 2.5e-3 in 20 epochs of
600,000 pairs. Scale and blur are the first stage's. COCO alone, where the original also had
YouTube-VOS: pairs without masks would teach nothing.
"""

import dataclasses
from pathlib import Path

from siamjax import weights
from siamjax.data.augment import Augment
from siamjax.data.pairs import PairConfig, Source
from siamjax.data.readers import coco
from siamjax.track import zoo
from siamjax.train import pysot
from siamjax.train.schedule import WarmupLog
from siamjax.typing import Variables


def sources(data: Path) -> list[Source]:
    """Read `coco/annotations` and `coco/train2017` below `data`."""
    objects = data / "coco" / "annotations" / "instances_train2017.json"
    return [Source(coco.read(objects, data / "coco" / "train2017"), 1.0, 0, "COCO")]


def initial(variables: Variables, path: Path | None) -> Variables:
    """Put the first stage's weights everywhere but into the refinement, which it has not.

    Raises:
        ValueError: no path, or the weights of another tracker.
    """
    if path is None:
        raise ValueError("backbone: expected the weights of siammask_resnet50_base (--backbone)")
    tracker, first = weights.load(path)
    if getattr(tracker, "variant", None) != "base":
        raise ValueError(f"backbone: expected weights of siammask-base, got {tracker} in {path}")
    return {kind: {**leaves, **first[kind]} for kind, leaves in variables.items()}


SHARED = pysot.recipe(
    "siammask_resnet50_sharp",
    dataclasses.replace(
        zoo.siammask("sharp"), cls_weight=0.0, loc_weight=0.0, frozen_norm=("neck", "rpn_head")
    ),
    WarmupLog(first=1e-2, peak=1e-2, last=2.5e-3, warmup=0, epochs=20),
    gpus=1,
    batch=64,
    layers=(),
    negative=0.0,
    gray=0.25,
    search_size=143,
)
RECIPE = dataclasses.replace(
    SHARED,
    sources=sources,
    initial=initial,
    unfreeze=(),
    pairs=PairConfig(template_size=147, search_size=195, masks=True),
    search_augment=Augment(shift=8.0, scale=0.18, blur=0.18, color=1.0, gray=0.25),
    optimizer=dataclasses.replace(SHARED.optimizer, frozen=("^backbone/", "^neck/", "^rpn_head/")),
    source="COCO, by the recipe of SiamMask (siammask_resnet50_sharp), after the first stage",
)
