"""Whole trackers, from frames to boxes, each beside the same algorithm in PyTorch or OpenCV.

Weights are random unless a file is given; boxes and masks of the sides are compared before anything
is timed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from siamjax import weights
from siamjax.bench.timing import Row, measure
from siamjax.track import zoo
from siamjax.track.region import RegionTracker
from siamjax.track.siammask import SiamMask
from siamjax.track.zoo import Tracker
from siamjax.typing import Variables

MASKS = 1 / 255
"""Greatest difference of the masks of the two sides: one grey level."""

FRAMES = 6
FRAME = (270, 480)
BOX = (200.0, 100.0, 60.0, 44.0)


class Answers(NamedTuple):
    """What a side says of the frames after the first."""

    boxes: np.ndarray
    """(x, y, width, height) each."""
    masks: list[np.ndarray]
    """Probabilities over each frame; none from trackers that draw none."""


@runtime_checkable
class Peer(Protocol):
    """A tracker of the other side; frames are RGB, boxes (x, y, width, height).

    The state of one that draws masks has the latest as `mask`.
    """

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


def _torch_siammask(name: str, tracker: Tracker, variables: Variables) -> Mapping[str, Peer]:
    from siamjax.bench.torch_siammask import TorchSiamMask
    from siamjax.bench.torch_siamrpn import Mode

    state_dict = weights.to_torch(variables, tracker)
    modes: dict[str, Mode] = {"eager": "eager", "eager, BatchNorm folded": "folded"}
    return {text: TorchSiamMask(name, state_dict, mode) for text, mode in modes.items()}


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
    "siammask-sharp": Case("255 px, mask in the frame", "torch", _torch_siammask, 0.01),
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
    """Rescale the last layers of random weights so that results are like those of trained ones.

    Over the positions of one search crop every logit then has mean 0 and deviation 1, every offset
    a deviation of 0.1, and likewise the logits of the refined mask in its middle. Fresh weights
    give scores and masks of exactly 0 and 1 and boxes of any size, whose argmax says nothing.
    """
    side, edge = tracker.instance, (tracker.instance - tracker.exemplar) // 2
    x = jnp.asarray(clip(0, (400, 400))[0][:side, :side], jnp.float32)[None]
    z = x[:, edge : edge + tracker.exemplar, edge : edge + tracker.exemplar]
    raw = tracker.respond(variables, tracker.template(variables, z), x)
    # Channels as stored.
    last = {name: np.asarray(raw[name]).swapaxes(3, 4) for name in ("cls", "loc")}
    if isinstance(tracker, SiamMask):
        middle = jnp.full((1, 1, 2), last["cls"].shape[1] // 2)
        last["mask"] = np.asarray(tracker.refine(variables, raw["features"], middle))[..., None]
    finest = f"level_{len(getattr(tracker.net, 'refine_levels', ())) - 1}"

    def output(keys: Sequence[str]) -> str | None:
        if keys[-2] == "out":
            return next((name for name in ("cls", "loc") if name in keys), None)
        return "mask" if tuple(keys[-3:-1]) == (finest, "post") else None

    def moved(path, leaf):
        keys = [entry.key for entry in path]
        name = output(keys)
        if name is None:
            return leaf
        values = last[name].reshape(-1, leaf.shape[-1])
        mean, deviation = values.mean(0), values.std(0) * (10 if name == "loc" else 1)
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
            differences = compare(sides[0](), sides[-1]())
            if not (differences[0] <= case.pixels and differences[1] <= MASKS):
                raise ValueError(
                    f"bench track: {name}: boxes differ from {text}'s by {differences[0]:.2f} px, "
                    f"masks by {differences[1]:.1e}; nothing was timed"
                )
        mine, *others = measure(sides, repeats, calls=len(rest))
        height, width = FRAME
        row = f"{name} {width}x{height}, {case.about}"
        if not others:
            yield Row(row, 1, "forward", *mine)
        for text, theirs in zip(peers, others, strict=True):
            yield Row(f"{row}; {case.against} {text}", 1, "forward", *mine, *theirs)


def compare(ours: Answers, theirs: Answers) -> tuple[float, float]:
    """Give the greatest differences of the boxes, pixels, and of the masks."""
    boxes = float(np.abs(ours.boxes - theirs.boxes).max())
    if len(ours.masks) != len(theirs.masks):
        return boxes, np.inf
    pairs = zip(ours.masks, theirs.masks, strict=True)
    return boxes, max((float(np.abs(a - b).max()) for a, b in pairs), default=0.0)


def _ours(
    tracker: Tracker, variables: Variables, first: np.ndarray, rest: Sequence[np.ndarray]
) -> Callable[[], Answers]:
    start = tracker.init(variables, first, np.array(BOX, np.float32))

    def run() -> Answers:
        state: Any = start
        boxes, masks = [], []
        for frame in rest:
            state, out = tracker.step(variables, state, frame)
            boxes.append(np.asarray(out.box))
            if out.mask is not None:
                masks.append(np.asarray(out.mask))
        return Answers(np.stack(boxes), masks)

    return run


def _theirs(peer: Peer, first: np.ndarray, rest: Sequence[np.ndarray]) -> Callable[[], Answers]:
    start = peer.init(first, np.array(BOX))

    def run() -> Answers:
        state, boxes, masks = start, [], []
        for frame in rest:
            state, box = peer.step(state, frame)
            boxes.append(box)
            mask = getattr(state, "mask", None)
            if mask is not None:
                masks.append(mask)
        return Answers(np.stack(boxes), masks)

    return run
