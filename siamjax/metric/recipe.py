"""Recipes of metric learning: what is trained, on which examples, and how it is measured."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from siamjax.metric.augment import Distort, distort_batch
from siamjax.metric.model import Towers
from siamjax.metric.sampling import Batches, ByClass, Captions, Twins
from siamjax.train.step import Batch
from siamjax.train.training import Augmentation, Training
from siamjax.typing import Variables

Read = Callable[[Path | None], Any]
Evaluate = Callable[[Any, Variables, Path | None], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class MetricRecipe(Training):
    """One training of a Siamese or pseudo-Siamese model."""

    model: Towers
    """what is trained: its configuration"""
    examples: Read
    """reads what batches are drawn from, given the folder `data`"""
    data: Path | None = None
    """folder of the data; None where the recipe has its own"""
    sampling: ByClass | Twins | Captions = field(default_factory=Twins)
    """how batches are drawn"""
    augment: Distort = field(default_factory=Distort)
    """augmentation of the pictures, on either side"""
    evaluate: Evaluate | None = None
    """measures the model with its variables, given `data`; what `scripts/metric.py` runs"""

    def subject(self) -> Towers:
        """Give the model."""
        return self.model

    def batches(self, shard: tuple[int, int] = (0, 1)) -> Batches:
        """Read the examples and begin to draw."""
        examples = self.examples(self.data)
        return Batches(self.sampling, examples, self.batch_size, self.seed, shard)

    def augmentation(self) -> Augmentation:
        """Give the function that changes the pictures of a batch."""
        return functools.partial(_augment, config=self.augment)


def _augment(key: Any, batch: Batch, config: Distort) -> dict[str, Any]:
    """Change the pictures, each side by itself; texts and labels stay."""
    out = {name: jnp.asarray(value) for name, value in batch.items()}
    for number, side in enumerate(("a", "b")):
        if side in out and out[side].ndim == 4:
            out[side] = distort_batch(key, out[side], out["index"], config, number)
    return out
