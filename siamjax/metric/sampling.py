"""Batches for metric learning: which pictures of which classes, or which pictures with which texts.

Every batch is a pure function of (seed, index of its first sample), so that a training continued
anywhere draws what it would have drawn. The batches' keys are those of `Siamese.loss`.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from siamjax.data.examples import Captioned, Examples
from siamjax.metric import text

Batch = dict[str, np.ndarray]


@runtime_checkable
class Sampling(Protocol):
    """A way to draw batches, as a recipe's setting."""

    def draw(self, data: Any, seed: int, first: int, size: int) -> Batch:
        """Give the batch whose first sample has the index `first`, but for `index`."""
        ...


@dataclass(frozen=True)
class ByClass:
    """P classes by K pictures each: `a`, `label`. For losses that find their own pairs."""

    per_class: int = 4
    """K, pictures of a class in a batch"""
    groups: int = 0
    """draw the classes of a batch from this many groups, as alphabets; 0 for all"""
    turns: bool = False
    """pictures turned by 90, 180 and 270 degrees are classes of their own"""

    def draw(self, data: Examples, seed: int, first: int, size: int) -> Batch:
        """Draw P = size / K different classes and K different pictures of each."""
        if self.per_class < 1 or size % self.per_class:
            raise ValueError(
                f"per_class: expected a divisor of the batch size {size}, got {self.per_class}"
            )
        rng, count = _rng(seed, first), size // self.per_class
        classes = _classes(rng, data, count, self.groups, self.turns)
        if len(classes) < count:
            raise ValueError(
                f"batch_size: needs {count} different classes, the data has {len(classes)}"
            )
        labels = np.repeat(classes, self.per_class)
        chosen = [_members(rng, data, label, self.per_class) for label in classes]
        return {
            "a": _pictures(data, np.concatenate(chosen), labels),
            "label": labels.astype(np.int32),
        }


@dataclass(frozen=True)
class Twins:
    """Pairs of pictures: `a`, `b`, `similar`, and `label`, the class of `a`."""

    similar: float = 1.0
    """share of the pairs that show one class; rounded to whole pairs of a batch"""
    groups: int = 0
    """draw the classes of a batch from this many groups, as alphabets; 0 for all"""
    turns: bool = False
    """pictures turned by 90, 180 and 270 degrees are classes of their own"""

    def draw(self, data: Examples, seed: int, first: int, size: int) -> Batch:
        """Draw classes for `a`, all before any twice, and for `b` the same ones or others."""
        if not 0 <= self.similar <= 1:
            raise ValueError(f"similar: expected a share 0..1, got {self.similar}")
        rng = _rng(seed, first)
        same = round(self.similar * size)
        labels = np.resize(_classes(rng, data, size, self.groups, self.turns), size)
        other = labels.copy()
        # The classes of the pairs that differ are passed on to the next pair.
        other[same:] = np.roll(labels[same:], 1)
        similar = other == labels
        chosen = [_members(rng, data, label, 2) for label in labels]
        a, b = np.stack(chosen, axis=1)
        b[~similar] = [_members(rng, data, label, 1)[0] for label in other[~similar]]
        return {
            "a": _pictures(data, a, labels),
            "b": _pictures(data, b, other),
            "similar": similar,
            "label": labels.astype(np.int32),
        }


@dataclass(frozen=True)
class Captions:
    """Texts with their pictures: `a`, bytes of a text, and `b`, the picture it belongs to."""

    length: int = 64
    """bytes of a text; as the text tower's"""
    words: int = 0
    """up to this many further words follow the title"""

    def draw(self, data: Captioned, seed: int, first: int, size: int) -> Batch:
        """Draw different pictures, one title for each, and some of its words."""
        if size > len(data):
            raise ValueError(f"batch_size: expected at most {len(data)} pictures, got {size}")
        rng = _rng(seed, first)
        chosen = rng.permutation(len(data))[:size]
        texts = []
        for one in chosen:
            title = data.titles[one][rng.integers(len(data.titles[one]))]
            count = min(int(rng.integers(self.words + 1)), len(data.words[one]))
            more = [data.words[one][place] for place in rng.permutation(len(data.words[one]))]
            texts.append(" ".join([title, *more[:count]]))
        return {"a": text.encode(texts, self.length), "b": data.pictures[chosen]}


class Batches:
    """The endless iterator of the batches of a sampling; it can be saved and continued.

    Args:
        sampling: how to draw.
        data: what to draw from.
        size: samples in a batch.
        seed: of the run.
        shard: (i, n), this host's number and the number of hosts: it gets the i-th of n equal parts
            of every batch.
    """

    def __init__(
        self,
        sampling: Sampling,
        data: Any,
        size: int,
        seed: int,
        shard: tuple[int, int] = (0, 1),
    ):
        self.damaged: dict[str, int] = {}
        self._sampling = sampling
        self._data = data
        self._size = size
        self._seed = seed
        host, hosts = shard
        self._rows = slice(host * size // hosts, (host + 1) * size // hosts)
        self._next = 0

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Batch:
        first = self._next
        batch = self._sampling.draw(self._data, self._seed, first, self._size)
        self._next += self._size
        batch |= {"index": np.arange(first, self._next).astype(np.uint32)}
        return {name: value[self._rows] for name, value in batch.items()}

    def get_state(self) -> dict[str, Any]:
        """Give what `set_state` needs to continue with the next batch; JSON holds it."""
        return {"next": self._next, "seed": self._seed}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where `get_state` was called.

        Raises:
            ValueError: the state is of another seed, or no state.
        """
        if not isinstance(state.get("next"), int) or "seed" not in state:
            raise ValueError(f"state: expected what get_state gave, got {state}")
        if state["seed"] != self._seed:
            raise ValueError(f"state: of seed {state['seed']}, but the batches have {self._seed}")
        self._next = state["next"]

    def close(self) -> None:
        """Do nothing: no batch is prepared ahead."""


def _rng(seed: int, first: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, first])))


def _classes(
    rng: np.random.Generator, data: Examples, count: int, groups: int, turns: bool
) -> np.ndarray:
    """Draw `count` different classes, or all in any order where there are fewer.

    Class c turned n times is number c + n * classes.
    """
    own = len(data.names)
    numbers = np.arange(own * (4 if turns else 1))
    if groups:
        if not data.groups:
            raise ValueError(f"groups: the data has none, got {groups}")
        # A turned alphabet is another alphabet.
        names, group = np.unique(data.groups, return_inverse=True)
        group = group[numbers % own] + numbers // own * len(names)
        chosen = rng.permutation(group.max() + 1)
        within = np.cumsum(np.bincount(group)[chosen])
        enough = max(groups, int(np.searchsorted(within, count)) + 1)
        numbers = numbers[np.isin(group, chosen[:enough])]
    return rng.permutation(numbers)[:count]


def _members(
    rng: np.random.Generator, data: Examples, label: int | np.integer, count: int
) -> np.ndarray:
    """Draw `count` different pictures of a class."""
    members = data.members[label % len(data.names)]
    if len(members) < count:
        name = data.names[label % len(data.names)]
        raise ValueError(f"class {name}: needs {count} pictures, has {len(members)}")
    return rng.permutation(members)[:count]


def _pictures(data: Examples, numbers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Give pictures, each turned as its class is."""
    pictures = data.pictures[numbers]
    turns = labels // len(data.names)
    for turn in range(1, 4):
        which = turns == turn
        pictures[which] = np.rot90(pictures[which], turn, axes=(1, 2))
    return pictures
