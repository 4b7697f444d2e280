"""Choosing tracking constants: many settings at once through annotated clips, by `vmap`.

The constants of a tracker (`tracker.hyper()`) are data, so one compiled step runs all settings
side by side, each with its own state: a setting moves the search windows, so outputs recorded with
another setting would not do. Choose on training clips, never on those that an evaluation reports.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from siamjax.data.tracks import Track
from siamjax.evaluate.onepass import run_track
from siamjax.evaluate.run import evaluate_boxes
from siamjax.track import proposals, pyramid
from siamjax.track.zoo import Tracker
from siamjax.typing import Variables

Ranges = Mapping[str, tuple[float, float]]

RANGES: dict[type, Ranges] = {
    pyramid.Hyper: {
        "scale_penalty": (0.93, 1.0),
        "scale_lr": (0.4, 0.9),
        "window_influence": (0.15, 0.5),
    },
    proposals.Hyper: {
        "penalty_k": (0.0, 0.5),
        "window_influence": (0.1, 0.8),
        "lr": (0.2, 0.6),
    },
}
"""What is searched by default. The step between SiamFC's scales is left alone: a pyramid of
templates is trained for its own. The others are the grid of PySOT's `hp_search.py`, widened to
hold the constants that its models were published with."""


class Found(NamedTuple):
    """The settings tried, best first."""

    settings: list[dict[str, float]]
    success_auc: Float[np.ndarray, " n"]
    """Mean over the clips, one a setting."""
    preset_auc: float
    """Of the first setting given, which `draw` makes the preset."""
    seconds: float
    """Spent on all settings, decoding included, from the answer for frame 1 to the last one of
    each clip: without compiling."""

    def hyper(self, tracker: Tracker, index: int = 0) -> Any:
        """Give a setting, by default the best, as `tracker.step` takes it."""
        return tracker.hyper()._replace(**self.settings[index])


def ranges(tracker: Tracker) -> Ranges:
    """Give the tracker's default ranges, by constant.

    Raises:
        ValueError: its family has none.
    """
    kind = type(tracker.hyper())
    if kind not in RANGES:
        raise ValueError(f"tracker: no default ranges for {type(tracker).__name__}")
    return RANGES[kind]


def draw(tracker: Tracker, within: Ranges, count: int, seed: int = 0) -> Any:
    """Draw settings, uniform in their ranges; number 0 is the preset.

    Args:
        tracker: its `hyper()` names the constants.
        within: lowest and highest value by constant; the others stay at the preset.
        count: settings, the preset included.
        seed: same seed, same settings.

    Returns:
        The tracker's `Hyper` with float32[count] in each field.

    Raises:
        ValueError: `count` under 1, a constant that the tracker does not have, or a range that is
            not two finite numbers in order.
    """
    preset = tracker.hyper()
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    strange = sorted(set(within) - set(preset._fields))
    if strange:
        known = ", ".join(preset._fields)
        raise ValueError(f"ranges: no constant {', '.join(strange)}; known are {known}")
    for name, (low, high) in within.items():
        if not -np.inf < low <= high < np.inf:
            raise ValueError(f"ranges: {name}: expected two numbers in order, got {low} and {high}")
    random = np.random.default_rng(seed)
    values = {}
    for name, value in preset._asdict().items():
        drawn = np.full(count, value, np.float32)
        if name in within:
            drawn[1:] = random.uniform(*within[name], count - 1)
        values[name] = drawn
    return type(preset)(**values)


def search(
    tracker: Tracker,
    variables: Variables,
    tracks: Sequence[Track],
    settings: Any,
    *,
    on_clip: Callable[[str, Float[np.ndarray, " n"]], None] | None = None,
    on_frame: Callable[[str, int, int], None] | None = None,
) -> Found:
    """Follow every clip with every setting and rank the settings by mean success.

    A setting's boxes are those of `evaluate.run_track` with it.

    Args:
        tracker: whose constants are chosen.
        variables: its weights.
        tracks: annotated clips; the first frame's truth starts each.
        settings: from `draw`, or any `Hyper` with a leading axis.
        on_clip: told each clip's name and success AUC by setting.
        on_frame: told (clip, frames done, frames of the clip) after every frame.

    Raises:
        ValueError: no clips, or one that ends early.
    """
    if not tracks:
        raise ValueError("tracks: expected at least one clip")
    settings = jax.tree.map(jnp.asarray, settings)
    scores, seconds = [], 0.0
    for track in tracks:
        boxes, spent = _follow(tracker, variables, track, settings, on_frame)
        seconds += spent
        scores.append(np.array([evaluate_boxes(track, one).success_auc for one in boxes]))
        if on_clip is not None:
            on_clip(track.name, scores[-1])
    mean = np.mean(scores, axis=0)
    order = np.argsort(-mean, kind="stable")
    columns = {name: np.asarray(column) for name, column in settings._asdict().items()}
    tried = [{name: float(column[i]) for name, column in columns.items()} for i in order]
    return Found(tried, mean[order], float(mean[0]), seconds)


def alone(
    tracker: Tracker, variables: Variables, tracks: Sequence[Track], hyper: Any
) -> tuple[float, float]:
    """Run one setting by itself, as an evaluation would.

    Returns:
        Its mean success AUC, and the seconds spent as in `Found.seconds`.
    """
    runs = [run_track(track, tracker, variables, hyper=hyper) for track in tracks]
    pairs = zip(tracks, runs, strict=True)
    auc = np.mean([evaluate_boxes(track, run.boxes).success_auc for track, run in pairs])
    return float(auc), sum(run.seconds for run in runs)


def _follow(
    tracker: Tracker,
    variables: Variables,
    track: Track,
    settings: Any,
    on_frame: Callable[[str, int, int], None] | None,
) -> tuple[Float[np.ndarray, "n T 4"], float]:
    """Follow one clip with every setting: boxes, and seconds after the first step."""
    init = jax.vmap(tracker.init, (None, None, None, 0))
    step = jax.vmap(tracker.step, (None, 0, None, 0))
    total, count = len(track.boxes), jax.tree.leaves(settings)[0].shape[0]
    boxes = np.empty((count, total, 4), np.float32)
    boxes[:, 0] = track.boxes[0]
    frames = iter(track.media)
    state: Any = None
    start = 0.0
    for index in range(total):
        frame = next(frames, None)
        if frame is None:
            raise ValueError(f"{track.name}: ends before frame {index} of {total}")
        if index == 0:
            state = init(variables, jnp.asarray(frame), jnp.asarray(boxes[0, 0]), settings)
            continue
        state, out = step(variables, state, frame, settings)
        valid = np.asarray(out.valid)[:, None]
        boxes[:, index] = np.where(valid, np.asarray(out.box), boxes[:, index - 1])
        start = time.perf_counter() if index == 1 else start
        if on_frame is not None:
            on_frame(track.name, index + 1, total)
    seconds = time.perf_counter() - start if total > 1 else 0.0
    return boxes.astype(np.float64).round(4), seconds
