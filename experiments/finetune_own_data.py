"""Fine-tuning on your own labelled clips: from a folder to a better tracker.

Result      NanoTrack v2's published weights, 19 DAVIS-2016 training videos, 5 to choose on, 6 to
            score on: success AUC 0.633 before, 0.684, 0.635, 0.656 after (seeds 0, 1, 2): a mean
            gain of 0.026. Minutes a training on two CPU cores.
            python scripts/finetune_gain.py DATA/video/DAVIS2016-train --start nanov2.npz --out DIR
Published   none: this project's own.
Hardware    any CPU will do.
Command     siamjax train finetune_own_data --data MYCLIPS

1. Label. MYCLIPS holds videos (.mp4), folders of pictures or single pictures, and one CSV file with
   the columns `video, frame, x, y, w, h`: the target's box in some frames of each, frames counted
   from 0, pixels from the upper left corner (siamjax/data/readers/own.py says what else it reads:
   masks, sequence folders). Two clips are the least, since one is kept back; twenty are better.
2. Train: the command above. A fifth of the clips is not trained on: success on them is measured
   every 40 steps, and the best weights are kept as runs/finetune_own_data/best.npz. Loss and
   success are in metrics.jsonl and TensorBoard, what the network is fed in pictures/. Stopped by
   Ctrl-C or a power cut, the same command goes on.
3. Use: siamjax track VIDEO --box X Y W H --model runs/finetune_own_data/best.npz
   Compare: siamjax evaluate OTHERCLIPS --format folder --model best.npz (and --model default).

Other weights: `--start nanotrack.npz`, any file of siamjax convert, or a bundled name. A part that
is to begin anew, as a head: `--fresh ^head/`. Its rate and length: `--optimizer.schedule.peak 1e-4
--steps 500`. Less memory: `--accumulate 4`. BatchNorm stays as it is in trackers that freeze it.
"""

from pathlib import Path

from siamjax.data.augment import Augment
from siamjax.data.pairs import PairConfig, Source
from siamjax.data.readers import own
from siamjax.train.finetune import FineTune
from siamjax.train.optimizer import Optimizer
from siamjax.train.schedule import WarmupCosine


def sources(data: Path) -> list[Source]:
    """Read the clips, a part of which the recipe holds out."""
    return [Source(own.read(data), frame_range=100, name=data.name, clips=True)]


RECIPE = FineTune(
    name="finetune_own_data",
    start="default",
    sources=sources,
    hold_out=0.2,
    data=Path("clips"),
    steps=80,
    batch_size=8,
    pairs=PairConfig(template_size=191, search_size=431, negative=0.1),
    template_augment=Augment(
        shift=3.0, scale=0.05, color=0.5, brightness=12.0, contrast=0.15, gray=0.1, flip=0.5
    ),
    search_augment=Augment(
        shift=48.0,
        scale=0.18,
        stretch=0.05,
        color=0.5,
        brightness=12.0,
        contrast=0.15,
        blur=0.1,
        blur_size=15,
        gray=0.1,
        flip=0.5,
    ),
    optimizer=Optimizer(
        method="adamw",
        schedule=WarmupCosine(peak=1e-4, last=1e-6, warmup=0.1),
        weight_decay=1e-4,
        clip=5.0,
        multipliers=(("^backbone/", 0.1),),
    ),
    ema=0.98,
    checkpoint_every=40,
    validate_every=40,
    pictures_every=40,
    log_every=10,
    licence="as of the weights it starts from and of the clips",
    source="fine-tuned on clips of the user's own",
)
