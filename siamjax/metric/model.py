"""Siamese and pseudo-Siamese networks: two inputs, comparable embeddings.

A Siamese network embeds both sides by one tower, shared weights; a pseudo-Siamese one has a tower
for each side, weights of its own, and one width of embedding. Source: Bromley et al., "Signature
Verification using a Siamese Time Delay Neural Network", 1993; Zagoruyko and Komodakis, "Learning to
Compare Image Patches via Convolutional Neural Networks", 2015, section 3.1 (both forms).
"""

import abc
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array as AnyDtype
from jaxtyping import Float, Shaped

from siamjax.metric import objective
from siamjax.metric.distances import DISTANCES
from siamjax.metric.towers import Tower
from siamjax.typing import AnyArray, Array, Params, Variables

Side = Literal["a", "b"]


@dataclass(frozen=True, kw_only=True)
class Towers(abc.ABC):
    """What models of two inputs share; a configuration alone, equal ones compile once.

    Attributes:
        loss_name: of pairs that are similar or not, "contrastive", "hadsell" or "logistic"; of
            partners among a batch, "nt-xent", "info-nce" or "siglip"; of classes, "triplet" or
            "arcface" (`siamjax.losses`).
        distance_name: "euclidean", "squared", "cosine", "manhattan", or "learned", the sum of
            w_i |a_i - b_i| with positive weights that are trained.
        margin: of the losses that have one; of "logistic", the distance at which a pair is as
            likely similar as not, to begin with. In units of the distance, for "arcface" radians.
        mining: of "triplet", "semi-hard" or "hard".
        temperature: by which "nt-xent", "info-nce", "siglip", "logistic" and "arcface" divide;
            where it is learned, to begin with.
        learn_temperature: train the temperature, down to 0.01; "arcface" keeps its own.
        classes: of "arcface".
    """

    loss_name: str = "contrastive"
    distance_name: str = "euclidean"
    margin: float = 1.0
    mining: Literal["hard", "semi-hard"] = "semi-hard"
    temperature: float = 0.1
    learn_temperature: bool = True
    classes: int = 0

    def __post_init__(self):
        if self.loss_name not in objective.LOSSES:
            raise ValueError(
                f"loss_name: expected one of {objective.LOSSES}, got {self.loss_name!r}"
            )
        known = (*DISTANCES, "learned")
        if self.distance_name not in known:
            raise ValueError(f"distance_name: expected one of {known}, got {self.distance_name!r}")
        if self.distance_name == "learned" and self.loss_name not in objective.OF_DISTANCES:
            raise ValueError(
                f"distance_name: 'learned' needs a loss of {objective.OF_DISTANCES},"
                f" got {self.loss_name!r}, which compares cosines"
            )
        if self.mining not in ("hard", "semi-hard"):
            raise ValueError(f"mining: expected 'hard' or 'semi-hard', got {self.mining!r}")
        if not self.temperature > 0:
            raise ValueError(f"temperature: expected above 0, got {self.temperature}")
        if (self.loss_name == "arcface") != (self.classes > 1):
            raise ValueError(
                f"classes: expected 2 or more for 'arcface' alone, got {self.classes}"
                f" with {self.loss_name!r}"
            )

    @property
    @abc.abstractmethod
    def towers(self) -> dict[str, Tower]:
        """The towers by the name of their weights."""

    @abc.abstractmethod
    def name_of(self, side: str) -> str:
        """Name the tower that embeds a side."""

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return next(iter(self.towers.values())).dim

    @functools.partial(jax.jit, static_argnums=0)
    def init_variables(self, key: AnyDtype) -> dict[str, Any]:
        """Draw fresh weights: `params` and `batch_stats` of each tower, and `params` of `head`."""
        params, stats = {}, {}
        for index, (name, tower) in enumerate(self.towers.items()):
            made = tower.net().init(jax.random.fold_in(key, index), tower.example(2))
            params[name] = made["params"]
            if "batch_stats" in made:
                stats[name] = made["batch_stats"]
        head = objective.init(self, jax.random.fold_in(key, len(self.towers)))
        return {"params": params | ({"head": head} if head else {}), "batch_stats": stats}

    @functools.partial(jax.jit, static_argnums=(0, 3), static_argnames="side")
    def embed(
        self, variables: Variables, inputs: Shaped[AnyArray, "B *n"], side: str = "a"
    ) -> Float[Array, "B D"]:
        """Embed inputs of one side, statistics fixed.

        Args:
            variables: the weights.
            inputs: a batch of what the side's tower takes (`Tower.example`).
            side: "a" or "b".

        Raises:
            ValueError: no such side, or inputs of another shape.
        """
        name = self.name_of(side)
        check_inputs(self.towers[name], inputs, f"inputs of side {side!r}")
        own = _own(variables["params"], variables.get("batch_stats", {}), name)
        return jnp.asarray(self.towers[name].net().apply(own, inputs))

    @functools.partial(jax.jit, static_argnums=0)
    def distance(
        self, variables: Variables, a: Float[AnyArray, "B D"], b: Float[AnyArray, "B D"]
    ) -> Float[Array, "B"]:
        """Measure embeddings row by row; small means similar."""
        return objective.distance(self, variables["params"], a, b)

    @functools.partial(jax.jit, static_argnums=0)
    def distances(
        self, variables: Variables, a: Float[AnyArray, "A D"], b: Float[AnyArray, "B D"]
    ) -> Float[Array, "A B"]:
        """Measure every embedding of `a` against every one of `b`; small means similar."""
        return objective.distances(self, variables["params"], a, b)

    def loss(
        self,
        params: Params,
        stats: Params,
        batch: Mapping[str, AnyArray],
        key: AnyDtype,
        train: bool = True,
        axis_name: str | None = None,
    ) -> tuple[Array, tuple[Params, dict[str, Array]]]:
        """Embed a batch and score it.

        Args:
            params: of the towers and the head.
            stats: the towers' `batch_stats`.
            batch: `a`, inputs of side a, and by the loss: `b`, inputs of side b, row by row, with
                `similar` bool[B] (losses of pairs); `b` with an optional `label` int[B], whose
                equals are no negatives (losses of partners); `label` int[B] (losses of classes).
            key: of dropout.
            train: normalise by the batch, drop out, and return new statistics.
            axis_name: mapped axis over which the batch is split; BatchNorm and the losses then are
                those of the whole batch.

        Returns:
            The loss, and the new statistics with the metrics of `siamjax.metric.objective.score`.

        Raises:
            ValueError: the batch lacks what the loss needs, or holds inputs of another shape.
        """
        wanted = objective.NEEDS[self.loss_name]
        missing = [name for name in wanted if name not in batch]
        if missing:
            raise ValueError(
                f"batch: {self.loss_name!r} needs {', '.join(wanted)}, got {', '.join(batch)}"
            )
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
        sides = {side: batch[side] for side in ("a", "b") if side in wanted}
        embeddings, moved = self._embed_sides(params, stats, sides, key, train, axis_name)
        value, metrics = objective.score(self, params, embeddings, batch, axis_name)
        return value, ({**stats, **moved} if train else stats, metrics)

    def _embed_sides(self, params, stats, sides, key, train, axis_name):
        """Embed each side's inputs; sides of one tower make one batch for its statistics."""
        embeddings, moved = {}, {}
        for index, (name, tower) in enumerate(self.towers.items()):
            group = [side for side in sides if self.name_of(side) == name]
            if not group:
                continue
            for side in group:
                check_inputs(tower, sides[side], f"batch[{side!r}]")
            # Row by row, so that a batch that is split over devices stays where it is.
            x = jnp.stack([jnp.asarray(sides[side]) for side in group], axis=1)
            x = x.reshape(-1, *x.shape[2:])
            found, changed = tower.net(axis_name).apply(
                _own(params, stats, name),
                x,
                train,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.fold_in(key, index)},
            )
            found = jnp.asarray(found).reshape(-1, len(group), tower.dim)
            embeddings |= {side: found[:, i] for i, side in enumerate(group)}
            if name in stats:
                moved[name] = changed["batch_stats"]
        return embeddings, moved


