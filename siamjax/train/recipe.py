"""Recipes: everything a training is, in one frozen record.

A recipe is a Python file that defines `RECIPE`; the project's own are in `experiments/` of the
checkout. Every field but the functions is an option of `siamjax train`. `Recipe` trains trackers.
"""

import dataclasses
import difflib
import functools
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import siamjax
from siamjax.data import cache, held, packed, pipeline
from siamjax.data.augment import Augment, augment_batch
from siamjax.data.compose import Compose, compose_batch
from siamjax.data.layers import LayerConfig, Stock
from siamjax.data.media import Media
from siamjax.data.pairs import PairConfig, Source
from siamjax.data.tracks import Track
from siamjax.train import pictures, validation
from siamjax.train.teacher import load_teacher, teach
from siamjax.train.training import Augmentation, Paint, Training, Validate

Sources = Callable[[Path], Sequence[Source]]
Photos = Callable[[Path], Sequence[Media]]
Clips = Callable[[Path], Sequence[Track]]


@dataclass(frozen=True, kw_only=True)
class Recipe(Training):
    """One training of a tracker, on pairs of crops."""

    tracker: Any
    """the tracker that is trained: its configuration"""
    sources: Sources
    """gives the sources of pairs from the folder `data`"""
    data: Path
    """folder of the training data"""
    packed: Path | None = None
    """folder of `siamjax pack`, from which the sources are read in place of `data`"""
    search_size: int | None = None
    """side of the search crops in training, pixels, where it is not the tracker's own"""
    pairs: PairConfig = field(default_factory=PairConfig)
    """sizes of the crops that the host cuts, negative pairs"""
    template_augment: Augment = field(default_factory=Augment)
    """augmentation of the templates"""
    search_augment: Augment = field(default_factory=Augment)
    """augmentation of the searches"""
    compose: Compose | None = None
    """how targets are pasted before photos and among other objects; None for not at all"""
    layers: LayerConfig = field(default_factory=LayerConfig)
    """number and sizes of what the host cuts to be pasted"""
    photos: Photos | None = None
    """gives the photos to paste before from the folder `data`"""
    threads: int | None = None
    """threads that prepare batches; one for each core by default"""
    memory: float = 4.0
    """GiB of memory for decoded pictures and clips, and for crops where `pairs.keep` asks"""
    teacher: Path | None = None
    """weights of a tracker whose answers to every pair are learnt besides the labels"""
    clips: Clips | None = None
    """gives annotated clips to validate on from the folder `data`"""
    hold_out: float = 0.0
    """part of the clips of the sources that is not trained but validated on, if `clips` names no
    others: the same ones whatever the seed; 0 for none"""
    clip_frames: int = 100
    """frames of each that are tracked in a validation"""

    def __post_init__(self):
        super().__post_init__()
        if self.compose is not None and (self.photos is None or not self.pairs.masks):
            raise ValueError("compose needs photos, and pairs.masks")
        if not 0 <= self.hold_out < 1:
            raise ValueError(f"hold_out must lie in [0, 1), got {self.hold_out}")
        if self.hold_out and self.clips is not None:
            raise ValueError(f"hold_out {self.hold_out}: the recipe names clips to validate on")
        if not 0 <= self.memory < float("inf"):
            raise ValueError(f"memory must be at least 0 GiB, got {self.memory}")

    def subject(self) -> Any:
        """Give the tracker."""
        return self.tracker

    def trainee(self) -> Any:
        """Give the tracker with the search size of the training."""
        if self.search_size is None:
            return self.subject()
        return dataclasses.replace(self.subject(), instance=self.search_size)

    def read_sources(self) -> Sequence[Source]:
        """Read the sources, from their pack where there is one."""
        return self.sources(self.data) if self.packed is None else packed.read(self.packed)

    def batches(self, shard: tuple[int, int] = (0, 1)) -> pipeline.Batches:
        """Read the sources and begin to draw pairs."""
        cache.shared.resize(int(self.memory * 2**30))
        sources, stock = self.read_sources(), None
        if self.hold_out:
            sources, _ = held.split_sources(sources, self.hold_out)
        if self.compose is not None and self.photos is not None:
            stock = Stock(sources, self.photos(self.data), self.layers, self.pairs)
        return pipeline.batches(
            sources,
            self.pairs,
            batch_size=self.batch_size,
            seed=self.seed,
            threads=self.threads,
            stock=stock,
            shard=shard,
        )

    def augmentation(self) -> Augmentation:
        """Give the function that makes network inputs of the host's crops."""
        tracker = self.trainee()
        augment = functools.partial(
            augment_batch,
            template_config=self.template_augment,
            search_config=self.search_augment,
            template_size=tracker.template_crop,
            search_size=tracker.instance,
        )
        if self.teacher is not None:
            augment = teach(augment, tracker, *load_teacher(self.teacher))
        config = self.compose
        if config is None:
            return augment
        return lambda key, batch: augment(key, compose_batch(key, batch, config))

    def validation(self, shard: tuple[int, int] = (0, 1)) -> Validate | None:
        """Read the clips; gives the function that measures success on them."""
        if self.clips is not None:
            clips = self.clips(self.data)
        elif self.hold_out:
            _, clips = held.split_sources(self.sources(self.data), self.hold_out)
        else:
            return None
        host, hosts = shard
        chosen = validation.prepare(clips, self.clip_frames)[host::hosts]
        return functools.partial(validation.success, self.subject(), chosen)

    def painter(self) -> Paint:
        """Give the function that draws pairs, their boxes and labels, and the responses."""
        return pictures.Painter(self.trainee(), self.augmentation())


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
