"""SiamMask, sharp variant, on PyTorch and OpenCV, for comparison.

Written from the description of PySOT's network and tracking step (REFERENCE 1.4 and 1.6),
independent of the rest of this package. As in `siamjax.bench.torch_siamrpn` the template's branches
run once; the head's own masks, which the sharp variant does not use, are not computed, and the
refinement runs at the chosen position alone.
"""

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from siamjax.bench.torch_backbones import ShortResNet50
from siamjax.bench.torch_siamrpn import HIDDEN, Adjust, Correlation, Head, TorchSiamRPN, TorchState
from siamjax.bench.torch_siamrpn import window as cut_window

MASK = 63
SIDE = 127
MARGIN = 4
"""Positions outside the first one whose exemplar lies wholly inside the search window."""


def _pair(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions with ReLU."""
    first, second = (
        nn.Conv2d(inputs, hidden, 3, padding=1),
        nn.Conv2d(hidden, outputs, 3, padding=1),
    )
    return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))


class Refine(nn.Module):
    """From the correlation at one position to a mask of 127x127, by three stages around it."""

    sizes = (61, 31, 15)
    """Cells of the exemplar in the stem and the first two layers; 4, 2 and 1 a position."""

    def __init__(self):
        super().__init__()
        self.v0, self.v1, self.v2 = _pair(64, 16, 4), _pair(256, 64, 16), _pair(512, 128, 32)
        self.h2, self.h1, self.h0 = _pair(32, 32, 32), _pair(16, 16, 16), _pair(4, 4, 4)
        self.deconv = nn.ConvTranspose2d(HIDDEN, 32, 15, 15)
        for number, (inputs, outputs) in enumerate(((32, 16), (16, 4), (4, 1))):
            self.add_module(f"post{number}", nn.Conv2d(inputs, outputs, 3, padding=1))

    def forward(
        self, stages: list[torch.Tensor], correlation: torch.Tensor, row: int, column: int
    ) -> torch.Tensor:
        """Give the logits [127, 127] of one position."""
        p0, p1, p2 = (
            _around(stage, row, column, step, cells)
            for stage, step, cells in zip(stages, (4, 2, 1), self.sizes, strict=True)
        )
        x = self.deconv(correlation[:, :, row : row + 1, column : column + 1])
        x = self.post0(functional.interpolate(self.h2(x) + self.v2(p2), size=self.sizes[1]))
        x = self.post1(functional.interpolate(self.h1(x) + self.v1(p1), size=self.sizes[0]))
        x = self.post2(functional.interpolate(self.h0(x) + self.v0(p0), size=SIDE))
        return x[0, 0]


def _around(x: torch.Tensor, row: int, column: int, step: int, cells: int) -> torch.Tensor:
    """Cut the window of a position out of a stage, zeros where it hangs over."""
    top, left = (step * (place - MARGIN) for place in (row, column))
    height, width = x.shape[2:]
    return functional.pad(x, (-left, left + cells - width, -top, top + cells - height))


class MaskNet(nn.Module):
    """Backbone, neck, heads and refinement under PySOT's names."""

    def __init__(self):
        super().__init__()
        self.backbone = ShortResNet50()
        self.neck, self.rpn_head = nn.Module(), Head()
        self.neck.downsample = Adjust(ShortResNet50.channels[-1])
        self.mask_head = Correlation(MASK * MASK)
        self.refine_head = Refine()

    def kernels(self, z: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        """Run the template's branches: the kernels of scores, offsets and masks."""
        f = self.neck.downsample(self.backbone(z)[-1])
        heads = (self.rpn_head.cls, self.rpn_head.loc, self.mask_head)
        return [tuple(head.conv_kernel(f) for head in heads)]

    def forward(
        self, kernels: list[tuple[torch.Tensor, ...]], x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor], torch.Tensor]:
        """Give cls, loc, the stages that refinement takes, and the masks' correlation."""
        cls, loc, mask = kernels[0]
        *stages, last = self.backbone(x)
        f = self.neck.downsample(last)
        head = self.rpn_head
        return head.cls(cls, f), head.loc(loc, f), stages, self.mask_head.correlate(mask, f)


class TorchSiamMask(TorchSiamRPN):
    """PySOT's SiamMask; a state holds the mask of the step that made it."""

    def build(self) -> nn.Module:
        """Make the network."""
        return MaskNet()

    def step(self, state: TorchState, frame: np.ndarray) -> tuple[TorchState, np.ndarray]:
        """Find the target and draw its mask."""
        side, instance = self.side(state), self.settings.instance
        crop = cut_window(frame, state.center, side, instance, state.fill)
        with torch.inference_mode():
            cls, loc, stages, correlation = self.run(state.kernels, self._tensor(crop))
            after, box = self.settle(state, cls, loc, frame)
            row, column = divmod(after.best % self.cells**2, self.cells)
            logits = self.net.refine_head(stages, correlation, row, column)
            mask = logits.sigmoid().cpu().numpy()
        scale = side / instance
        corner = state.center - side / 2
        corner = corner + (np.array([column, row]) - MARGIN) * self.stride * scale
        mask = paste(mask, corner, self.exemplar * scale, frame.shape[:2])
        return after._replace(mask=mask), box


def paste(
    mask: np.ndarray, corner: np.ndarray, side: float, frame_size: tuple[int, int]
) -> np.ndarray:
    """Put a square mask back into a frame; `corner` (x, y) and `side` in frame pixels."""
    height, width = frame_size
    scale = mask.shape[0] / side
    zoom = np.array([width - 1, height - 1]) / (np.array([width, height]) * scale)
    move = zoom * corner * scale
    mapping = np.array([[zoom[0], 0, move[0]], [0, zoom[1], move[1]]])
    return cv2.warpAffine(mask, mapping, (width, height), flags=cv2.INTER_LINEAR)
