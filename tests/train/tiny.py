"""A training of seconds: two clips of noise with a moving square, a narrow SiamFC."""

from pathlib import Path

import cv2
import numpy as np

RECIPE = '''
"""A tiny recipe for tests."""

from pathlib import Path

from siamjax.data.augment import Augment
from siamjax.data.pairs import PairConfig, Source
from siamjax.data.readers import folder
from siamjax.track.siamfc import SiamFC
from siamjax.train.optimizer import Optimizer
from siamjax.train.recipe import Recipe
from siamjax.train.schedule import WarmupCosine

RECIPE = Recipe(
    name="tiny",
    tracker=SiamFC("alexnet-v1", width=1 / 24, instance=143, loss_name="focal"),
    sources=lambda data: [Source(folder.read(data), frame_range=2, name="clips")],
    data=Path(__file__).parent / "data",
    steps=12,
    batch_size=4,
    seed=5,
    pairs=PairConfig(template_size=135, search_size=159, negative=0.2),
    template_augment=Augment(shift=2.0, scale=0.05, flip=0.5, color=1.0),
    search_augment=Augment(shift=8.0, scale=0.05, flip=0.5, color=1.0),
    optimizer=Optimizer("adamw", WarmupCosine(peak=1e-2), clip=10.0),
    ema=0.9,
    checkpoint_every=3,
    log_every=2,
    threads=2,
)
'''


def write(folder: Path) -> Path:
    """Write data and recipe into `folder`; gives the recipe's path."""
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        clip = folder / "data" / name
        clip.mkdir(parents=True)
        boxes = []
        for frame in range(4):
            image = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
            x, y = 20 + 4 * frame, 15 + 2 * frame
            image[y : y + 20, x : x + 24] = (250, 40, 90)
            cv2.imwrite(str(clip / f"{frame:04d}.png"), image)
            boxes.append(f"{x},{y},24,20\n")
        (clip / "groundtruth.txt").write_text("".join(boxes))
    path = folder / "tiny.py"
    path.write_text(RECIPE)
    return path
