"""The optimiser of a recipe as one optax chain.

(sum over shards) -> clip -> decay -> hold what is frozen -> momentum -> learning rate ->
multipliers by path; AdamW decays after its moments. The state has the same structure whatever is
frozen, so parts can be unfrozen in the midst of a training.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import optax

from siamjax.train import freeze
from siamjax.train.schedule import Schedule, WarmupCosine


@dataclass(frozen=True)
class Optimizer:
    """Settings of the optimiser."""

    method: Literal["sgd", "adamw"] = "adamw"
    """SGD with momentum (decay added to the gradient, as torch does), or AdamW (decay apart)"""
    schedule: Schedule = field(default_factory=WarmupCosine)
    """learning rate"""
    momentum: float = 0.9
    """momentum of SGD; first moment of AdamW"""
    second_moment: float = 0.999
    """second moment of AdamW"""
    weight_decay: float = 1e-4
    """weight decay"""
    decay_all: bool = False
    """decay biases and BatchNorm too, as torch does by default"""
    gradients: Literal["mean", "sum"] = "mean"
    """gradient of the whole batch's mean loss, or `shards` times that before clipping: PySOT adds
    up the gradients of its processes, each of its own share's mean loss"""
    shards: int = 1
    """processes that the original recipe summed over; has nothing to do with the devices here"""
    clip: float | None = None
    """largest norm of the whole gradient"""
    multipliers: tuple[tuple[str, float], ...] = ()
    """learning-rate factors: (pattern of the parameter's path, factor); first match counts"""
    frozen: tuple[str, ...] = ()
    """patterns of the paths of parameters that are not trained at all"""


def build(
    config: Optimizer, steps: int, params: Any, phase: freeze.Phase | None = None
) -> optax.GradientTransformation:
    """Build the chain for a training of `steps` steps.

    Args:
        config: settings.
        steps: length of the training, which the learning rate spans.
        params: parameters (or their shapes), to check the patterns against.
        phase: what is frozen and slowed besides, and only for now; None for nothing. What is
            frozen gathers no momentum.

    Raises:
        ValueError: a pattern matches no parameter, or a setting is out of range.
    """
    phase = freeze.Phase(0) if phase is None else phase
    frozen = config.frozen + phase.frozen
    rules = phase.rules + config.multipliers
    typed = [rule for rule, _ in rules] + list(config.frozen)
    freeze.check_patterns(params, typed + [freeze.BACKBONE] * bool(phase.frozen))
    for name in ("momentum", "second_moment"):
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {getattr(config, name)}")
    if config.weight_decay < 0:
        raise ValueError(f"weight_decay must not be negative, got {config.weight_decay}")
    if config.clip is not None and config.clip <= 0:
        raise ValueError(f"clip must be positive, got {config.clip}")
    if config.shards < 1:
        raise ValueError(f"shards must be at least 1, got {config.shards}")
    decay = optax.add_decayed_weights(
        config.weight_decay, None if config.decay_all else freeze.decayed
    )
    hold = freeze.scale_by_path([(pattern, 0.0) for pattern in frozen])
    if config.method == "sgd":
        core = [decay, hold, optax.trace(config.momentum)]
    else:
        core = [optax.scale_by_adam(config.momentum, config.second_moment), decay]
    return optax.chain(
        optax.scale(config.shards if config.gradients == "sum" else 1),
        optax.identity() if config.clip is None else optax.clip_by_global_norm(config.clip),
        *core,
        optax.scale_by_learning_rate(config.schedule.build(steps)),
        hold,
        freeze.scale_by_path(rules),
    )
