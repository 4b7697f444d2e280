"""Losses and overlaps of masks against SiamMask's numbers and NumPy; alike on four devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from siamjax import losses
from siamjax.models.refine import read_masks


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "golden" / "train" / "losses.npz")


def drawn(golden, case):
    """Draw the logits that the numbers were made from."""
    numbers = np.random.RandomState(int(golden[f"{case}/logits_randomstate_seed"]))
    logits = numbers.standard_normal(golden[f"{case}/logits_shape"]).astype(np.float32)
    logits *= np.float32(golden[f"{case}/logits_scale"])
    np.testing.assert_array_equal(logits.ravel()[:16], golden[f"{case}/logits_first16"])
    return logits


def sharp(golden):
    """Logits [2, 9, 127, 127] of all cells, of which `positive` count."""
    logits = drawn(golden, "mask_sharp").reshape(2, 9, 127, 127)
    weight = golden["mask_sharp/weight"].reshape(2, 9)
    mask = golden["mask_sharp/mask"][:, 0] == 1
    cells = np.stack(np.divmod(np.arange(9), 3), axis=1)
    positions = np.broadcast_to(cells, (2, 9, 2))
    return logits, losses.mask_labels(mask, positions, 127, stride=8), weight == 1


def base(golden):
    """The head's logits [1, 25, 25, 3969] and the positions that count, two more beside them."""
    logits = drawn(golden, "mask_base").transpose(0, 2, 3, 1)
    positive = golden["mask_base/pos_flat"]
    cells = np.concatenate([positive, [5, 300]])
    positions = np.stack(np.divmod(cells, 25), axis=1)[None]
    mask = golden["mask_base/mask"][:, 0] == 1
    labels = losses.mask_labels(mask, positions, 127, stride=8, padding=32)
    return logits, positions, labels, np.arange(7)[None] < 5


def check(golden, case, value, rows, others, overlap):
    assert float(value) == pytest.approx(float(golden[f"{case}/loss"]), rel=1e-5)
    first = golden[f"{case}/grad_at_pos_rows"]
    np.testing.assert_allclose(rows[:2], first, rtol=0, atol=1e-4 * np.abs(first).max())
    np.testing.assert_allclose(
        np.linalg.norm(rows, axis=1), golden[f"{case}/grad_row_l2"], rtol=1e-4
    )
    assert not others.any()
    found = [overlap.mean(), (overlap > 0.5).mean(), (overlap > 0.7).mean()]
    np.testing.assert_allclose(found, golden[f"{case}/iou_mean_at5_at7"], rtol=1e-5, atol=1e-7)


def test_golden_sharp(golden):
    logits, labels, positive = sharp(golden)
    np.testing.assert_array_equal(np.flatnonzero(positive), golden["mask_sharp/pos_flat"])
    value, slope = jax.jit(jax.value_and_grad(losses.soft_margin))(logits, labels, positive)
    slope = np.asarray(slope).reshape(18, -1)
    overlap = np.asarray(losses.mask_overlap(logits, labels))[positive]
    which = positive.ravel()
    check(golden, "mask_sharp", value, slope[which], slope[~which], overlap)
    none = losses.soft_margin(logits, labels, np.zeros((2, 9), bool))
    assert float(none) == float(golden["mask_sharp/loss_no_positive"]) == 0


def test_golden_base(golden):
    logits, positions, labels, positive = base(golden)

    def loss(logits):
        return losses.soft_margin(read_masks(logits, positions), labels, positive)

    value, slope = jax.jit(jax.value_and_grad(loss))(logits)
    slope = np.asarray(slope).reshape(625, -1)
    which = np.isin(np.arange(625), golden["mask_base/pos_flat"])
    overlap = np.asarray(losses.mask_overlap(read_masks(logits, positions), labels))[positive]
    check(golden, "mask_base", value, slope[which], slope[~which], overlap)


def test_labels_by_hand():
    mask = np.zeros((2, 10, 10), bool)
    mask[0, 2:5, 3:6] = True
    mask[1, 9, 9] = True
    positions = np.array([[[0, 0], [1, 1]], [[2, 2], [2, 0]]])
    labels = np.asarray(losses.mask_labels(mask, positions, 6, stride=3, padding=1))
    assert labels.shape == (2, 2, 6, 6)
    padded = np.pad(np.where(mask, 1, -1), ((0, 0), (1, 1), (1, 1)))
    for pair, place in np.ndindex(2, 2):
        y, x = 3 * positions[pair, place]
        np.testing.assert_array_equal(labels[pair, place], padded[pair, y : y + 6, x : x + 6])


def test_overlap_by_hand():
    logits = np.float32([[[[1, 0, -1], [2, -1, -1]], [[-1, -1, -1], [-1, -1, -1]]]])
    labels = np.float32([[[[1, 1, 1], [-1, 0, -1]], [[-1, -1, -1], [-1, 0, 0]]]])
    # Found 1, 0, 2 (0 counts), truth the first row: 2 of 4; nothing found where nothing is.
    assert np.asarray(losses.mask_overlap(logits, labels)).tolist() == [[0.5, 0.0]]


def test_split_over_devices():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 3, 5, 5)).astype(np.float32)
    labels = np.sign(rng.normal(size=(4, 3, 5, 5))).astype(np.float32)
    positive = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]], bool)
    expected = np.log1p(np.exp(-labels.astype(float) * logits))[positive].mean()
    value, slope = jax.value_and_grad(losses.soft_margin)(logits, labels, positive)
    assert float(value) == pytest.approx(expected, rel=1e-6)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    split = functools.partial(jax.shard_map, mesh=mesh, in_specs=P("data"))

    def local(logits, labels, positive):
        call = functools.partial(losses.soft_margin, axis_name="data")
        value, slope = jax.value_and_grad(call)(logits, labels, positive)
        return value[None], slope / 4

    values, slopes = jax.jit(split(local, out_specs=(P("data"), P("data"))))(
        logits, labels, jnp.asarray(positive)
    )
    np.testing.assert_allclose(values, np.full(4, expected), rtol=1e-6)
    np.testing.assert_allclose(slopes, slope, rtol=1e-5, atol=1e-8)
