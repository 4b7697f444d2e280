"""The memory of a long training: 20,000 steps of a narrow SiamFC through the real loop.

python scripts/memory_of_training.py --out DIR

The data are clips of noise with a moving square, written to DIR. The process's resident memory is
read from /proc (Linux) at every line of the log; after warm-up it must stay flat.
"""

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from siamjax import draw
from siamjax.data.augment import Augment
from siamjax.data.pairs import PairConfig, Source
from siamjax.data.readers import folder
from siamjax.track.siamfc import SiamFC
from siamjax.train import log
from siamjax.train.loop import train
from siamjax.train.recipe import Recipe

WARM_UP = 0.1
"""Part of the steps after which memory is compared."""


@dataclass(frozen=True)
class Command:
    """Measure the memory of a long training."""

    out: Path
    """folder of the training; the same command continues it"""
    steps: int = 20_000
    """of the training"""
    every: int = 200
    """steps between readings"""

    def run(self) -> dict[str, Any]:
        """Train; gives MiB at the end of warm-up and at the end, and the greatest change."""
        clips = self.out / "clips"
        if not clips.exists():
            _write_clips(clips)
        done = threading.Event()
        found: dict[int, float] = {}
        path = self.out / log.FILE

        def watch() -> None:
            while not done.wait(0.5):
                lines = log.read(path)
                if lines:
                    found.setdefault(lines[-1]["step"], _resident())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            summary = train(self._recipe(clips), self.out)
        finally:
            done.set()
            watcher.join()
        steps = sorted(found)
        warm = [found[step] for step in steps if step >= WARM_UP * self.steps]
        return {
            "steps": summary["steps"],
            "readings": len(steps),
            "first_mib": found[steps[0]],
            "warm_mib": warm[0],
            "last_mib": warm[-1],
            "least_mib": min(warm),
            "most_mib": max(warm),
            "change": max(warm) / warm[0] - 1,
            "trace": {step: found[step] for step in steps[:: max(1, len(steps) // 20)]},
        }

    def _recipe(self, clips: Path) -> Recipe:
        augment = Augment(shift=8.0, scale=0.05, flip=0.5, color=1.0)
        return Recipe(
            name="memory",
            tracker=SiamFC("alexnet-v1", width=1 / 24, instance=143),
            sources=lambda data: [Source(folder.read(data), frame_range=5, name="clips")],
            data=clips,
            steps=self.steps,
            batch_size=2,
            pairs=PairConfig(template_size=135, search_size=163, negative=0.2),
            template_augment=augment,
            search_augment=augment,
            ema=0.9,
            checkpoint_every=1000,
            log_every=self.every,
            pictures_every=1000,
            clips=folder.read,
            validate_every=2000,
            clip_frames=5,
        )


def _write_clips(root: Path) -> None:
    rng = np.random.default_rng(0)
    for clip in range(4):
        place = root / f"clip{clip}"
        place.mkdir(parents=True)
        boxes = []
        for frame in range(20):
            image = rng.integers(0, 255, (90, 120, 3), dtype=np.uint8)
            x, y = 20 + 2 * frame, 15 + frame
            image[y : y + 20, x : x + 24] = (250, 40, 90)
            (place / f"{frame:04d}.png").write_bytes(draw.png(image))
            boxes.append(f"{x},{y},24,20\n")
        (place / "groundtruth.txt").write_text("".join(boxes))


def _resident() -> float:
    """Read the resident memory of this process, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError("/proc/self/status has no VmRSS")


if __name__ == "__main__":
    print(json.dumps(tyro.cli(Command, description=__doc__).run(), indent=1))
