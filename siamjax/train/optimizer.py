"""The optimiser of a recipe as one optax chain.

clip -> (decay) -> momentum or Adam -> learning rate -> multipliers by path.
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
    clip: float | None = None
    """largest norm of the whole gradient"""
    multipliers: tuple[tuple[str, float], ...] = ()
    """learning-rate factors: (pattern of the parameter's path, factor); first match counts"""
    frozen: tuple[str, ...] = ()
    """patterns of the paths of parameters that are not trained at all"""


def build(config: Optimizer, steps: int, params: Any) -> optax.GradientTransformation:
    """Build the chain for a training of `steps` steps.

    Args:
        config: settings.
        steps: length of the training, which the learning rate spans.
        params: parameters (or their shapes), to check the patterns against.

    Raises:
        ValueError: a pattern matches no parameter, or a setting is out of range.
    """
    freeze.check_patterns(params, [rule for rule, _ in config.multipliers] + list(config.frozen))
    for name in ("momentum", "second_moment"):
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {getattr(config, name)}")
    if config.weight_decay < 0:
        raise ValueError(f"weight_decay must not be negative, got {config.weight_decay}")
    if config.clip is not None and config.clip <= 0:
        raise ValueError(f"clip must be positive, got {config.clip}")
    decay = optax.add_decayed_weights(
        config.weight_decay, None if config.decay_all else freeze.decayed
    )
    if config.method == "sgd":
        core = [decay, optax.trace(config.momentum)]
    else:
        core = [optax.scale_by_adam(config.momentum, config.second_moment), decay]
    rules = [(pattern, 0.0) for pattern in config.frozen] + list(config.multipliers)
    return optax.chain(
        *([] if config.clip is None else [optax.clip_by_global_norm(config.clip)]),
        *core,
        optax.scale_by_learning_rate(config.schedule.build(steps)),
        *([freeze.scale_by_path(rules)] if rules else []),
    )
