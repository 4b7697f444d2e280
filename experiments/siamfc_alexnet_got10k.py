"""SiamFC with AlexNetV1 on GOT-10k: the recipe of siamfc-pytorch (huanglianghua).

Result      NOT RUN HERE: GOT-10k (66 GB) is not at hand.
Published   siamfc-pytorch reports the result of its own run of this recipe in its README; nothing
            is claimed for this port until it has been run.
Command     siamjax train siamfc_alexnet_got10k --data PATH/TO/GOT-10k

One epoch is one pair from each of the 9,335 training sequences in batches of 8: 1,166 steps; 50
epochs. SGD 0.9, decay 5e-4 on everything, learning rate 1e-2 to 1e-5 by a constant factor each
epoch; balanced logistic loss on 15x15 cells (search crops of 239 px); windows moved by up to 4 px
and scaled by up to 5 %.

Differences from siamfc-pytorch: a sequence is drawn uniformly for each pair instead of once an
epoch; template and search frame are at most 99 *accepted* frames apart (not 99 frames) and may be
the same frame; crops are resampled once, bilinearly (there twice, the first time by one of five
interpolations at random), and shifts need not be whole pixels.
"""

from pathlib import Path

from siamjax.data.augment import Augment
from siamjax.data.pairs import PairConfig
from siamjax.data.readers import got10k
from siamjax.data.sources import SIAMFC_FILTER, Source
from siamjax.track import zoo
from siamjax.train.optimizer import Optimizer
from siamjax.train.recipe import Recipe
from siamjax.train.schedule import Exponential


def sources(data: Path) -> list[Source]:
    """Read the training split."""
    tracks = got10k.read(data, split="train")
    return [Source(tracks, 1.0, 99, "GOT-10k", SIAMFC_FILTER, range_in="frames")]


RECIPE = Recipe(
    name="siamfc_alexnet_got10k",
    tracker=zoo.tracker("siamfc-alexnet-v1"),
    sources=sources,
    data=Path("data/GOT-10k"),
    steps=50 * 1166,
    batch_size=8,
    search_size=239,
    pairs=PairConfig(template_size=151, search_size=263),
    template_augment=Augment(shift=4.0, scale=0.05),
    search_augment=Augment(shift=4.0, scale=0.05),
    optimizer=Optimizer(
        method="sgd",
        schedule=Exponential(first=1e-2, last=1e-5, epochs=50),
        momentum=0.9,
        weight_decay=5e-4,
        decay_all=True,
    ),
    checkpoint_every=1166,
    source="GOT-10k training split, by the recipe of siamfc-pytorch",
)
