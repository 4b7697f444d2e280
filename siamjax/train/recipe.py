"""Recipes: everything a training is, in one frozen record.

A recipe is a Python file that defines `RECIPE`; the project's own are in `experiments/` of the
checkout. Every field but the functions is an option of `siamjax train`. `Training` is what all
recipes have in common and what the loop knows; `Recipe` trains trackers.
"""

import abc
import dataclasses
import difflib
import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

import siamjax
from siamjax.data import pipeline
from siamjax.data.augment import Augment, augment_batch
from siamjax.data.pairs import PairConfig, Source
from siamjax.train import freeze
from siamjax.train.optimizer import Optimizer
from siamjax.train.step import Batch, Trainable
from siamjax.typing import Variables

Sources = Callable[[Path], Sequence[Source]]
Initial = Callable[[Variables, Path | None], Variables]
Augmentation = Callable[[Any, Batch], Batch]


@runtime_checkable
class Batches(Protocol):
    """An endless iterator of host batches that can be saved and continued."""

    @property
    def damaged(self) -> Mapping[str, int]: ...

    def __next__(self) -> dict[str, np.ndarray]: ...

    def get_state(self) -> dict[str, Any]: ...

    def set_state(self, state: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Training(abc.ABC):
    """What every training has.

    A kind of recipe adds what is trained, its batches and their augmentation.
    """

    name: str
    """what logs and weights call it"""
    steps: int
    """batches to train on"""
    batch_size: int = 32
    """samples in a batch, over all devices"""
    seed: int = 0
    """decides initial weights, samples and augmentation"""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """optimiser, learning rate, what is frozen"""
    unfreeze: tuple[freeze.Unfreeze, ...] = ()
    """if any: the backbone is frozen, BatchNorm included, but for the layers that these name, each
    from its step on"""
    ema: float = 0.0
    """decay of a running average of the parameters, which is then what is exported; 0 for none"""
    initial: Initial | None = None
    """changes the fresh variables, given the path `backbone`; None leaves them"""
    backbone: Path | None = None
    """file of pretrained weights for `initial`, as an ImageNet .pth"""
    checkpoint_every: int = 1000
    """steps between checkpoints"""
    keep: int = 3
    """checkpoints kept"""
    log_every: int = 50
    """steps between lines of the log, each the mean over them"""
    licence: str = "MIT"
    """licence of the weights that result"""
    source: str = ""
    """what the weights were trained on and started from, for their header"""

    def __post_init__(self):
        for name in ("steps", "batch_size", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        freeze.phases(self.unfreeze)
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must lie in [0, 1), got {self.ema}")
        if self.keep < 2:
            raise ValueError(f"keep must be at least 2 checkpoints, got {self.keep}")

    @abc.abstractmethod
    def subject(self) -> Any:
        """Give what is trained, as the weights file will describe it."""

    def trainee(self) -> Trainable:
        """Give what is trained, as it is set during training."""
        return self.subject()

    @abc.abstractmethod
    def batches(self) -> Batches:
        """Read the data and begin the iterator of batches; `index` uint32[B] is in each."""

    @abc.abstractmethod
    def augmentation(self) -> Augmentation:
        """Give `(key, batch) -> batch`, which runs on the device inside the compiled step."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Training):
    """One training of a tracker, on pairs of crops."""

    tracker: Any
    """the tracker that is trained: its configuration"""
    sources: Sources
    """gives the sources of pairs from the folder `data`"""
    data: Path
    """folder of the training data"""
    search_size: int | None = None
    """side of the search crops in training, pixels, where it is not the tracker's own"""
    pairs: PairConfig = field(default_factory=PairConfig)
    """sizes of the crops that the host cuts, negative pairs"""
    template_augment: Augment = field(default_factory=Augment)
    """augmentation of the templates"""
    search_augment: Augment = field(default_factory=Augment)
    """augmentation of the searches"""
    threads: int | None = None
    """threads that prepare batches; one for each core by default"""

    def subject(self) -> Any:
        """Give the tracker."""
        return self.tracker

    def trainee(self) -> Any:
        """Give the tracker with the search size of the training."""
        if self.search_size is None:
            return self.tracker
        return dataclasses.replace(self.tracker, instance=self.search_size)

    def batches(self) -> pipeline.Batches:
        """Read the sources and begin to draw pairs."""
        return pipeline.batches(
            self.sources(self.data),
            self.pairs,
            batch_size=self.batch_size,
            seed=self.seed,
            threads=self.threads,
        )

    def augmentation(self) -> Augmentation:
        """Give the function that makes network inputs of the host's crops."""
        tracker = self.trainee()
        return functools.partial(
            augment_batch,
            template_config=self.template_augment,
            search_config=self.search_augment,
            template_size=tracker.template_crop,
            search_size=tracker.instance,
        )


def experiments() -> Path:
    """Return the folder of the project's recipes: that of the checkout one is in, or runs from."""
    here = Path.cwd() / "experiments"
    return here if here.is_dir() else Path(siamjax.__file__).parents[1] / "experiments"


def names() -> list[str]:
    """List the names of the recipes in `experiments()`."""
    return sorted(path.stem for path in experiments().glob("*.py") if path.stem != "__init__")


def load(name: str) -> Training:
    """Load a recipe by its name in `experiments/`, or from a path ending in .py.

    Raises:
        ValueError: no such recipe (the message suggests and lists), or the file defines none.
    """
    path = Path(name) if name.endswith(".py") else experiments() / f"{name}.py"
    if not path.is_file():
        known = names()
        close = difflib.get_close_matches(Path(name).stem, known, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        listed = ", ".join(known) or f"none ({experiments()} has no recipes)"
        raise ValueError(f"unknown recipe {name!r}: {hint}known are {listed}")
    spec = importlib.util.spec_from_file_location(f"siamjax_recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Training):
        raise ValueError(f"{path} must define RECIPE, a siamjax.train.recipe.Training")
    return recipe
