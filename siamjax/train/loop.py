"""The loop that runs a recipe: batches in, checkpoints, a log and weights out.

Killed at any moment and started again on the same folder, it ends with the parameters of a run
that was never interrupted (bit for bit on CPU). One process, one or several local devices.
"""

import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from rich.console import Console

from siamjax import weights
from siamjax.train import freeze
from siamjax.train import optimizer as optimizers
from siamjax.train.checkpoint import Checkpoints, Restored
from siamjax.train.log import Log, Window
from siamjax.train.recipe import Training
from siamjax.train.step import TrainState, init_state, make_step
from siamjax.train.terminal import progress, stop

MAX_SKIPPED = 50
WEIGHTS = "weights.npz"


def train(
    recipe: Training, out: str | Path, *, devices: int | None = None, console: Console | None = None
) -> dict[str, Any]:
    """Train a recipe to its last step, continuing what `out` holds.

    Writes `checkpoints/`, `metrics.jsonl`, `tensorboard/` (where tensorboardX is installed) and, at
    the end, `weights.npz`. Ctrl-C (or SIGTERM) saves a checkpoint before it ends the training.

    Args:
        recipe: what to train.
        out: folder of this training.
        devices: local devices over which each batch is split; all of them by default.
        console: where progress goes; standard error by default.

    Returns:
        Summary, JSON-able.

    Raises:
        ValueError: a setting, the data or the checkpoints in `out` do not fit, or the loss stays
            not finite.
        OSError: `out` cannot be written.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is saved.
    """
    out = Path(out)
    console = console or Console(stderr=True)
    begun = time.monotonic()
    mesh = _mesh(devices, recipe.batch_size)
    replicated, split = (NamedSharding(mesh, PartitionSpec(*axis)) for axis in ((), ("data",)))
    init_key, run_key = jax.random.split(jax.random.key(recipe.seed))
    shapes = jax.eval_shape(recipe.subject().init_variables, init_key)
    phases = freeze.phases(recipe.unfreeze)
    compiled = functools.partial(_step, recipe, params=shapes["params"], shardings=replicated)
    if recipe.unfreeze and not hasattr(recipe.subject(), "trained"):
        raise ValueError(f"unfreeze: {type(recipe.subject()).__name__} has no stages to unfreeze")
    optimizer, *_ = [  # all of them, so that a wrong name is found before the first phase
        optimizers.build(recipe.optimizer, recipe.steps, shapes["params"], phase)
        for phase in phases
    ]
    start = functools.partial(init_state, optimizer=optimizer, ema=recipe.ema > 0)
    batches = recipe.batches()
    with Checkpoints(out / "checkpoints", recipe.keep) as checkpoints:
        report = lambda message: console.print(message, style="yellow", highlight=False)
        restored = checkpoints.restore(jax.eval_shape(start, shapes), report)
        if restored is None:
            state = start(_initial(recipe, init_key))
            window, skipped, first = Window(), 0, 0
        else:
            _compare(recipe, restored, report)
            state = restored.state
            batches.set_state(restored.meta["data"])
            window = Window(restored.meta["window"])
            skipped, first = restored.meta["skipped"], restored.step
            console.print(f"continuing after step {first} of {recipe.steps}", highlight=False)
        state = jax.device_put(jax.tree.map(np.asarray, state), replicated, may_alias=False)

        def save(number: int) -> None:
            meta = {
                "data": batches.get_state(),
                "window": window.state(),
                "skipped": skipped,
                "recipe": _settings(recipe),
            }
            checkpoints.save(number, state, meta)

        on_cpu = mesh.devices.flat[0].platform == "cpu"
        rate = recipe.optimizer.schedule.build(recipe.steps)
        phase, step = None, None
        waiting: list[Any] = []
        number, saved, line = first, first, {}
        with Log(out, first) as log, progress(console, recipe, first) as show, stop() as stopping:
            while number < recipe.steps and not stopping.is_set():
                due = [phase for phase in phases if phase.start <= number][-1]
                if step is None or due is not phase:
                    phase, step = due, compiled(due)
                batch = {k: jax.device_put(v, split) for k, v in next(batches).items()}
                state, metrics = step(state, batch, run_key)
                waiting.append(metrics)
                # Queued steps with collectives deadlock forced CPU devices; elsewhere two may run.
                jax.block_until_ready(waiting[-1 if on_cpu else -min(3, len(waiting))])
                if number == first:
                    jax.block_until_ready(metrics)
                    log.start_clock()
                else:
                    log.count(recipe.batch_size)
                number += 1
                logs = number % recipe.log_every == 0 or number == recipe.steps
                saves = number % recipe.checkpoint_every == 0 or number == recipe.steps
                if logs or saves or len(waiting) >= MAX_SKIPPED:
                    for metrics in jax.device_get(waiting):
                        window.add(metrics)
                        skipped += int(metrics["skipped"])
                        _check_progress(window, number)
                    waiting.clear()
                if logs:
                    line = {**window.take(), "learning_rate": float(np.asarray(rate(number - 1)))}
                    line = log.write(number, line)
                if saves:
                    save(number)
                    saved = number
                show(number, line)
            if number > saved:
                for metrics in jax.device_get(waiting):
                    window.add(metrics)
                    skipped += int(metrics["skipped"])
                save(number)
        batches.close()
        if number < recipe.steps:
            console.print(f"stopped after step {number}; the same command continues it")
            raise KeyboardInterrupt
    _export(recipe, jax.device_get(state), out / WEIGHTS)
    seconds = time.monotonic() - begun
    return {
        "recipe": recipe.name,
        "out": str(out),
        "weights": str(out / WEIGHTS),
        "steps": number,
        "continued_from": first or None,
        "loss": line.get("loss"),
        "skipped": skipped,
        "seconds": round(seconds, 1),
        "samples": (number - first) * recipe.batch_size,
        "device": f"{mesh.size} x {mesh.devices.flat[0].device_kind}",
        "damaged_files": dict(batches.damaged),
    }


