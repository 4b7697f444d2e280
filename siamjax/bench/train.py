"""Training steps, each beside the same step in PyTorch: two forward passes, loss, update.

Everything is trained and BatchNorm follows the batch, with SGD, weight decay and clipping. Crops
are ready on both sides; ours labels them inside the step, PyTorch gets the labels ready-made. The
losses of the first two steps are compared before anything is timed.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from siamjax import geometry, losses, weights
from siamjax.bench.timing import Row, measure
from siamjax.track import rpn_loss, zoo
from siamjax.track.siamfc import SiamFC
from siamjax.track.siamrpn import SiamRPN
from siamjax.train.optimizer import Optimizer, build
from siamjax.train.schedule import Constant
from siamjax.train.step import Step, TrainState, init_state, make_step

BATCHES = (8,)
RATE, MOMENTUM, DECAY, CLIP = 1e-4, 0.9, 1e-4, 10.0
"""Of the optimiser, on both sides."""
AGREE = 1e-3
"""Greatest relative difference of the losses: the second step's follows an update of everything."""

Batch = dict[str, np.ndarray]


@runtime_checkable
class Peer(Protocol):
    """The other side's training."""

    def step(self) -> float:
        """Train on the batch once more; gives the loss before the update."""
        ...


@dataclass(frozen=True)
class Case:
    """One tracker whose training is measured, `zoo.tracker` of the case's name.

    Attributes:
        tracker: as it is trained.
        peers: makes the other side's trainings of variables on a batch, by what the row says.
    """

    tracker: Any
    peers: Callable[[Any, Any, Batch], dict[str, Peer]]


def _siamrpn_peers(tracker: SiamRPN, variables: Any, batch: Batch) -> dict[str, Peer]:
    from siamjax.bench.torch_train import FORMATS, TorchRPNTraining

    state_dict = weights.to_torch(variables, tracker)
    cells = (tracker.instance - tracker.exemplar) // tracker.stride + 1 + 8
    key = jax.random.fold_in(_key(), 0)
    drawn = rpn_loss.draw(tracker, batch, cells, key, None)
    made: dict[str, Peer] = {}
    for name in FORMATS:
        made[name] = TorchRPNTraining(tracker.backbone, tracker.weighted, state_dict, batch, drawn,
                                      name)  # fmt: skip
    return made


def _siamfc_peers(tracker: SiamFC, variables: Any, batch: Batch) -> dict[str, Peer]:
    from siamjax.bench.torch_train import FORMATS, TorchFCTraining

    state_dict = weights.to_torch(variables, tracker)
    center = geometry.pixel_center(batch["search_box"]) - (tracker.instance - 1) / 2
    size = (tracker.instance - tracker.exemplar) // tracker.stride + 1
    label = lambda c: losses.logistic_labels(size, tracker.stride, c, r_pos=tracker.label_radius)
    labels = np.asarray(jax.vmap(label)(jnp.asarray(center)))
    return {name: TorchFCTraining(state_dict, batch, labels, name) for name in FORMATS}


def cases() -> dict[str, Case]:
    """Give the cases by the name of their tracker."""
    rpn, fc = "siamrpnpp-mobilenetv2", "siamfc-alexnet-v1"
    trained = dataclasses.replace(zoo.tracker(rpn), **{"trained": None})
    return {rpn: Case(trained, _siamrpn_peers), fc: Case(zoo.tracker(fc), _siamfc_peers)}


def batch_of(tracker: Any, count: int) -> Batch:
    """Make crops of noise with targets of 50 to 90 px near their middle."""
    random = np.random.default_rng(0)
    sizes = random.uniform(50, 90, (count, 2))
    middle = (tracker.instance - 1) / 2 + random.uniform(-20, 20, (count, 2))
    boxes = np.asarray(geometry.from_pixel_center(middle, sizes), np.float32)
    noise = lambda side: random.uniform(0, 255, (count, side, side, 3)).astype(np.float32)
    return {
        "template": noise(tracker.template_crop),
        "search": noise(tracker.instance),
        "template_box": boxes,
        "search_box": boxes,
        "positive": np.ones(count, bool),
        "index": np.arange(count, dtype=np.uint32),
    }


class Ours:
    """This library's training on one batch."""

    def __init__(self, tracker: Any, variables: Any, batch: Batch):
        config = Optimizer(
            "sgd", Constant(RATE), MOMENTUM, weight_decay=DECAY, decay_all=True, clip=CLIP
        )
        optimizer = build(config, 1, variables["params"])
        self._step: Step = jax.jit(make_step(tracker, optimizer), donate_argnums=0)
        copy = jax.tree.map(jnp.array, variables)
        self._state: TrainState = init_state(copy, optimizer)
        self._batch = jax.device_put(batch)
        # The draws of the first step at every step: the other side's labels stay the same too.
        self._zero = jnp.zeros((), jnp.int32)

    def step(self) -> float:
        """Train on the batch once more; gives the loss before the update."""
        state = self._state._replace(step=jnp.copy(self._zero))
        self._state, metrics = self._step(state, self._batch, _key())
        jax.block_until_ready(self._state)
        return float(metrics["loss"])


def rows(
    names: Sequence[str], compared: bool, batches: Sequence[int], repeats: int
) -> Iterator[Row]:
    """Measure training steps.

    Args:
        names: of the cases; all if none.
        compared: measure PyTorch beside them, a row for each of its memory formats.
        batches: pairs of a step.
        repeats: samples of each side.

    Raises:
        ValueError: no such case, or the two sides' losses differ.
    """
    known = cases()
    for name in names or known:
        if name not in known:
            raise zoo.unknown("case", name, list(known))
        case = known[name]
        variables = case.tracker.init_variables(jax.random.key(0))
        for count in batches:
            batch = batch_of(case.tracker, count)
            ours = Ours(case.tracker, variables, batch)
            peers = case.peers(case.tracker, variables, batch) if compared else {}
            first = [ours.step(), ours.step()]
            for text, peer in peers.items():
                check(f"{name}; torch {text}", first, [peer.step(), peer.step()])
            mine, *others = measure([ours.step, *(peer.step for peer in peers.values())], repeats)
            row = f"{name}, training step"
            if not others:
                yield Row(row, count, "forward+backward", *mine)
            for text, theirs in zip(peers, others, strict=True):
                yield Row(f"{row}; torch {text}", count, "forward+backward", *mine, *theirs)


def check(case: str, ours: Sequence[float], other: Sequence[float]) -> None:
    """Refuse sides whose losses differ.

    Raises:
        ValueError: naming the case and the losses.
    """
    if not np.allclose(ours, other, rtol=AGREE, atol=0):
        raise ValueError(f"bench train: {case}: losses {ours} and {other}; nothing was timed")


def _key() -> Any:
    return jax.random.key(0)
