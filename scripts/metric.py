"""Measure what a recipe of metric learning trained: python scripts/metric.py RECIPE [--data DATA].

Runs the recipe's own `evaluate` with its weights and prints one JSON object.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from siamjax.metric import bank
from siamjax.metric.recipe import MetricRecipe
from siamjax.train import recipe as recipes


@dataclass(frozen=True)
class Command:
    """The recipe, and where its weights and data are."""

    recipe: Annotated[str, tyro.conf.Positional]
    """Name in experiments/, or the path of a .py file that defines RECIPE."""
    weights: Path | None = None
    """Weights file (.npz); runs/NAME/weights.npz by default."""
    data: Path | None = None
    """Folder of the data; the recipe's own by default."""


def main(options: Command) -> None:
    """Print the recipe's measures.

    Raises:
        ValueError: no such recipe, or its weights or data cannot be used.
        OSError: a file cannot be read.
    """
    recipe = recipes.load(options.recipe)
    if not isinstance(recipe, MetricRecipe) or recipe.evaluate is None:
        raise ValueError(f"{options.recipe}: expected a recipe of metric learning with `evaluate`")
    path = options.weights or Path("runs") / recipe.name / "weights.npz"
    model, variables = bank.load_model(path)
    print(json.dumps(recipe.evaluate(model, variables, options.data or recipe.data)))


if __name__ == "__main__":
    try:
        main(tyro.cli(Command))
    except (ValueError, OSError) as error:
        sys.exit(f"metric.py: error: {error}")
