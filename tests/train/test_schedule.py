"""Learning rates against siamfc-pytorch's table and values computed by hand."""

import json

import jax
import numpy as np
import pytest

from siamjax.train.schedule import Constant, Exponential, WarmupCosine, WarmupLog

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


# golden/train/lr_schedules.json, the rates that the optimiser of each PySOT recipe gets.
PYSOT = {
    "siamrpn_r50_l234_dwxcorr_8gpu": WarmupLog(1e-3, 5e-3, 5e-4, 5, 20),
    "siamrpn_r50_l234_dwxcorr_otb_8gpu": WarmupLog(1e-3, 5e-3, 2.5e-3, 5, 20),
    "siamrpn_alex_dwxcorr_16gpu": WarmupLog(2.5e-3, 5e-3, 2.5e-4, 5, 50),
}


def test_warmup_and_log_are_pysots():
    table = WarmupLog().table()
    wanted = [0.001, 0.001379729661461215, 0.0019036539387158786, 0.0026265278044037676,
              0.0036238983183884783, 0.005, 0.0042417144912203575]  # fmt: skip
    np.testing.assert_allclose(table[:7], wanted, rtol=1e-12)
    np.testing.assert_allclose(table[-2:], [0.0005893843173967939, 0.0005], rtol=1e-12)
    schedule = jax.jit(WarmupLog().build(20 * 3))
    got = [float(schedule(step)) for step in (0, 2, 3, 14, 15, 59, 999)]
    np.testing.assert_allclose(got, [table[i] for i in (0, 0, 1, 4, 5, 19, 19)], rtol=1e-6)


@pytest.mark.parametrize("name", PYSOT)
def test_whole_tables_of_pysot(shared, name):
    golden = json.loads((shared / "golden" / "train" / "lr_schedules.json").read_text())
    rates = np.array(golden[name]["param_group_lr"])
    np.testing.assert_allclose(PYSOT[name].table(), rates[:, 1], rtol=1e-12)
    np.testing.assert_allclose(rates[:, 0] / rates[:, 1], golden[name]["layers_lr"])
    log = golden["pysot_log"]["lr_spaces"]
    np.testing.assert_allclose(WarmupLog(1.0, 0.02, 0.0004, 0, 12).table(), log, rtol=1e-12)
    epochs = golden["siamfc_pytorch"]["lr"]
    np.testing.assert_allclose(Exponential().table(), epochs, rtol=1e-12)


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
        (WarmupLog(warmup=20), 3, "warmup must be 0 to 19"),
        (WarmupLog(peak=0.0), 3, "peak"),
    ],
)
def test_refused(schedule, steps, message):
    with pytest.raises(ValueError, match=message):
        schedule.build(steps)
