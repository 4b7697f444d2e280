"""A trained tracker as another's teacher: its answers to every pair join the batch.

The teacher runs inside the compiled step, on the very crops that the student sees. Its points must
lie where the student's do: it is shown the search crops moved by whole pixels, which leaves at most
half a pixel between them, and its answers stay its own, none interpolated. Edges that come into
view repeat the crop's last row and column.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from siamjax import weights
from siamjax.track.points import PointTracker
from siamjax.train.step import Batch
from siamjax.typing import AnyArray, Array, Variables

Augmentation = Callable[[Any, Batch], Batch]


def teach(
    augment: Augmentation, student: PointTracker, teacher: PointTracker, variables: Variables
) -> Augmentation:
    """Make an augmentation that adds a teacher's answers, `teacher_cls` and `teacher_box`.

    Args:
        augment: gives batches of `template` and `search` crops.
        student: whose points the answers are to lie at.
        teacher: of the same stride and number of points.
        variables: the teacher's.

    Returns:
        `(key, batch) -> batch`; its batches hold besides `teacher_cls` [B, y, x], probabilities,
        and `teacher_box` [B, y, x, 4], (cx, cy, width, height), crop pixels from the centre.

    Raises:
        ValueError: the student does not measure from points.
    """
    if not isinstance(student, PointTracker):
        raise ValueError(f"student: {type(student).__name__} has no points to learn a teacher's at")

    def taught(key: Any, batch: Batch) -> Batch:
        batch = augment(key, batch)
        cls, boxes = answer(student, teacher, variables, batch["template"], batch["search"])
        return {**batch, "teacher_cls": cls, "teacher_box": boxes}

    return taught


@functools.lru_cache(maxsize=1)
def load_teacher(path: Path) -> tuple[PointTracker, Variables]:
    """Load a teacher.

    Raises:
        ValueError: the weights are not those of a tracker that measures from points.
    """
    teacher, variables = weights.load(path)
    if not isinstance(teacher, PointTracker):
        raise ValueError(f"teacher: {path} holds {weights.title(teacher)}, which has no points")
    return teacher, variables


def answer(
    student: PointTracker,
    teacher: PointTracker,
    variables: Variables,
    template: Float[AnyArray, "B k k 3"],
    search: Float[AnyArray, "B s s 3"],
) -> tuple[Float[Array, "B y x"], Float[Array, "B y x 4"]]:
    """Give a teacher's probabilities and boxes at the student's points.

    Raises:
        ValueError: the student's points are not the teacher's, moved.
    """
    shape = jax.eval_shape(
        lambda z, x: teacher.respond(variables, teacher.template(variables, z), x),
        template,
        search,
    )["cls"].shape
    move = offset(student, teacher, shape[1])
    raw = teacher.respond(variables, teacher.template(variables, template), moved(search, move))
    boxes, scores, _ = teacher.proposals(raw)
    boxes = boxes + jnp.array([[[move, move, 0, 0]]], boxes.dtype)
    return scores.reshape(shape[:3]), boxes.reshape(*shape[:3], 4)


def offset(student: PointTracker, teacher: PointTracker, size: int) -> int:
    """Give the whole pixels from the teacher's points to the student's, on both axes."""
    with jax.ensure_compile_time_eval():
        apart = np.asarray(student.points(size)) - np.asarray(teacher.points(size))
    if np.ptp(apart) > 1e-3:
        raise ValueError(
            f"teacher: points as the student's are expected, {size} a side, but they are from"
            f" {apart.min():g} to {apart.max():g} px apart"
        )
    return round(float(apart.flat[0]))


def moved(images: Float[AnyArray, "B s s 3"], pixels: int) -> Float[Array, "B s s 3"]:
    """Cut images anew, `pixels` further right and down; the last row and column are repeated."""
    before, after = max(-pixels, 0), max(pixels, 0)
    grown = jnp.pad(images, ((0, 0), (before, after), (before, after), (0, 0)), mode="edge")
    side = images.shape[1]
    return grown[:, after : after + side, after : after + side]
