"""Killed with -9 while saving and between saves, interrupted, and resumed: the same bits.

The same for a recipe of experiments/ (12 steps of it), by hand:
python tests/train/test_kill.py siamfc_lite FOLDER --backbone X.pth --batch-size 4
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from siamjax import weights
from siamjax.train import log

SCRIPT = Path(__file__).parents[2] / "scripts" / "train.py"
DEADLINE = 900
STEPS = ("--steps", "12", "--checkpoint-every", "3", "--log-every", "2")


class Training:
    """A process of `scripts/train.py`."""

    def __init__(self, recipe: str, out: Path, *more: str):
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(out.parent / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        self.out = out
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), recipe, "--out", str(out), *STEPS, *more],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until(self, condition) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert self.process.poll() is None, f"ended early: {self.process.stderr.read()}"
            assert time.monotonic() < end, "the condition never held"
            time.sleep(0.002)

    def end(self, number: int | None = None) -> tuple[int, str]:
        """Send a signal, if one is given; wait for the end: exit status, standard error."""
        if number is not None:
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, said


def last_step(out: Path) -> int:
    found = log.read(out / log.FILE)
    return found[-1]["step"] if found else 0


def result(out: Path):
    without = lambda line: {k: v for k, v in line.items() if k != "samples_per_second"}
    arrays = weights.read(out / "weights.npz")[1]
    return arrays, [without(line) for line in log.read(out / log.FILE)]


def check(recipe: str, folder: Path, *more: str) -> None:
    """Train once in one go and once in four pieces; raise unless both end alike."""
    status, said = Training(recipe, folder / "whole", *more).end()
    assert status == 0, said

    out = folder / "broken"
    run = Training(recipe, out, *more)
    run.wait_until(lambda: any((out / "checkpoints").glob("6.orbax*")))  # it is saving
    assert run.end(signal.SIGKILL)[0] == -signal.SIGKILL
    assert not (out / "checkpoints" / "6.sha256.json").exists()

    run = Training(recipe, out, *more)
    run.wait_until(lambda: last_step(out) >= 8)
    status, said = run.end(signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert "continuing after step 3 of 12" in said

    run = Training(recipe, out, *more)
    run.wait_until(lambda: last_step(out) < 8)  # it has begun: the lines after step 6 are gone
    run.wait_until(lambda: last_step(out) >= 8)
    status, said = run.end(signal.SIGINT)
    assert status == 130, said
    assert "continuing after step 6 of 12" in said
    assert "the same command continues it" in said

    status, said = Training(recipe, out, *more).end()
    assert status == 0, said
    arrays, lines = result(out)
    wanted, wanted_lines = result(folder / "whole")
    assert lines == wanted_lines
    assert jax.tree.structure(arrays) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, arrays, wanted)


@pytest.mark.multi
@pytest.mark.slow
def test_killed_interrupted_and_resumed_ends_with_the_same_bits(tmp_path):
    check(str(tiny.write(tmp_path)), tmp_path)


if __name__ == "__main__":
    check(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
    print("equal, bit for bit")
