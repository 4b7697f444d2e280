"""Choosing tracking constants: many settings at once through annotated clips, by `vmap`.

The constants of a tracker (`tracker.hyper()`) are data, so one compiled step runs all settings
side by side. Choose on training clips, never on those that an evaluation reports.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from siamjax.data.tracks import Track
from siamjax.evaluate import ope
from siamjax.track.zoo import Tracker
from siamjax.typing import Variables


class Found(NamedTuple):
    """The settings tried, best first."""

    settings: list[dict[str, float]]
    success_auc: Float[np.ndarray, " n"]
    """Mean over the clips, one a setting."""


def draw(
    tracker: Tracker, ranges: Mapping[str, tuple[float, float]], count: int, seed: int = 0
) -> Any:
    """Draw settings, uniform in `ranges`; number 0 is the preset.

    Args:
        tracker: its `hyper()` names the constants.
        ranges: lowest and highest value by constant; the others stay at the preset.
        count: settings, the preset included.
        seed: same seed, same settings.

    Returns:
        The tracker's `Hyper` with float32[count] in each field.

    Raises:
        ValueError: `count` under 1 or a constant that the tracker does not have.
    """
    preset = tracker.hyper()
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    strange = sorted(set(ranges) - set(preset._fields))
    if strange:
        known = ", ".join(preset._fields)
        raise ValueError(f"ranges: no constant {', '.join(strange)}; known are {known}")
    random = np.random.default_rng(seed)
    values = {}
    for name, value in preset._asdict().items():
        drawn = np.full(count, value, np.float32)
        if name in ranges:
            drawn[1:] = random.uniform(*ranges[name], count - 1)
        values[name] = drawn
    return type(preset)(**values)


def search(
    tracker: Tracker,
    variables: Variables,
    tracks: Sequence[Track],
    settings: Any,
    on_clip: Callable[[str, Float[np.ndarray, " n"]], None] | None = None,
) -> Found:
    """Follow every clip with every setting and rank the settings by mean success.

    Args:
        tracker: whose constants are chosen.
        variables: its weights.
        tracks: annotated clips; the first frame's truth starts each.
        settings: from `draw`, or any `Hyper` with a leading axis.
        on_clip: told each clip's name and success AUC by setting.

    Raises:
        ValueError: no clips.
    """
    if not tracks:
        raise ValueError("tracks: expected at least one clip")
    settings = jax.tree.map(jnp.asarray, settings)
    init = jax.vmap(tracker.init, (None, None, None, 0))
    step = jax.jit(jax.vmap(tracker.step, (None, 0, None, 0)))
    scores = []
    for track in tracks:
        frames = iter(track.media)
        first = np.asarray(track.boxes[0], np.float32)
        state = init(variables, jnp.asarray(next(frames)), first, settings)
        count = jax.tree.leaves(settings)[0].shape[0]
        boxes = [jnp.broadcast_to(first, (count, 4))]
        for frame in frames:
            state, out = step(variables, state, frame, settings)
            boxes.append(out.box)
        found = np.asarray(jnp.stack(boxes, axis=1))
        score = functools.partial(ope.score, track.boxes)
        auc = np.array([score(one).success_auc for one in found])
        scores.append(auc)
        if on_clip is not None:
            on_clip(track.name, auc)
    mean = np.mean(scores, axis=0)
    order = np.argsort(-mean, kind="stable")
    names = settings._fields
    columns = [np.asarray(column) for column in settings]
    tried = [
        {name: float(column[i]) for name, column in zip(names, columns, strict=True)} for i in order
    ]
    return Found(tried, mean[order])
