"""`siamjax info`: what a model is made of, what it costs, and what a weights file says."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from rich.console import Console

from siamjax import weights
from siamjax.metric import zoo as metric_zoo
from siamjax.metric.model import Towers
from siamjax.track import zoo
from siamjax.weights.names import expected, unflatten

_FRAME = (270, 480, 3)


@dataclass(frozen=True)
class Command:
    """Show a model's parameters, shapes, FLOPs and header, or the keys of a PyTorch file."""

    model: tyro.conf.Positional[str] = "default"
    """A tracker's name, bundled weights, a .npz file, or a PyTorch checkpoint (read safely)."""
    list: bool = False
    """List the trackers (--arch) and the bundled weights instead."""
    json: bool = False
    """Print one JSON object on the last line of standard output."""

    def run(self) -> dict[str, Any]:
        """Show the model.

        Returns:
            With `list`: `trackers`, `convertible`, `bundled`. For a checkpoint: `keys` with shapes
            and dtypes. For a model: `parameters`, `modules`, `shapes`, `flops`, and `header` where
            it comes from a file.

        Raises:
            ValueError: unknown model, or a file that is unsafe or damaged.
            OSError: a file cannot be read.
        """
        console = Console(stderr=self.json, highlight=False, soft_wrap=True)
        if self.list:
            return _list(console)
        if Path(self.model).suffix in weights.TORCH_SUFFIXES:
            return _checkpoint(console, self.model)
        header = None
        if self.model in zoo.names() and self.model not in weights.bundled():
            tracker = zoo.tracker(self.model)
        else:
            header = weights.read(weights.locate(self.model))[0]
            tracker = weights.load(self.model)[0]
        return _model(console, tracker, header)


def _print(console: Console, rows: Iterable[tuple[str, ...]]) -> None:
    """Print rows in aligned columns, whole whatever the width of the terminal."""
    lines = tuple(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.print("  ".join(cells).rstrip(), markup=False)


def _list(console: Console) -> dict[str, Any]:
    able, there = weights.convertible(), weights.bundled()
    rows = [
        (name, "yes" if name in able else "-", "yes" if name in there else "-")
        for name in zoo.names()
    ]
    _print(console, [("tracker (--arch)", "convert from PyTorch", "bundled"), *rows])
    return {"trackers": zoo.names(), "convertible": able, "bundled": there}


def _checkpoint(console: Console, path: str) -> dict[str, Any]:
    state_dict = weights.read_torch(path)
    rows = [(key, str(tuple(a.shape)), a.dtype.name) for key, a in state_dict.items()]
    _print(console, [("key", "shape", "dtype"), *rows])
    elements = sum(array.size for array in state_dict.values())
    console.print(f"{path}: {len(state_dict)} arrays, {elements:,} elements", markup=False)
    keys = {key: [list(a.shape), a.dtype.name] for key, a in state_dict.items()}
    return {"keys": keys, "elements": elements}


def _model(console: Console, tracker: Any, header: dict[str, Any] | None) -> dict[str, Any]:
    modules = parameters_by_module(expected(tracker))
    total = sum(modules.values())
    shapes, flops = costs(tracker)
    name = weights.title(tracker)
    console.print(f"{name}: {total:,} parameters", markup=False)
    for key, value in (header or {}).items():
        if key not in ("config", "collections", "format", "name", "parameters"):
            console.print(f"  {key}: {value}", markup=False)
    rows = [(key, f"{n:,}", f"{100 * n / max(total, 1):.1f} %") for key, n in modules.items()]
    _print(console, [("module", "parameters", "share"), *rows])
    rows = [(key, " x ".join(map(str, shape))) for key, shape in shapes.items()]
    _print(console, [("array", "shape"), *rows])
    rows = [(key, f"{value / 1e9:.3f} GFLOP") for key, value in flops.items()]
    _print(console, [("computation", "cost"), *rows])
    two = isinstance(tracker, Towers)
    family, config = metric_zoo.describe(tracker) if two else zoo.describe(tracker)
    return {
        "name": name,
        "tracker": family,
        "config": config,
        "parameters": total,
        "modules": modules,
        "shapes": {key: list(shape) for key, shape in shapes.items()},
        "flops": flops,
        "header": header,
    }


def parameters_by_module(shapes: Mapping[str, Any]) -> dict[str, int]:
    """Count the trained parameters of every module two levels deep (`backbone/conv1`)."""
    modules = Counter[str]()
    for path, leaf in shapes.items():
        collection, *parts = path.split("/")
        if collection == "params":
            modules["/".join(parts[:2])] += math.prod(leaf.shape)
    natural = lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]
    return {name: modules[name] for name in sorted(modules, key=natural)}


def costs(tracker: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, float]]:
    """Give the shapes at the network's ends, and the FLOPs of template, search and whole step.

    Nothing is compiled or run. The program is the one for accelerators: on CPU parts of it are
    loops over examples, whose bodies XLA's analysis counts once. Models of two towers have the
    inputs of each, and the FLOPs of embedding one.
    """
    variables = unflatten(expected(tracker))
    if isinstance(tracker, Towers):
        sides = {name: "b" if name == "b" else "a" for name in tracker.towers}
        inputs = {name: tower.example() for name, tower in tracker.towers.items()}
        shapes = {f"{name} input": x.shape for name, x in inputs.items()}
        embed = lambda name: lambda v, x: tracker.embed(v, x, side=sides[name])
        flops = {f"{name} embed": _flops(embed(name), variables, inputs[name]) for name in inputs}
        return shapes | {"embedding": (1, tracker.dim)}, flops
    z = jax.ShapeDtypeStruct((1, tracker.exemplar, tracker.exemplar, 3), np.float32)
    x = jax.ShapeDtypeStruct((1, tracker.instance, tracker.instance, 3), np.float32)
    frame = jax.ShapeDtypeStruct(_FRAME, np.uint8)
    box = jax.ShapeDtypeStruct((4,), np.float32)
    template = jax.eval_shape(tracker.template, variables, z)
    outputs = jax.eval_shape(tracker.respond, variables, template, x)
    state = jax.eval_shape(tracker.init, variables, frame, box)
    shapes = {"template crop": z.shape, **_shapes("template", template), "search crop": x.shape}
    for name, output in outputs.items():
        shapes |= _shapes(name, output)
    flops = {
        "template": _flops(tracker.template, variables, z),
        "respond": _flops(tracker.respond, variables, template, x),
        "step": _flops(tracker.step, variables, state, frame),
    }
    return shapes, flops


def _shapes(name: str, tree: Any) -> dict[str, tuple[int, ...]]:
    """Give the shape of each array under a name: `template`, or `template/0/cls` inside it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    named = lambda path: "/".join([name, jax.tree_util.keystr(path, simple=True, separator="/")])
    return {named(path) if path else name: leaf.shape for path, leaf in leaves}


def _flops(function: Callable[..., Any], *arguments: Any) -> float:
    lowered = jax.jit(function).trace(*arguments).lower(lowering_platforms=("tpu",))
    analysis = lowered.cost_analysis()
    return float(analysis["flops"]) if analysis else float("nan")
