"""Pictures of training pairs: template, search with boxes, labels, and the network's response.

Boxes: the truth in green, the best proposal in orange. A grey panel in place of labels says that
the search shows another target.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from siamjax import draw, geometry, losses
from siamjax.track import point_loss, rpn_loss, siamfc_loss
from siamjax.track.points import PointTracker
from siamjax.track.siamfc import SiamFC
from siamjax.track.siamrpn import SiamRPN
from siamjax.train.step import Batch
from siamjax.typing import Array, Variables

PAIRS = 4
TRUTH, FOUND = (60, 210, 90), (255, 150, 0)


class Painter:
    """Draws the first pairs of a batch; compiled once.

    Args:
        tracker: what is trained, as it is set in training.
        augment: makes its inputs of a host batch.
        pairs: how many are drawn.
    """

    def __init__(self, tracker: Any, augment: Callable[[Any, Batch], Batch], pairs: int = PAIRS):
        self._pairs = pairs
        self._look = jax.jit(functools.partial(_look, tracker, augment))

    def __call__(
        self, variables: Variables, batch: Mapping[str, Any], key: Any
    ) -> UInt8[np.ndarray, "H W 3"]:
        """Draw.

        Args:
            variables: the network's.
            batch: of the host, before the augmentation.
            key: of the augmentation.

        Returns:
            A row a pair, RGB.
        """
        first = {name: np.asarray(value)[: self._pairs] for name, value in batch.items()}
        seen = jax.device_get(self._look(variables, first, key))
        rows = [
            {name: np.asarray(value)[place] for name, value in seen.items()}
            for place in range(len(seen["positive"]))
        ]
        return np.concatenate([panels(one) for one in rows])


def _look(
    tracker: Any, augment: Callable[[Any, Batch], Batch], variables: Variables, batch: Any, key: Any
) -> dict[str, Array]:
    """Give pictures, boxes, labels and responses of a batch; `best` where boxes are proposed."""
    batch = augment(key, batch)
    kept = ("template", "template_box", "search", "search_box", "positive")
    seen = {name: jnp.asarray(batch[name]) for name in kept}
    params, stats = variables["params"], variables.get("batch_stats", {})
    center = geometry.pixel_center(seen["search_box"]) - (seen["search"].shape[1] - 1) / 2
    if isinstance(tracker, SiamFC):
        response, _ = siamfc_loss.responses(tracker, params, stats, batch, False, None)
        label = functools.partial(
            losses.logistic_labels,
            response.shape[-1],
            tracker.stride,
            r_pos=tracker.label_radius,
        )
        reach = (response.shape[-1] - 1) / 2 * tracker.stride
        seen["window"] = _window(seen, -jnp.full(2, reach), jnp.full(2, reach), response.shape[-1])
        return seen | {"response": response.max(1), "labels": jax.vmap(label)(center)}
    if not isinstance(tracker, SiamRPN | PointTracker):
        return seen
    raw, _ = rpn_loss.forward(tracker, params, stats, batch, False, None)
    boxes, scores, _ = tracker.proposals(raw)
    cells = raw["cls"].shape[1]
    seen["response"] = scores.reshape(len(scores), -1, cells, cells).max(1)
    best = jnp.take_along_axis(boxes, scores.argmax(1)[:, None, None], axis=1)[:, 0]
    middle = best[:, :2] + (seen["search"].shape[1] - 1) / 2
    seen["best"] = jnp.asarray(geometry.from_pixel_center(middle, best[:, 2:]))
    if isinstance(tracker, SiamRPN):
        places = tracker.grid(cells)[:, :, 0, :2]
        drawn = rpn_loss.draw(tracker, batch, cells, key, None)
        seen["labels"] = drawn.labels.max(-1).astype(jnp.float32)
    else:
        places = tracker.points(cells)
        size = seen["search_box"][:, 2:]
        target, ground = point_loss.labels(tracker.points(cells), center, size, seen["positive"])
        seen["labels"] = target.astype(jnp.float32) - (~(target | ground)).astype(jnp.float32) / 2
    seen["window"] = _window(seen, places[0, 0], places[-1, -1], cells)
    return seen


def _window(
    seen: Mapping[str, Array], first: Float[Array, "2"], last: Float[Array, "2"], cells: int
) -> Float[Array, "B 4"]:
    """Give the box of a search crop that the cells cover edge to edge.

    Args:
        seen: with the search crops.
        first: centre (x, y) of the first cell, crop pixels from the crop's centre.
        last: that of the last cell.
        cells: in a row.
    """
    step = (last - first) / (cells - 1)
    corner = first - step / 2 + seen["search"].shape[1] / 2
    return jnp.tile(jnp.concatenate([corner, step * cells])[None], (len(seen["search"]), 1))


def panels(one: Mapping[str, Any]) -> UInt8[np.ndarray, "h w 3"]:
    """Draw one pair from left to right, filled up to the height of the search.

    Args:
        one: `template`, `search` [s, s, 3] and their boxes `template_box`, `search_box`,
            `positive`; where there are any, `best`, the best proposal, and over `window` of the
            search `labels` and `response` [y, x].
    """
    search = _pixels(one["search"])
    template = draw.boxes(
        _pixels(one["template"]), one["template_box"][None], labels=[""], colors=[TRUTH]
    )
    boxes, colors = [one["search_box"]] if one["positive"] else [], [TRUTH]
    if "best" in one:
        boxes.append(one["best"])
        colors = [*colors[: len(boxes) - 1], FOUND]
    found = draw.boxes(
        search, np.reshape(boxes, (-1, 4)), labels=[""] * len(boxes), colors=colors[: len(boxes)]
    )
    room = np.zeros((search.shape[0] - template.shape[0], template.shape[1], 3), np.uint8)
    drawn = [np.concatenate([template, room]), found]
    if "labels" in one:
        shown = draw.heatmap(search, one["labels"], one["window"])
        drawn.append(shown if one["positive"] else np.full_like(search, 128))
    if "response" in one:
        drawn.append(draw.heatmap(search, one["response"], one["window"]))
    return np.concatenate(drawn, axis=1)


def _pixels(picture: Float[np.ndarray, "s s 3"]) -> UInt8[np.ndarray, "s s 3"]:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
