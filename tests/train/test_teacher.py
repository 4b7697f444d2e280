import dataclasses
import inspect

import jax
import numpy as np
import pytest
from models.nanotrack_numpy import draw

from siamjax import weights
from siamjax.track import zoo
from siamjax.track.anchorfree import AnchorFree
from siamjax.track.nanotrack import NanoTrack
from siamjax.train import teacher

STUDENT = AnchorFree()
NANO = NanoTrack(version=2)
TINY = AnchorFree(
    backbone="alexnet", layers=("conv5",), stride=8, offset=-3.0, width=1 / 48, hidden=4, depth=0,
    instance=151,
)  # fmt: skip


def test_moved_crops_repeat_the_last_row_and_column():
    image = np.tile(np.arange(5, dtype=np.float32)[None, :, None, None], (1, 1, 5, 3))
    rows = lambda a: a[0, :, 2, 0].tolist()
    assert rows(teacher.moved(image, 2)) == [2, 3, 4, 4, 4]
    assert rows(teacher.moved(image, -1)) == [0, 0, 1, 2, 3]
    columns = teacher.moved(image.swapaxes(1, 2), 2)
    assert columns[0, 2, :, 0].tolist() == [2, 3, 4, 4, 4]
    np.testing.assert_array_equal(teacher.moved(image, 0), image)


def test_pixels_between_the_grids():
    assert teacher.offset(STUDENT, NANO, 16) == 8  # 8.5
    assert teacher.offset(dataclasses.replace(STUDENT, offset=-8.0), NANO, 16) == 0
    assert teacher.offset(STUDENT, dataclasses.replace(NANO, version=3), 15) == 0  # 0.5
    with pytest.raises(ValueError, match="teacher: points as the student's are expected, 9 a side"):
        teacher.offset(TINY, NANO, 9)


def test_answers_lie_at_the_students_points():
    """What the teacher says of crops moved by 4 px, its boxes moved back."""
    variables = draw(TINY.net, 127, 151)
    rng = np.random.default_rng(0)
    image = lambda side: rng.uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    batch = {"template": image(127), "search": image(151), "positive": np.array([True, False])}
    augment = lambda key, batch: {**batch, "search": 255 - batch["search"]}
    student = dataclasses.replace(TINY, offset=1.0)
    taught = teacher.teach(augment, student, TINY, variables)
    shifted = np.pad(255 - batch["search"], ((0, 0), (0, 4), (0, 4), (0, 0)), mode="edge")
    shifted = shifted[:, 4:, 4:]

    @jax.jit
    def run(batch, shifted):
        raw = TINY.respond(variables, TINY.template(variables, batch["template"]), shifted)
        return taught(jax.random.key(0), batch), raw

    got, raw = run(batch, shifted)
    assert set(got) == {*batch, "teacher_cls", "teacher_box"}
    np.testing.assert_array_equal(got["search"], 255 - batch["search"])
    cls, loc = np.float64(raw["cls"])[..., 0, :], np.float64(raw["loc"])[..., 0, :]
    assert cls.shape == (2, 9, 9, 2)
    probability = 1 / (1 + np.exp(cls[..., 0] - cls[..., 1]))
    np.testing.assert_allclose(got["teacher_cls"], probability, rtol=0, atol=1e-5)
    assert probability.std() > 1e-3
    row, column = 1, 7
    left, top, right, bottom = loc[1, row, column]
    px, py = 8 * (column - 4) + 1, 8 * (row - 4) + 1  # the student's point
    wanted = [px + (right - left) / 2, py + (bottom - top) / 2, left + right, top + bottom]
    np.testing.assert_allclose(got["teacher_box"][1, row, column], wanted, rtol=1e-4)


def test_both_measure_from_points():
    with pytest.raises(ValueError, match="holds siamfc-lite, which has no points"):
        teacher.load_teacher(weights.locate("siamfc-lite"))
    found, _ = teacher.load_teacher(weights.locate("anchorfree-lite"))
    assert found == zoo.anchorfree()
    teach = inspect.unwrap(teacher.teach)
    with pytest.raises(ValueError, match="student: SiamFC has no points"):
        teach(lambda key, batch: batch, zoo.siamfc(), NANO, {})
