"""Parts of a network by the path of their parameters: frozen, slowed down, or spared the decay.

A path is the keys joined by "/", as in `backbone/conv1/bn/scale`; patterns are regular expressions
searched anywhere in it (`^backbone/` is the whole backbone, `/bn/` every BatchNorm).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import optax

Rules = Sequence[tuple[str, float]]

BACKBONE = "^backbone/"


@dataclass(frozen=True)
class Unfreeze:
    """From a step on, some layers of the backbone are trained besides those before.

    The optimiser's state is kept (PySOT makes a new one, and so loses the momentum of everything
    else). With AdamW the first steps of these layers are up to three times as long: its bias
    correction counts from the start of the training.
    """

    step: int = 0
    """first step at which they move"""
    layers: tuple[str, ...] = ()
    """names of the backbone's stages, as conv5 or layer4"""
    lr_multiplier: float = 0.1
    """factor on the learning rate of these layers"""


class Phase(NamedTuple):
    """What is trained from one step of a training to the next.

    Attributes:
        start: its first step.
        frozen: patterns of the parameters that are not trained.
        rules: learning-rate factors by pattern.
        layers: stages of the backbone whose BatchNorm follows the batch; None where nothing is
            said of the backbone.
    """

    start: int
    frozen: tuple[str, ...] = ()
    rules: tuple[tuple[str, float], ...] = ()
    layers: tuple[str, ...] | None = None


def phases(stages: Sequence[Unfreeze]) -> list[Phase]:
    """Divide a training by the steps at which layers of the backbone are unfrozen.

    Without stages there is one phase in which everything is trained. With stages the backbone is
    frozen, its BatchNorm by running statistics, except for the layers that the stages reached so
    far name; a layer named twice has the later factor.

    Raises:
        ValueError: a step is negative or not after the one before, or a factor is not positive.
    """
    if not stages:
        return [Phase(0)]
    found = [] if stages[0].step == 0 else [Phase(0, (BACKBONE,), (), ())]
    factors: dict[str, float] = {}
    last = -1
    for stage in stages:
        if stage.step <= last:
            raise ValueError(
                f"unfreeze: expected increasing steps of at least 0, got {stage.step} after {last}"
            )
        if stage.lr_multiplier <= 0:
            raise ValueError(
                f"unfreeze: expected a positive lr_multiplier, got {stage.lr_multiplier}"
            )
        last = stage.step
        factors |= dict.fromkeys(stage.layers, stage.lr_multiplier)
        layers = tuple(factors)
        others = "".join(f"(?!{re.escape(layer)}/)" for layer in layers)
        rules = tuple((f"{BACKBONE}{re.escape(layer)}/", factors[layer]) for layer in layers)
        found.append(Phase(stage.step, (BACKBONE + others,), rules, layers))
    return found


def path_name(path: Sequence[Any]) -> str:
    """Join a jax key path with "/"."""
    return jax.tree_util.keystr(tuple(path), simple=True, separator="/")


def matches(pattern: str, name: str) -> bool:
    """Tell whether a pattern is found anywhere in a path."""
    return re.search(pattern, name) is not None


def paths(params: Any) -> list[str]:
    """List the paths of all parameters."""
    return [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]


def stop(params: Any, frozen: Sequence[str]) -> Any:
    """Stop the gradient of the parameters whose path matches one of `frozen`.

    Nothing is computed for them, and they do not enter the gradient's norm.
    """
    return _by_path(
        params, lambda name, leaf: jax.lax.stop_gradient(leaf) if _any(frozen, name) else leaf
    )


def multipliers(params: Any, rules: Rules) -> Any:
    """Return the factor of each parameter: that of the first rule that matches, else 1."""
    return _by_path(
        params,
        lambda name, _: next((factor for rule, factor in rules if matches(rule, name)), 1.0),
    )


def scale_by_path(rules: Rules) -> optax.GradientTransformation:
    """Multiply the updates of each parameter by the factor of the first matching rule.

    Put last in a chain it multiplies the learning rate; a factor of 0 holds a parameter exactly.
    """

    def init(params):
        del params
        return optax.EmptyState()

    def update(updates, state, params=None):
        del params
        factors = multipliers(updates, rules)
        return jax.tree.map(lambda one, factor: one * factor, updates, factors), state

    return optax.GradientTransformation(init, update)


def decayed(params: Any) -> Any:
    """Mask of the parameters that weight decay shrinks: those of more than one axis.

    Biases and the scales of BatchNorm are spared.
    """
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def check_patterns(params: Any, patterns: Sequence[str]) -> None:
    """Raise ValueError for a pattern that is no regular expression or matches no parameter."""
    names = paths(params)
    for pattern in patterns:
        try:
            found = any(matches(pattern, name) for name in names)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        if not found:
            raise ValueError(
                f"{pattern!r} matches no parameter; paths look like {', '.join(names[:3])}"
            )


def _any(patterns: Sequence[str], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)


def _by_path(tree: Any, function: Callable[[str, Any], Any]) -> Any:
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: function(path_name(path), leaf), tree
    )
