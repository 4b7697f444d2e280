"""Killed with -9 while saving and between saves, interrupted, and resumed: the same bits.

The same for a recipe of experiments/ (12 steps of it; with --kills 120 steps), by hand:
python tests/train/test_kill.py siamfc_lite FOLDER [--kills 20] --backbone X.pth --batch-size 4
"""

import contextlib
import os
import random
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
STEPS = ("--steps", "12", "--checkpoint-every", "3", "--log-every", "2", "--pictures-every", "5")
KILLS, EACH = 20, 6
"""Kills at random moments, and the most steps from one to the next."""


class Training:
    """A process of `scripts/train.py`."""

    def __init__(self, recipe: str, out: Path, *more: str):
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(out.parent / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        self._said = out.parent / "stderr.txt"
        with self._said.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(SCRIPT), recipe, "--out", str(out), *STEPS, *more],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def said(self) -> str:
        return self._said.read_text()

    def wait_until(self, condition) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert self.process.poll() is None, f"ended early: {self.said()}"
            assert time.monotonic() < end, "the condition never held"
            time.sleep(0.002)

    def end(self, number: int | None = None) -> tuple[int, str]:
        """Send a signal, if one is given; wait for the end: exit status, standard error."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(timeout=DEADLINE), self.said()


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


def sound(out: Path) -> list[int]:
    """Steps whose checkpoint was finished."""
    return sorted(int(p.name.split(".")[0]) for p in (out / "checkpoints").glob("*.sha256.json"))


def half(out: Path) -> set[tuple[str, int]]:
    """Checkpoints that are being written, or were when a kill came: name and inode."""
    found = set()
    for path in (out / "checkpoints").glob("*.orbax*"):
        with contextlib.suppress(FileNotFoundError):
            found.add((path.name, path.stat().st_ino))
    return found


def check_random(recipe: str, folder: Path, *more: str, kills: int = KILLS) -> int:
    """Kill a training at random moments, every third time while it saves; gives how many were so.

    Raises unless every finished checkpoint outlives every kill (but for the oldest, which make room
    for new ones), each start goes on from the newest, and all ends with an unbroken run's bits.
    """
    more = (*more, "--steps", str(kills * EACH), "--keep", "3")
    status, said = Training(recipe, folder / "whole", *more).end()
    assert status == 0, said
    out, chance, saving, before = folder / "broken", random.Random(0), 0, 0
    for number in range(kills):
        leftover, least = half(out), before + chance.randint(0, EACH - 2)
        run = Training(recipe, out, *more)
        run.wait_until(lambda run=run: "compiling" in run.said())
        if number % 3 == 0:
            run.wait_until(lambda leftover=leftover: half(out) - leftover)
            saving += 1
        else:
            run.wait_until(lambda least=least: last_step(out) >= least)
        time.sleep(chance.uniform(0, 0.05))
        status, said = run.end(signal.SIGKILL)
        assert status == -signal.SIGKILL
        assert not before or f"continuing after step {before} of" in said
        found = sound(out)
        # What was finished is still there, unless newer ones took its place.
        assert before in found or len(found) >= 2 or not before, (before, found)
        before = found[-1] if found else 0
    status, said = Training(recipe, out, *more).end()
    assert status == 0, said
    arrays, lines = result(out)
    wanted, wanted_lines = result(folder / "whole")
    assert lines == wanted_lines
    jax.tree.map(np.testing.assert_array_equal, arrays, wanted)
    return saving


@pytest.mark.multi
@pytest.mark.slow
def test_killed_at_random_moments_ends_with_the_same_bits(tmp_path):
    assert check_random(str(tiny.write(tmp_path)), tmp_path) == 7


@pytest.mark.multi
@pytest.mark.slow
def test_killed_interrupted_and_resumed_ends_with_the_same_bits(tmp_path):
    check(str(tiny.write(tmp_path)), tmp_path)


if __name__ == "__main__":
    recipe, folder, *rest = sys.argv[1:]
    if rest[:1] == ["--kills"]:
        saving = check_random(recipe, Path(folder), *rest[2:], kills=int(rest[1]))
        print(f"{rest[1]} kills, {saving} while saving: equal, bit for bit")
    else:
        check(recipe, Path(folder), *rest)
        print("equal, bit for bit")
