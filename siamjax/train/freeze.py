"""Parts of a network by the path of their parameters: frozen, slowed down, or spared the decay.

A path is the keys joined by "/", as in `backbone/conv1/bn/scale`; patterns are regular expressions
searched anywhere in it (`^backbone/` is the whole backbone, `/bn/` every BatchNorm).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax

Rules = Sequence[tuple[str, float]]


def path_name(path: Sequence[Any]) -> str:
    """Join a jax key path with "/"."""
    return jax.tree_util.keystr(tuple(path), simple=True, separator="/")


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
        lambda name, _: next((factor for rule, factor in rules if re.search(rule, name)), 1.0),
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
            found = any(re.search(pattern, name) for name in names)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        if not found:
            raise ValueError(
                f"{pattern!r} matches no parameter; paths look like {', '.join(names[:3])}"
            )


def _any(patterns: Sequence[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _by_path(tree: Any, function: Callable[[str, Any], Any]) -> Any:
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: function(path_name(path), leaf), tree
    )
