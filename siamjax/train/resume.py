"""What a training must have in common with the checkpoint that it continues."""

import dataclasses
from collections.abc import Callable

from siamjax.train.checkpoint import Restored
from siamjax.train.training import Training

FREE = (
    "initial", "data", "backbone", "threads", "memory", "keep", "log_every", "pictures_every",
    "validate_every", "clip_frames", "memory", "packed",
)  # fmt: skip
"""Settings that do not change what is trained, or cannot be compared."""


def settings(recipe: Training) -> dict[str, str]:
    """Give the settings that make two trainings the same, as text."""
    fields = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)}
    kept = {k: v for k, v in fields.items() if k not in FREE and not callable(v)}
    return {name: repr(value) for name, value in kept.items()}


def compare(recipe: Training, restored: Restored, report: Callable[[str], None]) -> None:
    """Say which settings changed since the checkpoint.

    Args:
        recipe: the training now.
        restored: what it is to continue.
        report: told one line for each setting.

    Raises:
        ValueError: it is another recipe, or a shorter run than was done already.
    """
    before, now = restored.meta["recipe"], settings(recipe)
    if before.get("name") != now["name"]:
        raise ValueError(
            f"the checkpoints are of recipe {before.get('name')}, not {now['name']};"
            " give another output folder"
        )
    if restored.step > recipe.steps:
        raise ValueError(f"steps is {recipe.steps}, but {restored.step} are done already")
    for name in sorted(now):
        if before.get(name, now[name]) != now[name]:
            report(f"{name} changed since the checkpoint: {before[name]} -> {now[name]}")
