"""The loop that runs a recipe: batches in, checkpoints, a log and weights out.

Killed at any moment and started again on the same folder, it ends with the parameters of a run
that was never interrupted (bit for bit on CPU). Of several hosts, all run it and the first writes.
"""

import contextlib
import dataclasses
import functools
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from siamjax.train import freeze, hosts, outcome
from siamjax.train import optimizer as optimizers
from siamjax.train.checkpoint import Checkpoints
from siamjax.train.log import Log
from siamjax.train.outcome import Best
from siamjax.train.parallel import Mode, Parallel
from siamjax.train.position import MAX_SKIPPED, Position, continue_data, damaged
from siamjax.train.resume import compare
from siamjax.train.step import Step, init_state, make_step
from siamjax.train.terminal import progress, stop
from siamjax.train.training import Training, Validate


def train(
    recipe: Training,
    out: str | Path,
    *,
    devices: int | None = None,
    parallel: Mode = "jit",
    console: Console | None = None,
) -> dict[str, Any]:
    """Train a recipe to its last step, continuing what `out` holds.

    Writes `checkpoints/`, `metrics.jsonl`, `tensorboard/` (where tensorboardX is installed),
    `pictures/`, `best.npz` where the recipe validates and, at the end, `weights.npz`. Ctrl-C (or
    SIGTERM) saves a checkpoint before it ends the training.

    Args:
        recipe: what to train.
        out: folder of this training, used by the first of several hosts.
        devices: of each host, over which batches are split; all of them by default.
        parallel: how the step runs on them (`siamjax.train.parallel`).
        console: where progress goes; standard error by default.

    Returns:
        Summary, JSON-able.

    Raises:
        ValueError: a setting, the data or the checkpoints in `out` do not fit, or the loss stays
            not finite.
        OSError: `out` cannot be written.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is saved.
    """
    out, begun = Path(out), time.monotonic()
    console = (console or Console(stderr=True)) if hosts.is_first() else Console(quiet=True)
    report = lambda message: console.print(message, style="yellow", highlight=False, soft_wrap=True)
    over = Parallel(parallel, devices)
    init_key, run_key = jax.random.split(jax.random.key(recipe.seed))
    shapes = jax.eval_shape(recipe.subject().init_variables, init_key)
    steps = Steps(recipe, shapes["params"], over)
    start = functools.partial(init_state, optimizer=steps.optimizer, ema=recipe.ema > 0)
    validate = _validation(recipe, over.shard)
    batches = recipe.batches(over.shard)
    with Checkpoints(out / "checkpoints", recipe.keep) as checkpoints:
        restored = checkpoints.restore(jax.eval_shape(start, shapes), report)
        if restored is None:
            at = Position(start(_initial(recipe, init_key)))
        else:
            compare(recipe, restored, report)
            continue_data(batches, restored)
            at = Position.of(restored)
            console.print(f"continuing after step {at.number} of {recipe.steps}", highlight=False)
        at.state = over.replicate(at.state)
        paint = recipe.painter() if recipe.pictures_every and hosts.is_first() else None
        rate = recipe.optimizer.schedule.build(recipe.steps)
        first, saved, line = at.number, at.number, {}
        with (
            Log(out if hosts.is_first() else None, first) as log,
            progress(console, recipe, first) as show,
            stop() as stopping,
            contextlib.closing(batches),
        ):
            if validate is not None and restored is None:
                _validate(recipe, validate, at, log, out)
            while at.number < recipe.steps:
                batch = next(batches)
                step = steps.at(at.number)
                at.advance(*step(at.state, over.split(batch), run_key), over.platform == "cpu")
                if at.number == first + 1:
                    jax.block_until_ready(at.waiting)
                    log.start_clock()
                else:
                    log.count(recipe.batch_size)
                logs, saves, validates = (
                    _due(every, at.number, recipe.steps)
                    for every in (recipe.log_every, recipe.checkpoint_every, recipe.validate_every)
                )
                if logs or saves or len(at.waiting) >= MAX_SKIPPED:
                    at.settle()
                if logs:
                    line = {
                        **at.window.take(),
                        "learning_rate": float(np.asarray(rate(at.number - 1))),
                    }
                    line = log.write(at.number, line)
                if paint is not None and at.number % recipe.pictures_every == 0:
                    log.picture(at.number, paint(outcome.variables(at.state), batch, run_key))
                if validate is not None and validates:
                    _validate(recipe, validate, at, log, out)
                if saves:
                    checkpoints.save(at.number, at.state, at.meta(recipe, batches))
                    saved = at.number
                show(at.number, line)
                if _stops(stopping.is_set(), logs):
                    break
            if at.number > saved:
                at.settle()
                checkpoints.save(at.number, at.state, at.meta(recipe, batches))
            lost = damaged(batches)
    if at.number < recipe.steps:
        console.print(f"stopped after step {at.number}; the same command continues it")
        raise KeyboardInterrupt
    if hosts.is_first():
        outcome.export(recipe, outcome.variables(at.state), out / outcome.WEIGHTS)
    best = None
    if at.best is not None:
        best = {**at.best._asdict(), "weights": str(out / outcome.BEST)}
    seconds = time.monotonic() - begun
    return {
        "recipe": recipe.name,
        "out": str(out),
        "weights": str(out / outcome.WEIGHTS),
        "best": best,
        "steps": at.number,
        "continued_from": first or None,
        "loss": line.get("loss"),
        "skipped": at.skipped,
        "seconds": round(seconds, 1),
        "samples": (at.number - first) * recipe.batch_size,
        "device": over.describe(),
        "parallel": over.mode,
        "hosts": hosts.count(),
        "damaged_files": lost,
    }


