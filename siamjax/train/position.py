"""How far a training has come: all that a checkpoint holds beside the data's own place."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import jax

from siamjax.train import hosts
from siamjax.train.checkpoint import Restored
from siamjax.train.log import Window
from siamjax.train.outcome import Best
from siamjax.train.resume import settings
from siamjax.train.step import Metrics, TrainState
from siamjax.train.training import Batches, Training

MAX_SKIPPED = 50
"""Steps in a row whose loss or gradient was not finite, after which a training gives up."""

_AHEAD = 3


@dataclass
class Position:
    """The state after `number` steps, and what is known of the way there."""

    state: TrainState
    number: int = 0
    window: Window = field(default_factory=Window)
    skipped: int = 0
    best: Best | None = None
    waiting: list[Metrics] = field(default_factory=list)
    """Metrics of steps that may still be running."""

    @classmethod
    def of(cls, restored: Restored) -> "Position":
        """Continue a checkpoint."""
        meta = restored.meta
        best = None if meta.get("best") is None else Best(**meta["best"])
        return cls(restored.state, restored.step, Window(meta["window"]), meta["skipped"], best)

    def advance(self, state: TrainState, metrics: Metrics, on_cpu: bool) -> None:
        """Take the results of a step, which may not be there yet."""
        self.state = state
        self.number += 1
        self.waiting.append(metrics)
        # Queued steps with collectives deadlock forced CPU devices; elsewhere two may run.
        jax.block_until_ready(self.waiting[-1 if on_cpu else -min(_AHEAD, len(self.waiting))])

    def settle(self) -> None:
        """Wait for the steps that run, and count them.

        Raises:
            ValueError: nothing but skipped steps happens.
        """
        for metrics in jax.device_get(self.waiting):
            self.window.add(metrics)
            self.skipped += int(metrics["skipped"])
            if self.window.skipped_in_row >= MAX_SKIPPED:
                raise ValueError(
                    f"loss or gradient was not finite {MAX_SKIPPED} steps in a row, up to step"
                    f" {self.number}: lower the learning rate, or look at the data"
                )
        self.waiting.clear()

    def meta(self, recipe: Training, batches: Batches) -> dict[str, Any]:
        """Give what goes into a checkpoint beside the state, JSON; all hosts together."""
        data = batches.get_state()
        return {
            "data": {**data, "damaged": damaged(batches)},
            "window": self.window.state(),
            "skipped": self.skipped,
            "best": None if self.best is None else self.best._asdict(),
            "recipe": settings(recipe),
        }


def damaged(batches: Batches) -> dict[str, int]:
    """Count the damaged files that all hosts have met; all hosts together."""
    counts: Counter[str] = Counter()
    for share in hosts.gather(dict(batches.damaged)):
        counts.update(share)
    return dict(counts)


def continue_data(batches: Batches, restored: Restored) -> None:
    """Put the batches where the checkpoint was made; the first host keeps the counts of all."""
    data = restored.meta["data"]
    batches.set_state(data if hosts.is_first() else {**data, "damaged": {}})
