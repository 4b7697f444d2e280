"""Learning rates against siamfc-pytorch's table and values computed by hand."""

import jax
import numpy as np
import pytest

from siamjax.train.schedule import Constant, Exponential, WarmupCosine

# golden/train/lr_schedules.json, siamfc_pytorch: epochs 0, 1, 2, 25 and 49.
SIAMFC = {
    0: 0.01,
    1: 0.008709635899560806,
    2: 0.007585775750291837,
    25: 0.00031622776601683745,
    49: 1.1481536214968795e-05,
}


def test_exponential_is_the_table_of_siamfc_pytorch():
    table = Exponential().table()
    assert len(table) == 50
    for epoch, rate in SIAMFC.items():
        assert table[epoch] == pytest.approx(rate, rel=1e-12)
    schedule = jax.jit(Exponential().build(50 * 7))
    for epoch, rate in SIAMFC.items():
        for step in (7 * epoch, 7 * epoch + 6):
            assert float(schedule(step)) == pytest.approx(rate, rel=1e-6)
    assert float(schedule(10_000)) == pytest.approx(SIAMFC[49], rel=1e-6)


def test_exponential_over_steps_that_are_not_whole_epochs():
    schedule = Exponential(1.0, 0.25, epochs=2).build(5)
    np.testing.assert_allclose([schedule(s) for s in range(6)], [1, 1, 1, 0.5, 0.5, 0.5])


def test_warmup_then_cosine():
    schedule = jax.jit(WarmupCosine(peak=1.0, last=0.1, warmup=0.25).build(8))
    got = [float(schedule(step)) for step in (0, 1, 2, 5, 8, 99)]
    np.testing.assert_allclose(got, [0.5, 1.0, 1.0, 0.55, 0.1, 0.1], rtol=1e-6)


def test_cosine_without_warmup_and_constant():
    schedule = WarmupCosine(peak=0.4, warmup=0.0).build(2)
    np.testing.assert_allclose([schedule(s) for s in range(3)], [0.4, 0.2, 0.0], atol=1e-7)
    assert Constant(0.3).build(7)(5) == 0.3


@pytest.mark.parametrize(
    ("schedule", "steps", "message"),
    [
        (Constant(0.0), 3, "rate"),
        (Constant(float("nan")), 3, "rate"),
        (Constant(0.1), 0, "at least one"),
        (Exponential(last=-1.0), 3, "last"),
        (Exponential(epochs=0), 3, "at least one"),
        (WarmupCosine(warmup=1.0), 3, "warmup"),
    ],
)
def test_refused(schedule, steps, message):
    with pytest.raises(ValueError, match=message):
        schedule.build(steps)
