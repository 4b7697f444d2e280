"""SiamFC on PyTorch and OpenCV, for comparison: network, crops and tracking of siamfc-pytorch.

Written from its description (REFERENCE 1.2 and 1.6), independent of the rest of this package, with
windows padded alone where siamfc-pytorch pads the whole frame. Coordinates here are (y, x).
"""

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from siamjax.bench.opencv_crop import pyramid
from siamjax.bench.torch_xcorr import prepare


class TorchState(NamedTuple):
    """What changes from frame to frame."""

    center: np.ndarray
    size: np.ndarray
    template_side: float
    search_side: float
    fill: np.ndarray
    template: torch.Tensor


def alexnet_v1() -> nn.Module:
    """Build the backbone under siamfc-pytorch's names."""

    def block(inputs: int, outputs: int, size: int, stride: int, groups: int, pool: bool):
        layers = [
            nn.Conv2d(inputs, outputs, size, stride, groups=groups),
            nn.BatchNorm2d(outputs, eps=1e-6, momentum=0.05),
            nn.ReLU(inplace=True),
        ]
        return nn.Sequential(*layers, *([nn.MaxPool2d(3, 2)] if pool else []))

    backbone = nn.Sequential()
    backbone.add_module("conv1", block(3, 96, 11, 2, 1, True))
    backbone.add_module("conv2", block(96, 256, 5, 1, 2, True))
    backbone.add_module("conv3", block(256, 384, 3, 1, 1, False))
    backbone.add_module("conv4", block(384, 384, 3, 1, 2, False))
    backbone.add_module("conv5", nn.Sequential(nn.Conv2d(384, 256, 3, groups=2)))
    return backbone


class TorchSiamFC:
    """The tracker of three scales; pure in its state, so that a test can set it."""

    exemplar = 127
    instance = 255
    stride = 8
    factors = 1.0375 ** np.arange(-1, 2)
    scale_penalty = 0.9745
    scale_lr = 0.59
    window_influence = 0.176
    upsampled = 272

    def __init__(self, state_dict: Mapping[str, np.ndarray]):
        self.device = prepare()
        net = nn.Module()
        net.add_module("backbone", alexnet_v1())
        tensors = {name: torch.tensor(array) for name, array in state_dict.items()}
        net.load_state_dict(tensors)
        self.backbone = net.get_submodule("backbone").to(self.device).eval()
        hann = np.hanning(self.upsampled)
        window = np.outer(hann, hann)
        self.window = window / window.sum()

    def init(self, frame: np.ndarray, box: np.ndarray) -> TorchState:
        """Start on a box (x, y, width, height), 0-based."""
        x, y, width, height = box
        center = np.array([y + (height - 1) / 2, x + (width - 1) / 2], np.float32)
        size = np.array([height, width], np.float32)
        side = float(np.sqrt(np.prod(size + 0.5 * size.sum())))
        fill = frame.mean((0, 1))
        crops = pyramid(frame, center[::-1], [side], self.exemplar, fill)
        search_side = side * self.instance / self.exemplar
        return TorchState(center, size, side, search_side, fill, self._embed(crops))

    def step(self, state: TorchState, frame: np.ndarray) -> tuple[TorchState, np.ndarray]:
        """Find the target: the next state and the box (x, y, width, height), 0-based."""
        sides = state.search_side * self.factors
        crops = pyramid(frame, state.center[::-1], list(sides), self.instance, state.fill)
        responses = self.respond(state.template, crops)
        size = (self.upsampled, self.upsampled)
        responses = np.stack(
            [cv2.resize(r, size, interpolation=cv2.INTER_CUBIC) for r in responses]
        )
        responses[[0, 2]] *= self.scale_penalty
        scale = int(np.argmax(responses.max((1, 2))))
        response = responses[scale]
        response = response - response.min()
        response = response / (response.sum() + 1e-16)
        influence = self.window_influence
        response = (1 - influence) * response + influence * self.window
        place = np.unravel_index(np.argmax(response), response.shape)
        cells = (np.array(place) - (self.upsampled - 1) / 2) * self.stride / 16
        moved = cells * state.search_side * self.factors[scale] / self.instance
        growth = (1 - self.scale_lr) + self.scale_lr * self.factors[scale]
        center = (state.center + moved).astype(np.float32)
        size = (state.size * growth).astype(np.float32)
        sides = (state.template_side * growth, state.search_side * growth)
        corner = center - (size - 1) / 2
        box = np.array([corner[1], corner[0], size[1], size[0]])
        return TorchState(center, size, *sides, state.fill, state.template), box

    def respond(self, template: torch.Tensor, crops: np.ndarray) -> np.ndarray:
        """Give the responses [n, 17, 17] of one template on search crops uint8 [n, 255, 255, 3]."""
        features = self._embed(crops)
        with torch.inference_mode():
            y = functional.conv2d(features, template) * 0.001
        return y[:, 0].cpu().numpy()

    def _embed(self, crops: np.ndarray) -> torch.Tensor:
        with torch.inference_mode():
            x = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float()
            return self.backbone(x)