@dataclass(frozen=True)
class Siamese(Towers):
    """One tower for both sides, which may then be exchanged.

    Attributes:
        tower: the tower.
    """

    tower: Tower

    @property
    def towers(self) -> dict[str, Tower]:
        return {"tower": self.tower}

    def name_of(self, side: str) -> str:
        _check_side(side)
        return "tower"


@dataclass(frozen=True)
class PseudoSiamese(Towers):
    """A tower for each side, as for texts and pictures.

    Attributes:
        tower_a: of side a.
        tower_b: of side b, with embeddings of the same width.
    """

    tower_a: Tower
    tower_b: Tower

    def __post_init__(self):
        super().__post_init__()
        if self.tower_a.dim != self.tower_b.dim:
            raise ValueError(
                f"towers: expected one dim, got {self.tower_a.dim} and {self.tower_b.dim}"
            )
        if "b" not in objective.NEEDS[self.loss_name]:
            raise ValueError(f"loss_name: {self.loss_name!r} embeds one side alone, of a Siamese")

    @property
    def towers(self) -> dict[str, Tower]:
        return {"a": self.tower_a, "b": self.tower_b}

    def name_of(self, side: str) -> str:
        _check_side(side)
        return side


def check_inputs(tower: Tower, inputs: AnyArray, name: str) -> None:
    """Refuse inputs that are not a batch of what a tower takes."""
    wanted = tower.example().shape[1:]
    if np.shape(inputs)[1:] != wanted:
        raise ValueError(
            f"{name}: expected [B, {', '.join(map(str, wanted))}], got shape {np.shape(inputs)}"
        )


def _own(params: Params, stats: Params, name: str) -> dict[str, Any]:
    """Give one tower's variables."""
    return {"params": params[name], "batch_stats": stats.get(name, {})}


def _check_side(side: str) -> None:
    if side not in ("a", "b"):
        raise ValueError(f"side: expected 'a' or 'b', got {side!r}")
