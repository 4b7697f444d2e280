"""SiamFC by NumPy and cv2 in float64, written apart from the package: what golden files lack."""

from typing import NamedTuple

import cv2
import numpy as np


def windows(x, side, stride=1):
    """[B, h, w, C, side, side] views of [B, H, W, C]."""
    view = np.lib.stride_tricks.sliding_window_view(x, (side, side), (1, 2))
    return view[:, ::stride, ::stride]


def convolve(x, kernel, stride=1, groups=1):
    """Correlate [B, H, W, C] with [k, k, C / groups, D], no padding."""
    view = windows(np.float64(x), kernel.shape[0], stride)
    inputs, outputs = view.shape[3] // groups, kernel.shape[3] // groups
    parts = [
        np.tensordot(
            view[:, :, :, g * inputs : (g + 1) * inputs],
            np.float64(kernel[..., g * outputs : (g + 1) * outputs]),
            ((4, 5, 3), (0, 1, 2)),
        )
        for g in range(groups)
    ]
    return np.concatenate(parts, -1)


def normalise(x, params, stats, epsilon):
    factor = np.float64(params["scale"]) / np.sqrt(np.float64(stats["var"]) + epsilon)
    return (x - np.float64(stats["mean"])) * factor + np.float64(params["bias"])


def max_pool(x, side, stride):
    return windows(x, side, stride).max((-1, -2))


def alexnet(version, variables, x):
    """The five stages' outputs (before pooling) of siamfc-pytorch's AlexNetV1, V2 and V3."""
    params, stats = variables["params"]["backbone"], variables["batch_stats"]["backbone"]
    groups = 1 if version == 3 else 2
    stages = []

    def stage(x, number, stride=1, groups=1):
        name = f"conv{number}"
        layer = params[name]
        x = convolve(x, np.asarray(layer["conv"]["kernel"]), stride, groups)
        x = x + np.asarray(layer["conv"]["bias"])
        if number < 5 or version == 3:
            x = normalise(x, layer["bn"], stats[name]["bn"], 1e-6)
        x = np.maximum(x, 0) if number < 5 else x
        stages.append(x)
        return x

    x = max_pool(stage(x, 1, stride=2), 3, 2)
    x = max_pool(stage(x, 2, groups=groups), 3, 1 if version == 2 else 2)
    x = stage(stage(x, 3), 4, groups=groups)
    stage(x, 5, groups=groups)
    return stages


def correlate(z, x):
    """Responses [B, y, x] of templates [B or 1, h, w, C] on [B or 1, H, W, C]."""
    batch = max(len(z), len(x))
    z, x = (np.broadcast_to(a, (batch, *a.shape[1:])) for a in (z, x))
    return np.stack(
        [
            np.tensordot(windows(b[None], a.shape[0])[0], a, ((3, 4, 2), (0, 1, 2)))
            for a, b in zip(np.float64(z), np.float64(x), strict=True)
        ]
    )


def cut(frame, center, side, size, fill):
    """siamfc-pytorch's crop: rounded window, constant border, bilinear resize."""
    side = int(np.rint(side))
    x, y = np.rint(np.asarray(center, np.float32) - (side - 1) / 2).astype(int)
    height, width = frame.shape[:2]
    margin = max(0, -x, -y, x + side - width, y + side - height)
    colour = [float(value) for value in fill]
    frame = cv2.copyMakeBorder(frame, *[int(margin)] * 4, cv2.BORDER_CONSTANT, value=colour)
    x, y = x + margin, y + margin
    return cv2.resize(frame[y : y + side, x : x + side], (size, size))


class Constants(NamedTuple):
    scales: int
    step: float
    penalty: float
    lr: float
    window: float
    least: float = 0.0
    most: float = np.inf
    exemplar: int = 127
    instance: int = 255
    stride: int = 8
    upsampling: int = 16
    template_rate: float = 0.0
    templates: bool = False  # the pyramid is of templates


class Tracker:
    """`embed_template` and `embed_search` take crops [n, s, s, 3], `respond` their features."""

    def __init__(self, constants, embed_template, embed_search, respond):
        self.c = constants
        self.embed_template = embed_template
        self.embed_search = embed_search
        self.respond = respond
        half = constants.scales // 2
        self.factors = constants.step ** np.arange(-half, half + 1.0)

    def init(self, frame, box):
        box = np.float64(box)
        self.center = box[:2] + (box[2:] - 1) / 2
        self.size = box[2:]
        self.template_side = np.sqrt(np.prod(self.size + self.size.sum() / 2))
        self.search_side = self.template_side * self.c.instance / self.c.exemplar
        self.scale = 1.0
        self.fill = frame.reshape(-1, 3).mean(0, dtype=np.float64)
        self.template = self._exemplar(frame)

    def _exemplar(self, frame):
        sides = self.template_side / self.factors if self.c.templates else [self.template_side]
        crops = [cut(frame, self.center, side, self.c.exemplar, self.fill) for side in sides]
        return self.embed_template(np.float32(crops))

    def step(self, frame):
        """Move, and give (scale index, (y, x) in the upsampled map, sigmoid of the peak)."""
        c = self.c
        sides = [self.search_side] if c.templates else self.search_side * self.factors
        crops = [cut(frame, self.center, side, c.instance, self.fill) for side in sides]
        response = self.respond(self.template, self.embed_search(np.float32(crops)))
        grid = response.shape[1] * c.upsampling
        up = np.stack(
            [cv2.resize(r, (grid, grid), interpolation=cv2.INTER_CUBIC) for r in response]
        )
        penalties = np.where(np.arange(c.scales) == c.scales // 2, 1.0, c.penalty)
        chosen = np.argmax(up.max((1, 2)) * penalties)
        peak = up[chosen].max()
        score_map = up[chosen] * penalties[chosen]
        score_map = score_map - score_map.min()
        score_map = score_map / score_map.sum()
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(grid) / (grid - 1))
        hann = np.outer(hann, hann)
        score_map = (1 - c.window) * score_map + c.window * hann / hann.sum()
        y, x = np.unravel_index(np.argmax(score_map), score_map.shape)
        cells = (np.array([x, y]) - (grid - 1) / 2) / c.upsampling
        # The exemplar seen through a smaller window already carries the scale.
        magnify = 1.0 if c.templates else self.factors[chosen]
        self.center = self.center + cells * c.stride * self.search_side * magnify / c.instance
        wanted = self.scale * (1 - c.lr + c.lr * self.factors[chosen])
        ratio = np.clip(wanted, c.least, c.most) / self.scale
        self.scale, self.size = self.scale * ratio, self.size * ratio
        self.template_side = self.template_side * ratio
        self.search_side = self.search_side * ratio
        if c.template_rate:
            now = self._exemplar(frame)
            self.template = (1 - c.template_rate) * self.template + c.template_rate * now
        return chosen, (y, x), 1 / (1 + np.exp(-peak))

    @property
    def box(self):
        return np.concatenate([self.center - (self.size - 1) / 2, self.size])
