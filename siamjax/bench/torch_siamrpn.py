"""SiamRPN and SiamRPN++ with the depthwise head on PyTorch and OpenCV, for comparison.

Written from the description of PySOT's networks and tracking step (REFERENCE 1.3 to 1.7),
independent of the rest of this package. The template's branch of the head runs once, at `init`,
where PySOT runs it in every step. Coordinates are (x, y).
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from siamjax.bench.timing import threads
from siamjax.bench.torch_backbones import BACKBONES
from siamjax.bench.torch_xcorr import prepare

Mode = Literal["eager", "folded", "compiled"]

ANCHORS = 5
HIDDEN = 256


class Adjust(nn.Module):
    """1x1 convolution with BatchNorm; template features keep their central 7x7."""

    def __init__(self, inputs: int):
        super().__init__()
        projection = nn.Conv2d(inputs, HIDDEN, 1, bias=False)
        self.downsample = nn.Sequential(projection, nn.BatchNorm2d(HIDDEN))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.downsample(x)
        if y.shape[3] >= 20:
            return y
        edge = (y.shape[3] - 7) // 2
        return y[:, :, edge : edge + 7, edge : edge + 7]


class Correlation(nn.Module):
    """Both branches' 3x3 convolutions, depthwise correlation, and two 1x1 convolutions."""

    def __init__(self, outputs: int):
        super().__init__()

        def branch(size: int) -> list[nn.Module]:
            convolution = nn.Conv2d(HIDDEN, HIDDEN, size, bias=False)
            return [convolution, nn.BatchNorm2d(HIDDEN), nn.ReLU(inplace=True)]

        self.conv_kernel = nn.Sequential(*branch(3))
        self.conv_search = nn.Sequential(*branch(3))
        self.head = nn.Sequential(*branch(1), nn.Conv2d(HIDDEN, outputs, 1))

    def correlate(self, kernel: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Correlate with one template, whose branch has been run."""
        kernel = kernel.transpose(0, 1)
        return functional.conv2d(self.conv_search(x), kernel, groups=HIDDEN)

    def forward(self, kernel: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Respond to one template."""
        return self.head(self.correlate(kernel, x))


class Head(nn.Module):
    """Classification and regression of one level."""

    def __init__(self):
        super().__init__()
        self.cls = Correlation(2 * ANCHORS)
        self.loc = Correlation(4 * ANCHORS)


class Net(nn.Module):
    """Backbone, neck and heads under PySOT's names."""

    def __init__(self, backbone: str, weighted: bool):
        """Build it; `weighted` takes the levels by the softmax of learned numbers, not alike."""
        super().__init__()
        self.backbone = BACKBONES[backbone]()
        channels = BACKBONES[backbone].channels
        self.necks: list[Adjust] = []
        self.heads: list[Head] = []
        self.weights: list[torch.Tensor] = []
        if len(channels) == 1:
            self.rpn_head = Head()
            self.heads = [self.rpn_head]
            return
        self.neck, self.rpn_head = nn.Module(), nn.Module()
        for level, inputs in enumerate(channels, 2):
            self.necks.append(Adjust(inputs))
            self.neck.add_module(f"downsample{level}", self.necks[-1])
            self.heads.append(Head())
            self.rpn_head.add_module(f"rpn{level}", self.heads[-1])
        for name in ("cls_weight", "loc_weight") if weighted else ():
            weight = nn.Parameter(torch.ones(len(channels)))
            self.rpn_head.register_parameter(name, weight)
            self.weights.append(weight)

    def embed(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Give one feature map a level."""
        features = self.backbone(x)
        if not self.necks:
            return features
        return [neck(feature) for neck, feature in zip(self.necks, features, strict=True)]

    def kernels(self, z: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Run the template's branch, a pair of kernels [1, C, h, w] for each level."""
        pairs = zip(self.heads, self.embed(z), strict=True)
        return [(head.cls.conv_kernel(f), head.loc.conv_kernel(f)) for head, f in pairs]

    def forward(
        self, kernels: list[tuple[torch.Tensor, torch.Tensor]], x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give cls [1, 2 A, y, x] and loc [1, 4 A, y, x]."""
        cls, loc = [], []
        for head, (cls_kernel, loc_kernel), f in zip(
            self.heads, kernels, self.embed(x), strict=True
        ):
            cls.append(head.cls(cls_kernel, f))
            loc.append(head.loc(loc_kernel, f))
        if not self.weights:
            return torch.stack(cls).mean(0), torch.stack(loc).mean(0)
        shares = [weight.softmax(0)[:, None, None, None, None] for weight in self.weights]
        cls, loc = ((torch.stack(y) * w).sum(0) for y, w in zip((cls, loc), shares, strict=True))
        return cls, loc


class Settings(NamedTuple):
    """What differs between the published configurations."""

    backbone: str
    penalty_k: float
    window_influence: float
    lr: float
    instance: int = 255
    base: int = 8
    weighted: bool = True


SETTINGS = {
    "siamrpn-alexnet-dw": Settings("alexnet", 0.16, 0.40, 0.30, 287, 0),
    "siamrpnpp-resnet50": Settings("resnet50", 0.05, 0.42, 0.38),
    "siamrpnpp-mobilenetv2": Settings("mobilenetv2", 0.04, 0.40, 0.50, weighted=False),
    "siammask-sharp": Settings("resnet50", 0.10, 0.41, 0.32),
}
"""PySOT's constants; the VOT setting of ResNet-50."""


class TorchState(NamedTuple):
    """What changes from frame to frame, and what the last step chose."""

    center: np.ndarray
    size: np.ndarray
    fill: np.ndarray
    kernels: list[tuple[torch.Tensor, ...]]
    best: int = -1
    """Index of the proposal, anchors first."""
    score: float = 1.0
    mask: np.ndarray | None = None
    """Probabilities [H, W] over the frame, from trackers that draw masks."""


class TorchSiamRPN:
    """PySOT's tracker; pure in its state, so that a test can set it. Frames are RGB.

    Tensors are channels-last, which is the faster order here (about 5 to 15 % on a CPU).
    """

    exemplar = 127
    stride = 8

    def __init__(
        self,
        name: str,
        state_dict: Mapping[str, np.ndarray],
        mode: Mode = "eager",
    ):
        """Build it.

        Args:
            name: a key of `SETTINGS`.
            state_dict: weights by PySOT's names.
            mode: the network as it is written, with BatchNorm folded into the convolutions
                before it, or by `torch.compile`.
        """
        self.device = prepare()
        self.settings = SETTINGS[name]
        net = self.build()
        net.load_state_dict({key: torch.tensor(array) for key, array in state_dict.items()})
        if mode == "folded":
            fold(net.eval())
        net = net.to(self.device).eval()
        self.net = convert_conv2d_weight_memory_format(net, torch.channels_last)
        self.run = torch.compile(self.net) if mode == "compiled" else self.net
        settings = self.settings
        self.cells = (settings.instance - self.exemplar) // self.stride + 1 + settings.base
        self.anchors = anchors(self.cells, self.stride)
        hann = np.hanning(self.cells)
        self.window = np.tile(np.outer(hann, hann).ravel(), ANCHORS)

    def build(self) -> nn.Module:
        """Make the network, whose weights are loaded then."""
        return Net(self.settings.backbone, self.settings.weighted)

    def init(self, frame: np.ndarray, box: np.ndarray) -> TorchState:
        """Start on a box (x, y, width, height), 0-based."""
        box = np.asarray(box, np.float64)
        center, size = box[:2] + (box[2:] - 1) / 2, box[2:]
        fill = frame.mean((0, 1))
        crop = window(frame, center, round(_context(size)), self.exemplar, fill)
        with torch.inference_mode():
            kernels = self.net.kernels(self._tensor(crop))
        return TorchState(center, size, fill, kernels)

    def step(self, state: TorchState, frame: np.ndarray) -> tuple[TorchState, np.ndarray]:
        """Find the target: the next state and the box (x, y, width, height)."""
        crop = window(frame, state.center, self.side(state), self.settings.instance, state.fill)
        with torch.inference_mode():
            cls, loc = self.run(state.kernels, self._tensor(crop))
            return self.settle(state, cls, loc, frame)

    def side(self, state: TorchState) -> int:
        """Give the side of the search window, frame pixels."""
        return round(_context(state.size) * self.settings.instance / self.exemplar)

    def settle(
        self, state: TorchState, cls: torch.Tensor, loc: torch.Tensor, frame: np.ndarray
    ) -> tuple[TorchState, np.ndarray]:
        """Choose a proposal and move towards it."""
        settings = self.settings
        scale = self.exemplar / _context(state.size)
        score = cls.reshape(2, -1).softmax(0)[1].cpu().numpy()
        loc = loc.reshape(4, -1).cpu().numpy()
        x, y, w, h = self.anchors
        found = np.stack([loc[0] * w + x, loc[1] * h + y, np.exp(loc[2]) * w, np.exp(loc[3]) * h])

        target = state.size * scale
        size_change = _ratio(_context(found[2:]) / _context(target))
        shape_change = _ratio((target[0] / target[1]) / (found[2] / found[3]))
        penalty = np.exp(-(shape_change * size_change - 1) * settings.penalty_k)
        ranked = penalty * score * (1 - settings.window_influence)
        best = int(np.argmax(ranked + self.window * settings.window_influence))

        rate = penalty[best] * score[best] * settings.lr
        moved = found[:, best] / scale
        limit = np.array(frame.shape[1::-1])
        center = np.clip(state.center + moved[:2], 0, limit)
        size = np.clip(state.size * (1 - rate) + moved[2:] * rate, 10, limit)
        state = TorchState(center, size, state.fill, state.kernels, best, float(score[best]))
        return state, np.concatenate([center - size / 2, size])

    def _tensor(self, crop: np.ndarray) -> torch.Tensor:
        bgr = torch.from_numpy(np.ascontiguousarray(crop[..., ::-1]))[None]
        return bgr.to(self.device).permute(0, 3, 1, 2).float()


def fold(net: nn.Module) -> None:
    """Put every BatchNorm into the convolution before it, in place; `net` is in eval mode."""
    for module in list(net.modules()):
        children = list(module.named_children())
        for (name, convolution), (after, norm) in itertools.pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module.add_module(name, fuse_conv_bn_eval(convolution, norm))
                module.add_module(after, nn.Identity())


def anchors(cells: int, stride: int) -> np.ndarray:
    """Give (x, y, w, h) of all anchors [4, A * cells * cells], crop pixels from the middle."""
    shapes = []
    for ratio in (0.33, 0.5, 1, 2, 3):
        width = int(math.sqrt(stride * stride / ratio))
        shapes.append((width * 8, int(width * ratio) * 8))
    place = -(cells // 2) * stride + stride * np.arange(cells)
    y, x = np.meshgrid(place, place, indexing="ij")
    grids = [np.stack([x, y, np.full_like(x, w), np.full_like(x, h)]) for w, h in shapes]
    return np.stack(grids, axis=1).reshape(4, -1).astype(np.float32)


def window(
    frame: np.ndarray, center: np.ndarray, side: int, size: int, fill: np.ndarray
) -> np.ndarray:
    """Cut a square window, padding only what lies outside with `fill` truncated, and resize it."""
    cv2.setNumThreads(threads())
    height, width = frame.shape[:2]
    left, top = (math.floor(c - (side + 1) / 2 + 0.5) for c in center)
    x0, x1 = np.clip((left, left + side), 0, width)
    y0, y1 = np.clip((top, top + side), 0, height)
    patch = frame[y0:y1, x0:x1]
    if patch.shape[:2] != (side, side):
        canvas = np.empty((side, side, 3), np.uint8)
        canvas[:] = fill.astype(np.uint8)
        canvas[y0 - top : y1 - top, x0 - left : x1 - left] = patch
        patch = canvas
    return patch if side == size else cv2.resize(patch, (size, size))


def _context(size: np.ndarray) -> Any:
    """Give the side of the exemplar window around targets of these sizes [2, ...]."""
    return np.sqrt(np.prod(size + size.sum(0) / 2, axis=0))


def _ratio(change: np.ndarray) -> np.ndarray:
    return np.maximum(change, 1 / change)
