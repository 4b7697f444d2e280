"""What a training leaves behind: its weights, and the best ones by validation."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from siamjax import weights
from siamjax.train import hosts
from siamjax.train.resume import settings
from siamjax.train.step import TrainState
from siamjax.train.training import Training, Validate
from siamjax.typing import Variables

WEIGHTS, BEST = "weights.npz", "best.npz"


class Best(NamedTuple):
    """The validation with the highest mean so far."""

    step: int
    score: float


def variables(state: TrainState) -> Variables:
    """Give what is exported and validated, on this host's first device: the average if any."""
    params = state.params if state.ema is None else state.ema
    fetched = jax.device_get({"params": params, "batch_stats": state.stats})
    return jax.device_put(fetched, jax.local_devices()[0])


def score(validate: Validate, trained: Variables) -> dict[str, Any]:
    """Validate, on several hosts a share each: a line of the log, `validation` the mean."""
    begun = time.monotonic()
    scores: dict[str, float] = {}
    for share in hosts.gather(validate(trained)):
        scores |= share
    mean = float(np.mean(list(scores.values())))
    return {"validation": mean, "validation_seconds": round(time.monotonic() - begun, 1)}


def export(recipe: Training, trained: Variables, path: Path, best: Best | None = None) -> None:
    """Write trained variables as a weights file.

    Args:
        recipe: that trained them; its settings go into the header.
        trained: `params` and `batch_stats`.
        path: of the file.
        best: where they are the best ones and not the last.
    """
    training: Mapping[str, Any] = json.loads(json.dumps(settings(recipe)))
    weights.save(
        path,
        recipe.subject(),
        jax.device_get(trained),
        source=recipe.source or f"trained by recipe {recipe.name}",
        licence=recipe.licence,
        training={**training, **({} if best is None else {"best": best._asdict()})},
    )
