"""Fine-tuning: a training that starts from the weights of a tracker, some parts of it anew."""

import functools
from dataclasses import dataclass
from typing import Any

import jax

from siamjax import weights
from siamjax.train import freeze
from siamjax.train.recipe import Recipe
from siamjax.typing import Variables


@dataclass(frozen=True, kw_only=True)
class FineTune(Recipe):
    """A training that goes on from weights that exist."""

    start: str = "default"
    """weights to start from: a bundled name, or the path of a .npz file (siamjax convert)"""
    fresh: tuple[str, ...] = ()
    """patterns of the paths of parameters that start anew, not from `start`, as ^head/"""
    tracker: Any = None
    """what is trained, where it is not the tracker of `start`: parts that its weights do not have
    are to be named in `fresh`"""

    def subject(self) -> Any:
        """Give the tracker: that of `start`, if no other is named."""
        return _load(self.start)[0] if self.tracker is None else self.tracker

    def begin(self, fresh: Variables) -> Variables:
        """Put the weights of `start` in place of fresh ones, but for the parts named `fresh`.

        Raises:
            ValueError: they do not fit, or a pattern matches nothing.
        """
        freeze.check_patterns(fresh["params"], self.fresh)
        stored = {
            freeze.path_name(path): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(_load(self.start)[1])
        }
        missing: list[str] = []

        def choose(path: Any, leaf: Any) -> Any:
            kind, _, name = freeze.path_name(path).partition("/")
            if any(freeze.matches(pattern, name) for pattern in self.fresh):
                return leaf
            found = stored.get(f"{kind}/{name}")
            if found is None or found.shape != leaf.shape:
                missing.append(name)
                return leaf
            return found

        chosen = jax.tree_util.tree_map_with_path(choose, fresh)
        if missing:
            raise ValueError(
                f"start: {self.start} has no {missing[0]} of this shape, nor {len(missing) - 1}"
                " others; name them in fresh"
            )
        return chosen


@functools.lru_cache(maxsize=1)
def _load(start: str) -> tuple[Any, Variables]:
    return weights.load(start)
