"""SiamMask's refinement by NumPy in float64, one position at a time."""

import numpy as np
from models.backbones_numpy import pad, relu, windows

from siamjax.weights.names import flatten


def window(stage, position, cells, step, border):
    """The exemplar's cells of [H, W, C] at a position (row, column), zeros beyond the border."""
    height, width, channels = stage.shape
    out = np.zeros((cells, cells, channels))
    for i in range(cells):
        for j in range(cells):
            row, column = step * position[0] + i - border, step * position[1] + j - border
            if 0 <= row < height and 0 <= column < width:
                out[i, j] = stage[row, column]
    return out


def nearest(x, size):
    """Cell floor(i * n / size) of every axis, in whole numbers."""
    rows, columns = ([i * n // size for i in range(size)] for n in x.shape[:2])
    return x[rows][:, columns]


def refine(params, levels, border, size, correlation, stages, position):
    """Logits [size, size] for one position; `border` in cells of each stage."""
    flat = {name: np.float64(leaf) for name, leaf in flatten(params).items()}

    def conv(x, path):
        view = windows(pad(x[None], 1), 3)
        out = np.tensordot(view, flat[f"{path}/kernel"], ((4, 5, 3), (0, 1, 2)))
        return out[0] + flat[f"{path}/bias"]

    point = np.float64(correlation[position[0], position[1]])
    x = np.einsum("c,hwoc->hwo", point, flat["deconv/kernel"]) + flat["deconv/bias"]
    sizes = [*(level.cells for level in levels[1:]), size]
    for index, (level, stage) in enumerate(zip(levels, stages, strict=True)):
        here = f"level_{index}"
        v = window(np.float64(stage), position, level.cells, level.step, border[index])
        for number in (1, 2):
            v = relu(conv(v, f"{here}/window{number}"))
            x = relu(conv(x, f"{here}/inner{number}"))
        x = conv(nearest(x + v, sizes[index]), f"{here}/post")
    return x[..., 0]
