"""Learning rates: small frozen records that build an optax schedule for a number of steps.

Each record is a recipe's setting (and so an option of the command line); `build(steps)` returns a
function from the step to the learning rate, pure and traceable.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import optax


@dataclass(frozen=True)
class Constant:
    """The same learning rate throughout."""

    rate: float = 1e-3
    """learning rate"""

    def build(self, steps: int) -> optax.Schedule:
        """Return the schedule; `steps` does not matter."""
        _check(steps, rate=self.rate)
        return optax.constant_schedule(self.rate)


@dataclass(frozen=True)
class Exponential:
    """A table of learning rates, one per epoch, falling by a constant factor.

    rate(epoch) = first * (last / first) ** (epoch / epochs); `last` itself is never reached.

    Source: siamfc-pytorch, `ExponentialLR` stepped before each epoch (50 epochs, 1e-2 to 1e-5).
    """

    first: float = 1e-2
    """learning rate of epoch 0"""
    last: float = 1e-5
    """learning rate that epoch `epochs` would have"""
    epochs: int = 50
    """number of epochs the steps are divided into"""

    def table(self) -> list[float]:
        """Return the learning rate of each epoch."""
        _check(self.epochs, first=self.first, last=self.last)
        factor = (self.last / self.first) ** (1 / self.epochs)
        return [self.first * factor**epoch for epoch in range(self.epochs)]

    def build(self, steps: int) -> optax.Schedule:
        """Return the schedule over `steps`, which is rounded up to whole epochs."""
        return _by_epoch(self.table(), steps)


@dataclass(frozen=True)
class WarmupLog:
    """A table of learning rates, one per epoch: steps up, then down, both by constant factors.

    Epochs 0 to warmup - 1: first * (peak / first) ** (epoch / warmup), so that the warm-up ends
    below the peak; then from the peak to `last`, both reached, evenly on a logarithmic scale.

    Source: PySOT's schedule "log" after a warm-up of type "step" (20 epochs, 5 of them warm-up).
    Its rates are scaled by `BASE_LR / LR.KWARGS.start_lr`, which halves those written in the
    AlexNet configuration; here the rates are those that the optimiser gets.
    """

    first: float = 1e-3
    """learning rate of epoch 0"""
    peak: float = 5e-3
    """learning rate of the first epoch after the warm-up"""
    last: float = 5e-4
    """learning rate of the last epoch"""
    warmup: int = 5
    """epochs of warm-up; 0 for none"""
    epochs: int = 20
    """number of epochs the steps are divided into, warm-up included"""

    def table(self) -> list[float]:
        """Return the learning rate of each epoch."""
        _check(self.epochs, first=self.first, peak=self.peak, last=self.last)
        if not 0 <= self.warmup < self.epochs:
            raise ValueError(f"warmup must be 0 to {self.epochs - 1} epochs, got {self.warmup}")
        rise = [
            self.first * (self.peak / self.first) ** (epoch / self.warmup)
            for epoch in range(self.warmup)
        ]
        falling = self.epochs - self.warmup
        fall = [
            self.peak * (self.last / self.peak) ** (epoch / max(falling - 1, 1))
            for epoch in range(falling)
        ]
        return rise + fall

    def build(self, steps: int) -> optax.Schedule:
        """Return the schedule over `steps`, which is rounded up to whole epochs."""
        return _by_epoch(self.table(), steps)


@dataclass(frozen=True)
class WarmupCosine:
    """A linear warm-up, then half a cosine down to the last learning rate.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
    equation 5, without restarts.
    """

    peak: float = 1e-3
    """learning rate at the end of the warm-up"""
    last: float = 0.0
    """learning rate at the last step"""
    warmup: float = 0.05
    """length of the warm-up as a share of all steps"""

    def build(self, steps: int) -> optax.Schedule:
        """Return the schedule over `steps`; step 0 already moves."""
        _check(steps, peak=self.peak)
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must be a share in [0, 1), got {self.warmup}")
        rising = math.floor(self.warmup * steps)

        def schedule(step):
            rise = (step + 1) / max(rising, 1)
            along = jnp.clip((step - rising) / max(steps - rising, 1), 0, 1)
            fall = 0.5 * (1 + jnp.cos(jnp.pi * along))
            return jnp.where(
                step < rising, self.peak * rise, self.last + (self.peak - self.last) * fall
            )

        return schedule


Schedule = Constant | Exponential | WarmupLog | WarmupCosine


def _by_epoch(table: list[float], steps: int) -> optax.Schedule:
    """Return the schedule that holds each rate of a table for one epoch, the last one for ever."""
    _check(steps)
    rates = jnp.asarray(table, jnp.float32)
    epoch_steps = math.ceil(steps / len(table))
    return lambda step: rates[jnp.minimum(jnp.asarray(step) // epoch_steps, len(table) - 1)]


def _check(steps: int, **rates: float) -> None:
    """Raise for a length or a learning rate that is not positive."""
    if steps < 1:
        raise ValueError(f"a schedule needs at least one step and one epoch, got {steps}")
    for name, rate in rates.items():
        if not 0 < rate < math.inf:
            raise ValueError(f"{name} must be a positive learning rate, got {rate}")
