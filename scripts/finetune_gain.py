"""What fine-tuning on a folder of clips gains on clips that it never saw, over several seeds.

python scripts/finetune_gain.py CLIPS --start WEIGHTS.npz --out DIR

A fifth of the clips is held out from everything. The others go through experiments/
finetune_own_data.py as if they were the whole folder, which keeps back a fifth of them to choose
its best weights. Scored on the clips held out, in full length: success AUC before and after.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from siamjax import weights
from siamjax.cli import enable_compile_cache
from siamjax.data import held
from siamjax.data.pairs import Source
from siamjax.data.readers import own
from siamjax.data.tracks import Track
from siamjax.train import recipe as recipes
from siamjax.train import validation
from siamjax.train.finetune import FineTune
from siamjax.train.loop import train
from siamjax.train.schedule import WarmupCosine


@dataclass(frozen=True)
class Command:
    """Measure what fine-tuning gains."""

    clips: tyro.conf.Positional[Path]
    """folder of clips"""
    out: Path
    """folder of the trainings; the same command continues them"""
    start: str = "default"
    """weights to start from"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """of the trainings"""
    steps: int | None = None
    """of each, in place of the recipe's"""
    batch_size: int | None = None
    """likewise"""
    peak: float | None = None
    """highest learning rate, likewise"""

    def run(self) -> dict[str, Any]:
        """Train with every seed; gives all scores and the mean gain."""
        ours, others = held.split(own.read(self.clips))
        kept, chosen = held.split(ours)
        before = _score(self.start, others)
        rows = []
        for seed in self.seeds:
            out = self.out / f"seed{seed}"
            train(self._recipe(ours, seed), out)
            files = {"best": out / "best.npz", "last": out / "weights.npz"}
            rows.append(
                {"seed": seed} | {name: _score(str(path), others) for name, path in files.items()}
            )
            print(json.dumps({"before": before, **rows[-1]}), flush=True)
        return {
            "start": self.start,
            "clips": {"trained": len(kept), "to_choose": len(chosen), "scored": len(others)},
            "before": before,
            "seeds": rows,
            "gain": float(np.mean([row["best"] for row in rows]) - before),
            "gain_last": float(np.mean([row["last"] for row in rows]) - before),
        }

    def _recipe(self, clips: list[Track], seed: int) -> FineTune:
        recipe = recipes.load("finetune_own_data")
        if not isinstance(recipe, FineTune):
            raise ValueError(f"finetune_own_data: expected a FineTune, got {type(recipe)}")
        changes: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("steps", "batch_size")
            if getattr(self, name) is not None
        }
        if self.peak is not None:
            schedule = WarmupCosine(peak=self.peak, last=self.peak / 100, warmup=0.1)
            changes["optimizer"] = dataclasses.replace(recipe.optimizer, schedule=schedule)
        return dataclasses.replace(
            recipe,
            start=self.start,
            sources=lambda data: [Source(clips, frame_range=100, name="clips", clips=True)],
            seed=seed,
            **changes,
        )


def _score(source: str, tracks: list[Track]) -> float:
    """Measure weights on clips: the mean of their success AUC."""
    tracker, variables = weights.load(source)
    longest = max(len(track) for track in tracks)
    found = validation.success(tracker, validation.prepare(tracks, longest), variables)
    return float(np.mean(list(found.values())))


if __name__ == "__main__":
    enable_compile_cache()
    print(json.dumps(tyro.cli(Command, description=__doc__).run(), indent=1))
