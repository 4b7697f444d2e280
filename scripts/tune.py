"""Choose tracking constants on training clips: `python scripts/tune.py CLIPS --model M`."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from siamjax import tune, weights
from siamjax.data.readers import folder
from siamjax.evaluate.run import choose

# The step between scales is left alone: a pyramid of templates is trained for its own.
RANGES = {
    "scale_penalty": (0.93, 1.0),
    "scale_lr": (0.4, 0.9),
    "window_influence": (0.15, 0.5),
}


@dataclass(frozen=True)
class Tune:
    """Rank random settings of a tracker's constants by mean success AUC over annotated clips."""

    clips: tyro.conf.Positional[Path]
    """folder of sequence folders: training clips, never those of a benchmark"""
    model: str = "default"
    """name of bundled weights, or a weights file"""
    count: int = 64
    """settings, the model's own included"""
    seed: int = 0
    """of the drawing"""
    sequences: tuple[str, ...] = ()
    """clips to use; all by default"""
    out: Path | None = None
    """JSON file for all settings, best first"""


def main(options: Tune) -> None:
    """Search and print the ten best settings."""
    tracker, variables = weights.load(options.model)
    tracks = choose(folder.read(options.clips), options.sequences)
    settings = tune.draw(tracker, RANGES, options.count, options.seed)
    show = lambda name, auc: print(
        f"{name}: preset {auc[0]:.3f}, best {auc.max():.3f}, median {np.median(auc):.3f}",
        file=sys.stderr,
        flush=True,
    )
    found = tune.search(tracker, variables, tracks, settings, show)
    lines = [
        {"success_auc": float(auc), **setting}
        for auc, setting in zip(found.success_auc, found.settings, strict=True)
    ]
    if options.out is not None:
        options.out.write_text(json.dumps(lines, indent=1) + "\n")
    for line in lines[:10]:
        print(json.dumps(line))


if __name__ == "__main__":
    main(tyro.cli(Tune))