def _mesh(devices: int | None, batch_size: int) -> jax.sharding.Mesh:
    """Make the mesh of one axis over local devices."""
    local = jax.local_devices()
    count = len(local) if devices is None else devices
    if not 1 <= count <= len(local):
        raise ValueError(f"devices must be 1 to {len(local)} here, got {count}")
    if batch_size % count:
        raise ValueError(f"batch_size must be a multiple of {count} devices, got {batch_size}")
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,), devices=local[:count])


def _step(recipe: Training, phase: freeze.Phase, params: Any, shardings: Any) -> Any:
    """Build the compiled step of one phase of the training."""
    model: Any = recipe.trainee()
    if phase.layers is not None:
        model = dataclasses.replace(model, trained=phase.layers)
    step = make_step(
        model,
        optimizers.build(recipe.optimizer, recipe.steps, params, phase),
        recipe.augmentation(),
        ema_decay=recipe.ema,
        frozen=recipe.optimizer.frozen + phase.frozen,
    )
    return jax.jit(step, donate_argnums=0, out_shardings=shardings)


def _initial(recipe: Training, key: Any) -> Any:
    """Draw fresh variables and let the recipe change them; their shapes must stay."""
    if recipe.backbone is not None and recipe.initial is None:
        raise ValueError(f"backbone {recipe.backbone}: recipe {recipe.name} has no use for one")
    fresh = recipe.subject().init_variables(key)
    if recipe.initial is None:
        return fresh
    variables = recipe.initial(fresh, recipe.backbone)
    shape = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), tree)
    if shape(variables) != shape(fresh):
        raise ValueError(f"initial of recipe {recipe.name} changed names, shapes or dtypes")
    return variables


def _settings(recipe: Training) -> dict[str, str]:
    """Give the settings that make two trainings the same, as text."""
    skip = ("initial", "data", "backbone", "threads", "keep", "log_every")
    fields = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)}
    kept = {k: v for k, v in fields.items() if k not in skip and not callable(v)}
    return {name: repr(value) for name, value in kept.items()}


def _compare(recipe: Training, restored: Restored, report: Callable[[str], None]) -> None:
    """Say which settings changed since the checkpoint; refuse another recipe or a shorter run."""
    before, now = restored.meta["recipe"], _settings(recipe)
    if before.get("name") != now["name"]:
        raise ValueError(
            f"the checkpoints are of recipe {before.get('name')}, not {now['name']};"
            " give another output folder"
        )
    if restored.step > recipe.steps:
        raise ValueError(f"steps is {recipe.steps}, but {restored.step} are done already")
    for name in sorted(now):
        if before.get(name) != now[name]:
            report(f"{name} changed since the checkpoint: {before.get(name)} -> {now[name]}")


def _check_progress(window: Window, number: int) -> None:
    """Give up where nothing but skipped steps happens."""
    if window.skipped_in_row >= MAX_SKIPPED:
        raise ValueError(
            f"loss or gradient was not finite {MAX_SKIPPED} steps in a row, up to step {number}:"
            " lower the learning rate, or look at the data"
        )


def _export(recipe: Training, state: TrainState, path: Path) -> None:
    """Write the trained variables as a weights file."""
    params = state.params if state.ema is None else state.ema
    weights.save(
        path,
        recipe.subject(),
        {"params": params, "batch_stats": state.stats},
        source=recipe.source or f"trained by recipe {recipe.name}",
        licence=recipe.licence,
        training=json.loads(json.dumps(_settings(recipe))),
    )
