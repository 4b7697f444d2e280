"""Interleaved timing of two sides that compute the same thing.

Both are warmed up, use the same number of threads, and take turns, so that what else the machine
does falls on both alike; the median and the quartiles of each are kept. Times are ms. A turn starts
with a pause and an untimed call: OpenMP's threads spin for a while after PyTorch has finished,
and the call that follows would pay for them (measured: 1.6 times slower).
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

Pass = Literal["forward", "forward+backward"]

_LEAST_SECONDS = 2e-2
"""A sample repeats short calls until it lasts this long: clocks and queues are coarse."""

_PAUSE_SECONDS = 1e-2
"""Between turns."""


@dataclass(frozen=True)
class Row:
    """One line of a benchmark: this library's time and, where compared, the other side's."""

    case: str
    batch: int
    kind: Pass
    ms: float
    spread: tuple[float, float]
    """Lower and upper quartile."""
    other_ms: float | None = None
    other_spread: tuple[float, float] | None = None

    @property
    def ratio(self) -> float | None:
        """How many times faster this library is."""
        return None if self.other_ms is None else self.other_ms / self.ms

    def summary(self) -> dict[str, Any]:
        """Give the JSON form; `torch_ms` is the other side's time, whichever it is."""
        return {
            "case": self.case,
            "batch": self.batch,
            "pass": self.kind,
            "ms": self.ms,
            "torch_ms": self.other_ms,
            "ratio": self.ratio,
        }


def threads() -> int:
    """Give the number of processors that this process may use, which is what JAX uses."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device() -> str:
    """Name the device that JAX computes on."""
    first = jax.devices()[0]
    count = f", {threads()} threads" if first.platform == "cpu" else ""
    return f"{first.platform}: {first.device_kind}{count}"


def precision() -> str:
    """Say how products are computed, on both sides alike."""
    if jax.default_backend() == "cpu":
        return "float32"
    return "float32 values; products in the accelerator's default (TF32 on NVIDIA) on both sides"


def measure(
    sides: Sequence[Callable[[], Any]], repeats: int, calls: int = 1
) -> list[tuple[float, tuple[float, float]]]:
    """Time `sides` in turn.

    Args:
        sides: each runs once and returns when its result is there.
        repeats: samples of each side.
        calls: steps that one run does; times are divided by it.

    Returns:
        For each side the median and the quartiles, ms a step.

    Raises:
        ValueError: `repeats` under 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats: expected at least 1, got {repeats}")
    loops = []
    for side in sides:
        side()
        elapsed = min(_elapsed(side, 1) for _ in range(2))
        loops.append(max(1, min(1000, round(_LEAST_SECONDS / max(elapsed, 1e-9)))))
    samples = [[] for _ in sides]
    for _ in range(repeats):
        for side, count, kept in zip(sides, loops, samples, strict=True):
            time.sleep(_PAUSE_SECONDS)
            side()
            kept.append(_elapsed(side, count) * 1e3 / count / calls)
    quartiles = [np.quantile(kept, (0.5, 0.25, 0.75)) for kept in samples]
    return [(float(m), (float(low), float(high))) for m, low, high in quartiles]


def _elapsed(side: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        side()
    return time.perf_counter() - start


def compare(
    case: str,
    batch: int,
    kind: Pass,
    ours: Callable[[], Any],
    other: Callable[[], Any] | None,
    repeats: int,
    calls: int = 1,
) -> Row:
    """Time this library's side and, where given, the other one, into a row."""
    if other is None:
        ((ms, spread),) = measure([ours], repeats, calls)
        return Row(case, batch, kind, ms, spread)
    mine, theirs = measure([ours, other], repeats, calls)
    return Row(case, batch, kind, *mine, *theirs)


def agree(case: str, ours: Any, other: Any, tolerance: float) -> None:
    """Check that both sides give the same numbers before they are timed.

    Args:
        case: for the message.
        ours: arrays.
        other: as many arrays of the same shapes.
        tolerance: greatest difference, relative to the largest magnitude of each array.

    Raises:
        ValueError: they do not.
    """
    for mine, theirs in zip(ours, other, strict=True):
        mine, theirs = np.asarray(mine, np.float64), np.asarray(theirs, np.float64)
        if mine.shape != theirs.shape:
            raise ValueError(f"{case}: shapes differ, {mine.shape} and {theirs.shape}")
        error = np.abs(mine - theirs).max() / max(np.abs(theirs).max(), 1e-30)
        if not error <= tolerance:
            raise ValueError(
                f"{case}: the two sides differ by {error:.1e} of the largest value, expected at "
                f"most {tolerance:.0e}; nothing was timed"
            )
