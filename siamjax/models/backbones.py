"""The backbones by name: how to build one, and what its stages are.

A backbone maps images [B, H, W, 3], raw 0..255 in the colour order of its weights, to a dict of
float32 stage outputs [B, h, w, c]. Stages are named from shallow to deep.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from flax import linen as nn

from siamjax.models.alexnet import PySOTAlexNet
from siamjax.models.efficientnet import EfficientNetLite0
from siamjax.models.mobilenet import PRESET_WIDTH, MobileNetV2
from siamjax.models.resnet import ResNet

DTYPES = ("float32", "bfloat16")


class Spec(NamedTuple):
    """One backbone.

    Attributes:
        build: gives the module from width, deepest stage, `axis_name`, `dtype` and `trained`.
        bgr: its published weights expect BGR.
        strides: input pixels per cell of every stage's output.
        channels: features of every stage's output at width 1.
        layers: the stages used where nothing else is said.
    """

    build: Callable[..., nn.Module]
    bgr: bool
    strides: dict[str, int]
    channels: dict[str, int]
    layers: tuple[str, ...]

    def make(
        self,
        axis_name: str | None = None,
        dtype: str = "float32",
        trained: tuple[str, ...] | None = None,
        width: float = 1.0,
        layers: tuple[str, ...] | None = None,
    ) -> nn.Module:
        """Build the module.

        Args:
            axis_name: mapped axis over which BatchNorm takes its batch statistics.
            dtype: type of the arithmetic, one of `DTYPES`; parameters and stage outputs are
                float32 in any case.
            trained: stages whose BatchNorm follows the batch in training; the others keep their
                running statistics. None for all.
            width: scales every stage's features.
            layers: the stages wanted, `self.layers` by default; nothing after the deepest of them
                is built.

        Raises:
            ValueError: a stage or dtype is unknown, or `layers` is empty.
        """
        names = tuple(self.strides)
        layers = self.layers if layers is None else layers
        for argument, value in (("layers", layers), ("trained", trained or ())):
            unknown = [name for name in value if name not in names]
            if unknown:
                raise ValueError(f"{argument} holds {unknown[0]!r}, expected some of {names}")
        if not layers:
            raise ValueError(f"layers is empty, expected some of {names}")
        if dtype not in DTYPES:
            raise ValueError(f"dtype is {dtype!r}, expected one of {DTYPES}")
        last = max(layers, key=names.index)
        return self.build(width, last, axis_name, dtype, trained)


def _spec(
    build: Callable[..., nn.Module],
    layers: tuple[str, ...],
    stages: dict[str, tuple[int, int]],
    bgr: bool = True,
) -> Spec:
    """Assemble a `Spec` from the (stride, channels) of its stages."""
    strides = {name: stride for name, (stride, _) in stages.items()}
    return Spec(build, bgr, strides, {name: size for name, (_, size) in stages.items()}, layers)


def _resnet(blocks: tuple[int, int, int, int], expansion: int) -> Spec:
    stages = {
        "stem": (2, 64),
        "layer1": (4, 64 * expansion),
        "layer2": (8, 128 * expansion),
        "layer3": (8, 256 * expansion),
        "layer4": (8, 512 * expansion),
    }
    build = functools.partial(ResNet, blocks, expansion > 1)
    return _spec(build, ("layer2", "layer3", "layer4"), stages)


def _mobilenet(width: float, *rest: Any) -> MobileNetV2:
    return MobileNetV2(PRESET_WIDTH * width, *rest)


BACKBONES = {
    "alexnet": _spec(
        PySOTAlexNet,
        ("conv5",),
        {
            "conv1": (4, 96),
            "conv2": (8, 256),
            "conv3": (8, 384),
            "conv4": (8, 384),
            "conv5": (8, 256),
        },
    ),
    "resnet18": _resnet((2, 2, 2, 2), 1),
    "resnet34": _resnet((3, 4, 6, 3), 1),
    "resnet50": _resnet((3, 4, 6, 3), 4),
    "mobilenetv2": _spec(
        _mobilenet,
        ("layer3", "layer5", "layer7"),
        {
            "layer0": (2, 44),
            "layer1": (2, 22),
            "layer2": (4, 33),
            "layer3": (8, 44),
            "layer4": (8, 89),
            "layer5": (8, 134),
            "layer6": (8, 224),
            "layer7": (8, 448),
        },
    ),
    "efficientnet-lite0": _spec(
        EfficientNetLite0.up_to,
        ("block4", "block10"),
        {
            "stem": (2, 32),
            "block0": (2, 16),
            **{f"block{index}": (4, 24) for index in range(1, 3)},
            **{f"block{index}": (8, 40) for index in range(3, 5)},
            **{f"block{index}": (16, 80) for index in range(5, 8)},
            **{f"block{index}": (16, 112) for index in range(8, 11)},
            **{f"block{index}": (32, 192) for index in range(11, 15)},
            "block15": (32, 320),
        },
        bgr=False,
    ),
}