class Steps:
    """The compiled steps of a training, one for each phase of it.

    Attributes:
        optimizer: of the first phase; its state serves all.

    Raises:
        ValueError: the batch cannot be divided, or a name of a part of the network is wrong.
    """

    def __init__(self, recipe: Training, params: Any, over: Parallel):
        whole = over.size * recipe.accumulate
        if recipe.batch_size % whole:
            parts = f"{over.size} devices" + (
                f" times {recipe.accumulate} parts" if recipe.accumulate > 1 else ""
            )
            raise ValueError(f"batch_size must be a multiple of {parts}, got {recipe.batch_size}")
        if recipe.unfreeze and not hasattr(recipe.subject(), "trained"):
            raise ValueError(
                f"unfreeze: {type(recipe.subject()).__name__} has no stages to unfreeze"
            )
        self._recipe, self._over = recipe, over
        self._phases = freeze.phases(recipe.unfreeze)
        # All of them, so that a wrong name is found before the first phase.
        self._optimizers = [
            optimizers.build(recipe.optimizer, recipe.steps, params, phase)
            for phase in self._phases
        ]
        self.optimizer = self._optimizers[0]
        self._current: tuple[int, Step] | None = None

    def at(self, number: int) -> Step:
        """Give the step that follows `number` steps; the one of an earlier phase is let go."""
        phase = max(i for i, phase in enumerate(self._phases) if phase.start <= number)
        if self._current is None or self._current[0] != phase:
            self._current = phase, self._over.compile(functools.partial(self._make, phase))
        return self._current[1]

    def _make(self, number: int, axis_name: str | None) -> Step:
        recipe, phase = self._recipe, self._phases[number]
        return make_step(
            _trainee(recipe, phase),
            self._optimizers[number],
            recipe.augmentation(),
            axis_name,
            ema_decay=recipe.ema,
            frozen=recipe.optimizer.frozen + phase.frozen,
            accumulate=recipe.accumulate,
        )


def _trainee(recipe: Training, phase: freeze.Phase) -> Any:
    """Give what is trained in a phase, set for it."""
    model: Any = recipe.trainee()
    changes: dict[str, Any] = {}
    if phase.layers is not None:
        changes["trained"] = phase.layers
    if recipe.dtype is not None:
        changes["dtype"] = recipe.dtype
        if not hasattr(model, "dtype"):
            raise ValueError(f"dtype: {type(model).__name__} computes in float32 alone")
    return dataclasses.replace(model, **changes)


def _initial(recipe: Training, key: Any) -> Any:
    """Draw fresh variables and let the recipe change them; their shapes must stay."""
    fresh = recipe.subject().init_variables(key)
    variables = recipe.begin(fresh)
    shape = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), tree)
    if shape(variables) != shape(fresh):
        raise ValueError(f"initial of recipe {recipe.name} changed names, shapes or dtypes")
    return variables


def _validation(recipe: Training, shard: tuple[int, int]) -> Validate | None:
    """Read what is validated on, where the recipe asks for it."""
    if not recipe.validate_every:
        return None
    validate = recipe.validation(shard)
    if validate is None:
        raise ValueError(f"validate_every: recipe {recipe.name} has nothing to validate on")
    return validate


def _validate(recipe: Training, validate: Validate, at: Position, log: Log, out: Path) -> None:
    """Score the weights so far, and keep them where none were better."""
    trained = outcome.variables(at.state)
    line = outcome.score(validate, trained)
    log.note(at.number, line)
    if at.best is None or line["validation"] > at.best.score:
        at.best = Best(at.number, line["validation"])
        if hosts.is_first():
            outcome.export(recipe, trained, out / outcome.BEST, at.best)


def _due(every: int, number: int, last: int) -> bool:
    """Tell whether something is done after step `number`; after the last one everything is."""
    return every > 0 and (number % every == 0 or number == last)


def _stops(asked: bool, together: bool) -> bool:
    """Tell whether to stop; several hosts agree on it when they write a line of the log."""
    if hosts.count() == 1:
        return asked
    return together and any(hosts.gather(asked))
