"""Backbones of the region-proposal trackers on PyTorch, for comparison, under PySOT's names.

Written from their description (REFERENCE 1.2), independent of `siamjax.models`. Pictures are
NCHW, BGR, 0..255; every backbone gives the list of its used layers, shallowest first.
"""

import torch
from torch import nn


class AlexNet(nn.Module):
    """PySOT's AlexNet without groups, under the older of its two layouts of names."""

    channels = (256,)

    def __init__(self):
        super().__init__()

        def block(inputs: int, outputs: int, size: int, stride: int = 1, pool: bool = False):
            convolution = nn.Conv2d(inputs, outputs, size, stride), nn.BatchNorm2d(outputs)
            return [*convolution, nn.MaxPool2d(3, 2)] if pool else [*convolution]

        self.features = nn.Sequential(
            *block(3, 96, 11, 2, pool=True),
            nn.ReLU(inplace=True),
            *block(96, 256, 5, pool=True),
            nn.ReLU(inplace=True),
            *block(256, 384, 3),
            nn.ReLU(inplace=True),
            *block(384, 384, 3),
            nn.ReLU(inplace=True),
            *block(384, 256, 3),
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.features(x)]


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside the identity or a convolution of the same geometry."""

    def __init__(self, inputs: int, width: int, stride: int, dilation: int, shortcut: int):
        """Build it; `shortcut` is the kernel size of the side branch, 0 for the identity."""
        super().__init__()
        padding = dilation if dilation > 1 else 2 - stride
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if shortcut:
            padding = padding if shortcut == 3 else 0
            side = nn.Conv2d(
                inputs, 4 * width, shortcut, stride, padding, dilation if padding else 1, bias=False
            )
            self.downsample = nn.Sequential(side, nn.BatchNorm2d(4 * width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet50(nn.Module):
    """ResNet-50 of stride 8: the last two layers dilated, their first blocks by half as much."""

    channels = (512, 1024, 2048)
    layers = ((64, 3, 1, 1), (128, 4, 2, 1), (256, 6, 1, 2), (512, 3, 1, 4))
    """Width, blocks, stride and dilation of each."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for number, (width, blocks, stride, dilation) in enumerate(self.layers, 1):
            first = Bottleneck(
                inputs, width, stride, max(dilation // 2, 1), shortcut=1 if number == 1 else 3
            )
            inputs = 4 * width
            others = [Bottleneck(inputs, width, 1, dilation, 0) for _ in range(blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(first, *others))

    def stages(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Give the stem before pooling and every layer."""
        stages = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(stages[0])
        for number in range(1, len(self.layers) + 1):
            x = self.get_submodule(f"layer{number}")(x)
            stages.append(x)
        return stages

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return self.stages(x)[2:]


class ShortResNet50(ResNet50):
    """ResNet-50 without its last layer; gives the stem, before pooling, and the three layers."""

    channels = (64, 256, 512, 1024)
    layers = ResNet50.layers[:3]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return self.stages(x)


class InvertedResidual(nn.Module):
    """Expansion, depthwise 3x3, linear projection."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, dilation: int):
        super().__init__()
        self.added = stride == 1 and inputs == outputs
        width = inputs * expansion
        padding = dilation if dilation > 1 else 2 - stride
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU6(inplace=True),
            nn.Conv2d(width, width, 3, stride, padding, dilation, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU6(inplace=True),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.added else self.conv(x)


class MobileNetV2(nn.Module):
    """MobileNetV2 of stride 8 and width 1.4, dilated in place of its later strides."""

    channels = (44, 134, 448)
    _SETTINGS = (
        (1, 16, 1, 1, 1),
        (6, 24, 2, 2, 1),
        (6, 32, 3, 2, 1),
        (6, 64, 4, 1, 2),
        (6, 96, 3, 1, 2),
        (6, 160, 3, 1, 4),
        (6, 320, 1, 1, 4),
    )  # expansion, channels at width 1, blocks, stride, dilation

    def __init__(self):
        super().__init__()
        inputs = int(32 * 1.4)
        stem = nn.Conv2d(3, inputs, 3, 2, bias=False)
        self.layer0 = nn.Sequential(stem, nn.BatchNorm2d(inputs), nn.ReLU6(inplace=True))
        before = 1
        for number, (expansion, channels, blocks, stride, dilation) in enumerate(self._SETTINGS, 1):
            outputs = int(channels * 1.4)
            first = dilation if dilation == before else max(dilation // 2, 1)
            layer = [InvertedResidual(inputs, outputs, expansion, stride, first)]
            layer += [
                InvertedResidual(outputs, outputs, expansion, 1, dilation)
                for _ in range(blocks - 1)
            ]
            self.add_module(f"layer{number}", nn.Sequential(*layer))
            inputs, before = outputs, dilation

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        stages = []
        for number in range(8):
            x = self.get_submodule(f"layer{number}")(x)
            stages.append(x)
        return [stages[3], stages[5], stages[7]]


BACKBONES = {"alexnet": AlexNet, "resnet50": ResNet50, "mobilenetv2": MobileNetV2}
