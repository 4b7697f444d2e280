"""SiamRPN's step in NumPy, as PySOT and DaSiamRPN state it; the network's outputs are given."""

import math

import numpy as np

RATIOS = (0.33, 0.5, 1, 2, 3)


def side(w, h):
    return math.sqrt((w + (w + h) / 2) * (h + (w + h) / 2))


def anchors(count, stride=8):
    """[5 * count * count, 4], anchor by anchor, row by row."""
    rows = []
    for ratio in RATIOS:
        w = int(math.sqrt(stride * stride / ratio))
        h = int(w * ratio)
        for y in range(count):
            for x in range(count):
                start = -(count // 2) * stride
                rows.append((start + x * stride, start + y * stride, w * 8, h * 8))
    return np.array(rows, float)


def read(cls, loc):
    """Boxes and scores of outputs [y, x, 5, 2] and [y, x, 5, 4]."""
    cls = np.moveaxis(np.asarray(cls, float), 2, 0).reshape(-1, 2)
    loc = np.moveaxis(np.asarray(loc, float), 2, 0).reshape(-1, 4)
    score = 1 / (1 + np.exp(cls[:, 0] - cls[:, 1]))
    at = anchors(int(math.sqrt(len(loc) / 5)))
    boxes = np.empty_like(loc)
    boxes[:, :2] = loc[:, :2] * at[:, 2:] + at[:, :2]
    boxes[:, 2:] = np.exp(loc[:, 2:]) * at[:, 2:]
    return boxes, score


def choose(boxes, score, size, scale, penalty_k, influence):
    """The index chosen and the penalties; `size` in frame pixels."""
    count = int(math.sqrt(len(score) / 5))
    hann = np.hanning(count)
    window = np.tile(np.outer(hann, hann).ravel(), 5)
    change = lambda ratio: np.maximum(ratio, 1 / ratio)
    w, h = boxes[:, 2], boxes[:, 3]
    own = side(size[0] * scale, size[1] * scale)
    s_c = change(np.sqrt((w + (w + h) / 2) * (h + (w + h) / 2)) / own)
    r_c = change((size[0] / size[1]) / (w / h))
    penalty = np.exp(-(r_c * s_c - 1) * penalty_k)
    ranks = penalty * score * (1 - influence) + window * influence
    return int(np.argmax(ranks)), penalty, ranks


def moved(center, size, box, rate, scale):
    center = np.asarray(center) + box[:2] / scale
    return center, np.asarray(size) * (1 - rate) + box[2:] / scale * rate


def clipped(center, size, width, height):
    cx, cy = min(max(center[0], 0), width), min(max(center[1], 0), height)
    w, h = min(max(size[0], 10), width), min(max(size[1], 10), height)
    return np.array([cx, cy]), np.array([w, h])
