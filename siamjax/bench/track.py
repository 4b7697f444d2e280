"""Whole trackers, from frames to boxes, each beside the same algorithm in PyTorch or OpenCV.

Weights are random unless a file is given; boxes of the sides are compared before anything is
timed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from siamjax import weights
from siamjax.bench.timing import Row, measure
from siamjax.track import zoo
from siamjax.track.region import RegionTracker
from siamjax.track.zoo import Tracker
from siamjax.typing import Variables

FRAMES = 6
FRAME = (270, 480)
BOX = (200.0, 100.0, 60.0, 44.0)


@runtime_checkable
class Peer(Protocol):
    """A tracker of the other side; frames are RGB, boxes (x, y, width, height)."""

    def init(self, frame: np.ndarray, box: np.ndarray) -> Any: ...

    def step(self, state: Any, frame: np.ndarray) -> tuple[Any, np.ndarray]: ...


@dataclass(frozen=True)
class Case:
    """One tracker and what it is compared with; the tracker is `zoo.tracker` of the case's name.

    Attributes:
        about: what a step does, for the row.
        against: whose the peers are.
        peers: makes them, by what the row says of them.
        pixels: greatest difference of the boxes of the two sides.
        published: gives the variables that the peer has, where it cannot take any.
    """

    about: str
    against: Literal["torch", "opencv"]
    peers: Callable[[str, Tracker, Variables], Mapping[str, Peer]]
    pixels: float
    published: Callable[[Tracker], Variables] | None = None


def _torch_siamfc(name: str, tracker: Tracker, variables: Variables) -> Mapping[str, Peer]:
    from siamjax.bench.torch_siamfc import TorchSiamFC

    return {"eager": TorchSiamFC(weights.to_torch(variables, tracker))}


def _torch_siamrpn(name: str, tracker: Tracker, variables: Variables) -> Mapping[str, Peer]:
    from siamjax.bench.torch_siamrpn import Mode, TorchSiamRPN

    state_dict = weights.to_torch(variables, tracker)
    modes: dict[str, Mode] = {"eager": "eager", "eager, BatchNorm folded": "folded"}
    if jax.default_backend() == "gpu":
        modes["compiled"] = "compiled"
    return {text: TorchSiamRPN(name, state_dict, mode) for text, mode in modes.items()}


def _opencv_nano(name: str, tracker: Tracker, variables: Variables) -> Mapping[str, Peer]:
    from siamjax.bench.opencv_nano import OpenCVNano

    return {"TrackerNano": OpenCVNano()}


def _published_nano(tracker: Tracker) -> Variables:
    from siamjax.bench.opencv_nano import FOLDER

    return weights.from_torch(weights.read_torch(FOLDER / "nanotrackv2.pth"), tracker)


CASES = {
    # Boxes of the two sides may differ by one cell of the upsampled response.
    "siamfc-alexnet-v1": Case("3 scales, 255 px", "torch", _torch_siamfc, 0.5),
    "siamrpn-alexnet-dw": Case("287 px", "torch", _torch_siamrpn, 0.01),
    "siamrpnpp-resnet50": Case("255 px", "torch", _torch_siamrpn, 0.01),
    "siamrpnpp-mobilenetv2": Case("255 px", "torch", _torch_siamrpn, 0.01),
    # OpenCV's step differs in several places (`siamjax.track.nanotrack`), so its boxes do too.
    "nanotrack-v2": Case("255 px", "opencv", _opencv_nano, 8.0, _published_nano),
}


def clip(frames: int = FRAMES, frame_size: tuple[int, int] = FRAME) -> list[np.ndarray]:
    """Make frames of smooth noise in which a textured patch moves by (3, 2) pixels a frame."""
    random = np.random.default_rng(0)
    height, width = frame_size
    coarse = random.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    ground = np.kron(coarse, np.ones((8, 8, 1), np.int64))[:height, :width].astype(np.uint8)
    x, y, w, h = (int(v) for v in BOX)
    patch = np.kron(random.integers(0, 256, (h // 4, w // 4, 3)), np.ones((4, 4, 1), np.int64))
    out = []
    for step in range(frames + 1):
        frame = ground.copy()
        frame[y + 2 * step : y + 2 * step + h, x + 3 * step : x + 3 * step + w] = patch
        out.append(frame)
    return out


def tame(tracker: RegionTracker, variables: Variables) -> dict[str, Any]:
    """Rescale the last layers of random weights so that scores and boxes are like trained ones.

    Over the positions of one search crop every logit then has mean 0 and deviation 1, every offset
    a deviation of 0.1. Fresh weights give scores of exactly 0 and 1 and boxes of any size, whose
    argmax says nothing.
    """
    side, edge = tracker.instance, (tracker.instance - tracker.exemplar) // 2
    x = jnp.asarray(clip(0, (400, 400))[0][:side, :side], jnp.float32)[None]
    z = x[:, edge : edge + tracker.exemplar, edge : edge + tracker.exemplar]
    raw = tracker.respond(variables, tracker.template(variables, z), x)

    def moved(path, leaf):
        keys = [entry.key for entry in path]
        name = next((name for name in ("cls", "loc") if name in keys), None)
        if name is None or "out" not in keys:
            return leaf
        values = (
            np.asarray(raw[name]).swapaxes(3, 4).reshape(-1, leaf.shape[-1])
        )  # channels as stored
        mean, deviation = values.mean(0), values.std(0) * (1 if name == "cls" else 10)
        return (np.asarray(leaf) - (mean if keys[-1] == "bias" else 0)) / deviation

    return {**variables, "params": jax.tree.map_with_path(moved, variables["params"])}


def rows(
    names: Sequence[str],
    against: str | None,
    repeats: int = 10,
    model: str | None = None,
    frames: int = FRAMES,
) -> Iterator[Row]:
    """Measure a step, crops included, over a short synthetic clip.

    Args:
        names: keys of `CASES`.
        against: measure the peers beside it, `"torch"` or `"opencv"`: a row for each.
        repeats: samples of each side.
        model: weights file or bundled name to use for random weights.
        frames: steps of the clip.

    Raises:
        ValueError: no such case, none against that side, or a peer gives other boxes.
    """
    for name in names:
        if name not in CASES:
            raise zoo.unknown("case", name, list(CASES))
        case = CASES[name]
        if against not in (None, case.against):
            raise ValueError(f"bench track: {name} is compared with {case.against}, not {against}")
        first, *rest = clip(frames)
        if model is None:
            tracker = zoo.tracker(name)
            if against and case.published:
                variables = case.published(tracker)
            else:
                variables = tracker.init_variables(jax.random.key(0))
            if isinstance(tracker, RegionTracker) and not (against and case.published):
                variables = tame(tracker, variables)
        else:
            tracker, variables = weights.load(model)
        sides = [_ours(tracker, variables, first, rest)]
        peers = case.peers(name, tracker, variables) if against else {}
        for text, peer in peers.items():
            sides.append(_theirs(peer, first, rest))
            difference = np.abs(sides[0]() - sides[-1]()).max()
            if not difference <= case.pixels:
                raise ValueError(
                    f"bench track: {name}: boxes differ from {text}'s by {difference:.2f} px; "
                    "nothing was timed"
                )
        mine, *others = measure(sides, repeats, calls=len(rest))
        height, width = FRAME
        row = f"{name} {width}x{height}, {case.about}"
        if not others:
            yield Row(row, 1, "forward", *mine)
        for text, theirs in zip(peers, others, strict=True):
            yield Row(f"{row}; {case.against} {text}", 1, "forward", *mine, *theirs)


def _ours(
    tracker: Tracker, variables: Variables, first: np.ndarray, rest: Sequence[np.ndarray]
) -> Callable[[], np.ndarray]:
    start = tracker.init(variables, first, np.array(BOX, np.float32))

    def run() -> np.ndarray:
        state: Any = start
        boxes = []
        for frame in rest:
            state, out = tracker.step(variables, state, frame)
            boxes.append(np.asarray(out.box))
        return np.stack(boxes)

    return run


def _theirs(peer: Peer, first: np.ndarray, rest: Sequence[np.ndarray]) -> Callable[[], np.ndarray]:
    start = peer.init(first, np.array(BOX))

    def run() -> np.ndarray:
        state, boxes = start, []
        for frame in rest:
            state, box = peer.step(state, frame)
            boxes.append(box)
        return np.stack(boxes)

    return run
