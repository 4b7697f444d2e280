"""One training step as a pure function: augment, differentiate, guard, update.

The same function runs under `jit` (one device, or a batch sharded by `NamedSharding`), `shard_map`
and `pmap`; it knows nothing of devices but the name of the axis it is mapped over.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax

from siamjax.train import freeze
from siamjax.typing import Array, Params, Variables

Batch = Mapping[str, Any]
Metrics = dict[str, Array]


@runtime_checkable
class Trainable(Protocol):
    """What training asks of a tracker.

    `loss` is called as `loss(params, stats, batch, key, train=True)` and, where the step is mapped
    over devices, with `axis_name=` besides; then its value must be the loss of the whole batch and
    its gradient such that the mean over the devices is right, as `siamjax.losses` returns it.
    """

    def init_variables(self, key: Any) -> Variables: ...

    @property
    def loss(self) -> Callable[..., tuple[Array, tuple[Any, Mapping[str, Any]]]]: ...


class TrainState(NamedTuple):
    """All that changes during training.

    Attributes:
        params: what is differentiated.
        stats: running statistics (`batch_stats`).
        opt_state: the optimiser's state.
        step: number of batches consumed, int32[]; skipped updates count.
        ema: running average of `params`, or None.
    """

    params: Params
    stats: Params
    opt_state: Any
    step: Any
    ema: Params | None = None


Step = Callable[[TrainState, Batch, Any], tuple[TrainState, Metrics]]


def init_state(
    variables: Variables, optimizer: optax.GradientTransformation, *, ema: bool = False
) -> TrainState:
    """Start training from `variables`."""
    params = variables["params"]
    return TrainState(
        params=params,
        stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
        step=jnp.zeros((), jnp.int32),
        ema=params if ema else None,
    )


def make_step(
    tracker: Trainable,
    optimizer: optax.GradientTransformation,
    augment: Callable[[Any, Batch], Batch] | None = None,
    axis_name: str | None = None,
    *,
    ema_decay: float = 0.0,
    frozen: Sequence[str] = (),
    accumulate: int = 1,
) -> Step:
    """Build `step(state, batch, key) -> (state, metrics)`.

    Args:
        tracker: its `loss` is minimised.
        optimizer: an optax chain, gradient clipping included.
        augment: `(key, batch) -> batch` on the device; randomness comes from `key` and
            `batch["index"]` alone, so it does not depend on how the batch is split.
        axis_name: axis of `shard_map` or `pmap` over which the batch is split.
        ema_decay: decay of the running average in `state.ema`.
        frozen: patterns of parameter paths that are not trained (`siamjax.train.freeze`).
        accumulate: parts of a batch that go through the network one after another, for the memory
            of one. Loss and gradient are the means of the parts' own, BatchNorm follows each in
            turn: pair i is of part `i % accumulate`, on any number of devices.

    Returns:
        The step. `key` is the same at every step. Metrics, float32[]: loss, grad_norm (before
        clipping), skipped (1 where loss or gradient was not finite: then only `step` moves), and
        those of the tracker.
    """
    named = {} if axis_name is None else {"axis_name": axis_name}

    def step(state: TrainState, batch: Batch, key: Any) -> tuple[TrainState, Metrics]:
        if augment is not None:
            batch = augment(key, batch)
        key = jax.random.fold_in(key, state.step)
        params = state.params
        if axis_name is not None:
            # Without this, shard_map sums the gradient over devices before the mean below.
            params = jax.lax.pcast(params, axis_name, to="varying")

        def part(stats: Params, batch: Batch, key: Any) -> tuple[Any, Params]:
            """Give loss, gradient and metrics of a part of the batch, and the new statistics."""

            def objective(params):
                return tracker.loss(
                    freeze.stop(params, frozen), stats, batch, key, train=True, **named
                )

            (loss, (stats, metrics)), grads = jax.value_and_grad(objective, has_aux=True)(params)
            metrics = {name: jnp.asarray(value, jnp.float32) for name, value in metrics.items()}
            return (loss, grads, metrics), stats

        if accumulate == 1:
            (loss, grads, metrics), stats = part(state.stats, batch, key)
        else:
            (loss, grads, metrics), stats = _in_parts(
                part, state.stats, batch, key, accumulate, axis_name
            )
        if axis_name is not None:
            loss, grads, metrics = jax.lax.pmean((loss, grads, metrics), axis_name)
            stats = _agree(stats, axis_name)
        norm = optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = jax.tree.map(jnp.add, state.params, updates)
        ema = state.ema
        if ema is not None:
            ema = jax.tree.map(lambda old, new: old + (1 - ema_decay) * (new - old), ema, params)
        moved = TrainState(params, stats, opt_state, state.step, ema)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, state)
        metrics |= {
            "loss": loss,
            "grad_norm": norm,
            "skipped": jnp.where(finite, 0.0, 1.0),
        }
        return kept._replace(step=state.step + 1), metrics

    return step


def _in_parts(
    part: Callable[..., tuple[Any, Params]],
    stats: Params,
    batch: Batch,
    key: Any,
    count: int,
    axis_name: str | None,
) -> tuple[Any, Params]:
    """Run the parts of a batch one after another; the mean of their results, the last statistics.

    Rows i, i + count, ... are a part, so that a batch that is split over devices stays where it is.
    """

    def rows(value: Any) -> Array:
        value = jnp.asarray(value)
        return value.reshape(-1, count, *value.shape[1:]).swapaxes(0, 1)

    def vary(leaf: Array) -> Array:
        """Let the loop carry on every device what differs between them."""
        if axis_name is None:
            return leaf
        return leaf + jax.lax.pcast(jnp.zeros((), leaf.dtype), axis_name, to="varying")

    parts = {name: rows(value) for name, value in batch.items()}
    keys = jax.random.split(key, count)
    first = {name: value[0] for name, value in parts.items()}
    shapes = jax.eval_shape(part, stats, first, keys[0])[0]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def add(carry, inputs):
        sums, stats = carry
        one, stats = part(stats, *inputs)
        return jax.tree.map(vary, (jax.tree.map(jnp.add, sums, one), stats)), None

    (sums, stats), _ = jax.lax.scan(add, jax.tree.map(vary, (zeros, stats)), (parts, keys))
    return jax.tree.map(lambda total: total / count, sums), stats


def _agree(stats: Params, axis_name: str) -> Params:
    """Make running statistics equal on all devices: the mean; counters the largest."""

    def one(leaf: Array) -> Array:
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jax.lax.pmean(leaf, axis_name) if floating else jax.lax.pmax(leaf, axis_name)

    return jax.tree.map(one, stats)
