"""What every training is: settings that the loop knows, whatever is trained.

A kind of recipe (`siamjax.train.recipe`, `siamjax.metric.recipe`) adds what is trained, its batches
and their augmentation.
"""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from siamjax.train import freeze
from siamjax.train.optimizer import Optimizer
from siamjax.train.step import Batch, Trainable
from siamjax.typing import Variables

Initial = Callable[[Variables, Path | None], Variables]
Augmentation = Callable[[Any, Batch], Batch]
Validate = Callable[[Variables], dict[str, float]]
"""From variables to scores by name, the higher the better."""
Paint = Callable[[Variables, Batch, Any], np.ndarray]
"""From variables, a host batch and the augmentation's key to uint8[H, W, 3]."""


@runtime_checkable
class Batches(Protocol):
    """An endless iterator of host batches that can be saved and continued."""

    @property
    def damaged(self) -> Mapping[str, int]: ...

    def __next__(self) -> dict[str, np.ndarray]: ...

    def get_state(self) -> dict[str, Any]: ...

    def set_state(self, state: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Training(abc.ABC):
    """What every training has.

    A kind of recipe adds what is trained, its batches and their augmentation.
    """

    name: str
    """what logs and weights call it"""
    steps: int
    """batches to train on"""
    batch_size: int = 32
    """samples in a batch, over all devices"""
    seed: int = 0
    """decides initial weights, samples and augmentation"""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """optimiser, learning rate, what is frozen"""
    unfreeze: tuple[freeze.Unfreeze, ...] = ()
    """if any: the backbone is frozen, BatchNorm included, but for the layers that these name, each
    from its step on"""
    accumulate: int = 1
    """parts of a batch that go through the network one after another, for the memory of one; losses
    and BatchNorm are then those of each part"""
    dtype: Literal["float32", "bfloat16"] | None = None
    """of the network's arithmetic in training, where it is not its own; parameters are float32"""
    ema: float = 0.0
    """decay of a running average of the parameters, which is then what is exported; 0 for none"""
    initial: Initial | None = None
    """changes the fresh variables, given the path `backbone`; None leaves them"""
    backbone: Path | None = None
    """file of pretrained weights for `initial`, as an ImageNet .pth"""
    checkpoint_every: int = 1000
    """steps between checkpoints"""
    keep: int = 3
    """checkpoints kept"""
    log_every: int = 50
    """steps between lines of the log, each the mean over them"""
    validate_every: int = 0
    """steps between validations, whose best weights are kept as best.npz, those that the training
    begins with among them; 0 for none"""
    pictures_every: int = 1000
    """steps between pictures of samples with what the network makes of them; 0 for none"""
    licence: str = "MIT"
    """licence of the weights that result"""
    source: str = ""
    """what the weights were trained on and started from, for their header"""

    def __post_init__(self):
        for name in ("steps", "batch_size", "accumulate", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "validate_every", "pictures_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        freeze.phases(self.unfreeze)
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must lie in [0, 1), got {self.ema}")
        if self.keep < 2:
            raise ValueError(f"keep must be at least 2 checkpoints, got {self.keep}")

    @abc.abstractmethod
    def subject(self) -> Any:
        """Give what is trained, as the weights file will describe it."""

    def trainee(self) -> Trainable:
        """Give what is trained, as it is set during training."""
        return self.subject()

    def begin(self, fresh: Variables) -> Variables:
        """Give the variables to start from.

        Args:
            fresh: drawn ones; names, shapes and dtypes must stay.

        Raises:
            ValueError: what the recipe names to start from does not fit.
        """
        if self.initial is not None:
            return self.initial(fresh, self.backbone)
        if self.backbone is not None:
            raise ValueError(f"backbone {self.backbone}: recipe {self.name} has no use for one")
        return fresh

    @abc.abstractmethod
    def batches(self, shard: tuple[int, int] = (0, 1)) -> Batches:
        """Read the data and begin the iterator of batches; `index` uint32[B] is in each.

        Args:
            shard: (i, n): give host i of n the i-th of n equal parts of every batch.
        """

    @abc.abstractmethod
    def augmentation(self) -> Augmentation:
        """Give `(key, batch) -> batch`, which runs on the device inside the compiled step."""

    def validation(self, shard: tuple[int, int] = (0, 1)) -> Validate | None:
        """Read what is validated on; gives the function that scores variables, None for none.

        Args:
            shard: (i, n): host i of n scores its share alone.

        Returns:
            From variables to scores by name, the higher the better, none of another host.
        """
        del shard
        return None

    def painter(self) -> Paint | None:
        """Give the function that draws samples with what the network makes of them, or None."""
        return None
