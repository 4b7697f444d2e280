"""What trackers share that propose boxes: SiamRPN and its kin, NanoTrack.

One search window a step; the network proposes a box and a score at every position; penalties and
a cosine window choose one, and the target moves towards it. The state's `center` is (x, y) and
its `size` (width, height), in frame pixels, as PySOT keeps them: at the start a pixel centre, in
the boxes given out the middle between edges (half a pixel apart).
Source: Li et al. 2018; arithmetic of PySOT's `siamrpn_tracker.py` and `siamrpnlt_tracker.py`.
"""

import abc
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int, UInt8

from siamjax import geometry
from siamjax.crop import crop, mean_color
from siamjax.masks import Patch, paste
from siamjax.models.apply import apply
from siamjax.track import distractors
from siamjax.track.batching import map_targets
from siamjax.track.distractors import Aware, Memory
from siamjax.track.family import Family
from siamjax.track.lost import cut_at, is_lost, widen
from siamjax.track.proposals import Choice, Hyper, choose, follow, limit
from siamjax.track.state import Out, usable
from siamjax.typing import AnyArray, Array, Variables


class State(NamedTuple):
    """Everything that changes from frame to frame."""

    center: Float[AnyArray, "*n 2"]
    size: Float[AnyArray, "*n 2"]
    fill: Float[AnyArray, "*n 3"]
    """Mean colour of the first frame."""
    template: Any
    """What `RegionTracker.template` made of the exemplar, batch axis of one."""
    lost: Bool[AnyArray, "*n"]
    """Whether the step before took the target to be out of sight."""
    search: Int[AnyArray, "*n"]
    """Which of `RegionTracker.sizes` the next search window has."""
    home: Int[AnyArray, "*n"]
    """Which of them it has while the target is not lost."""
    memory: Any
    """The distractors met so far; None where they are not learnt."""


@dataclass(frozen=True)
class RegionTracker(Family[State, Hyper]):
    """The step that region trackers share, a configuration alone.

    A family's class says what is proposed: `net`, with the methods `template`, `search` and
    `respond`, and `proposals`. A step's score is the network's probability of the chosen proposal,
    before penalties and window; it may stay high on look-alikes.

    Attributes:
        exemplar: side of the exemplar crop, pixels.
        instance: side of the search crop, pixels.
        lost_below: `lost` where the chosen proposal's score is lower; 0 for never.
        found_above: no longer lost where it is higher; between the two nothing changes.
        wider: sides of the search crops while lost, one more with every step: local to global.
            While the score is below `lost_below` the target then stays where it is. () tracks on
            at `instance`, as short-term trackers do.
        lost_window_influence: in place of `window_influence` while lost, where `wider` is given.
        aware: how distractors are learnt and ranked against; None for not at all.

    The other attributes are the presets of `Hyper`.
    """

    exemplar: int = 127
    instance: int = 255
    penalty_k: float = 0.04
    window_influence: float = 0.44
    lr: float = 0.4
    lost_below: float = 0.0
    found_above: float = 0.0
    wider: tuple[int, ...] = ()
    lost_window_influence: float = 0.001
    aware: Aware | None = None

    def __post_init__(self):
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(
                f"wider: expected sides growing from {self.instance}, got {self.wider}"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of the search crops, pixels: the usual one first, then those while lost."""
        return (self.instance, *self.wider)

    def hyper(self) -> Hyper:
        """Give the preset's tracking constants."""
        return Hyper(*(getattr(self, name) for name in Hyper._fields))

    # --- the family's own ----------------------------------------------------------------------

    @abc.abstractmethod
    def proposals(
        self, raw: Mapping[str, Any]
    ) -> tuple[Float[Array, "B N 4"], Float[Array, "B N"], Float[Array, "N"]]:
        """Read raw outputs as boxes (`Choice.box`), scores and the cosine window over them."""

    def draw(
        self,
        variables: Variables,
        raw: Mapping[str, Any],
        which: Int[Array, ""],
        state: State,
        side: int,
    ) -> Patch | None:
        """Draw the mask of a proposal; None for families that have no masks.

        Args:
            variables: the network's.
            raw: its outputs.
            which: the proposal's index, as `proposals` counts them.
            state: that the search crop was cut for.
            side: of the search crop, pixels.
        """
        del variables, raw, which, state, side
        return None

    def home(self, size: Float[AnyArray, "2"], bounds: Float[AnyArray, "2"]) -> Int[Array, ""]:
        """Say which of `sizes` suits a target of this size."""
        del size, bounds
        return jnp.zeros((), jnp.int32)

    def middle(self, box: Float[AnyArray, "4"]) -> Float[Array, "2"]:
        """Give the centre (x, y) that the first state has for a box."""
        return jnp.asarray(geometry.pixel_center(box))

    def embed(
        self,
        variables: Variables,
        z: Float[AnyArray, "B k k 3"],
        size: Float[AnyArray, "B 2"],
    ) -> Any:
        """Give `template` of exemplar crops with a target of a known size in their midst.

        Args:
            variables: the network's.
            z: RGB, 0..255.
            size: width and height of the targets, crop pixels; for families that want it.
        """
        del size
        return self.template(variables, z)

    def known(self, batch: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Give what of a training batch the network is told besides the crops, by argument."""
        del batch
        return {}

    def respond(
        self, variables: Variables, template: Any, x: Float[AnyArray, "B s s 3"]
    ) -> dict[str, Any]:
        """Give the raw outputs `cls` and `loc` of exemplars on search crops (RGB, 0..255).

        `cls` [B, y, x, A, 2] are logits, index 1 the target; `loc` [B, y, x, A, 4] is the family's
        own. A batch of one on either side serves every element of the other.
        """
        features = apply(self.net, variables, x, method="search")
        return apply(self.net, variables, template, features, method="respond")

    def detect(
        self, variables: Variables, state: State, x: UInt8[AnyArray, "s s 3"], hyper: Hyper
    ) -> tuple[Choice, Memory | None]:
        """Run the network on a search crop: the proposal chosen, and the next `State.memory`."""
        if self.aware is not None:
            return distractors.detect(self, self.aware, variables, state, x, hyper)
        raw = self.respond(variables, state.template, jnp.asarray(x, jnp.float32)[None])
        boxes, scores, window = self.proposals(raw)
        size = state.size * self.scale(state)
        choice, _ = choose(boxes[0], scores[0], window, size, hyper)
        patch = self.draw(variables, raw, choice.which, state, x.shape[0])
        return choice._replace(patch=patch), state.memory

    # --- tracking ------------------------------------------------------------------------------

    def _begin(self, variables, frame, box, hyper):
        del hyper  # the start does not depend on them
        state, z = self._start(frame, box)
        return self._embed_each(variables, state, z)

    def _advance(self, variables, state, frame, hyper):
        crops = self._search_crops_each(frame, state)
        state, out, patch = self._locate_each(variables, state, crops, _bounds(frame), hyper)
        if patch is not None:
            mask = _paste_each(patch, *frame.shape[:2])
            out = out._replace(mask=mask, mask_threshold=patch.threshold)
        return state, out

    @functools.partial(jax.jit, static_argnums=0)
    def _start(self, frame, box):
        box = jnp.asarray(box, jnp.float32)
        box = jnp.where(usable(box, *frame.shape[:2]), box, jnp.nan)
        home = self.home(box[2:], _bounds(frame))
        state = State(
            center=self.middle(box),
            size=box[2:],
            fill=mean_color(frame),
            template=None,
            lost=jnp.zeros((), bool),
            search=home,
            home=home,
            memory=None,
        )
        side = jnp.round(geometry.context_side(state.size))
        return state, crop(frame, state.center, side, self.exemplar, state.fill, "pysot")

    @functools.partial(jax.jit, static_argnums=0)
    def _embed_each(self, variables, state, z):
        def embed(variables, z, size):
            return self.embed(variables, z[None].astype(jnp.float32), size[None])

        template = map_targets(embed, variables, z, state.size * self.scale(state))
        memory = None if self.aware is None else distractors.forget(template)
        return state._replace(template=template, memory=memory)

    @functools.partial(jax.jit, static_argnums=0)
    def _search_crops_each(self, frame, state):
        return map_targets(self._search_crops, frame, state)

    def _search_crops(self, frame, state):
        def cut(size):
            side = jnp.round(geometry.context_side(state.size) * (size / self.exemplar))
            return crop(frame, state.center, side, size, state.fill, "pysot")

        return cut_at(state.search, self.sizes, cut)

    @functools.partial(jax.jit, static_argnums=0)
    def _locate_each(self, variables, state, crops, bounds, hyper):
        return map_targets(self._locate, variables, state, crops, bounds, hyper)

    def _locate(self, variables, state, crops, bounds, hyper):
        hyper = self.hyper() if hyper is None else hyper
        if self.wider:
            influence = jnp.where(
                state.lost, self.lost_window_influence, jnp.asarray(hyper.window_influence)
            )
            hyper = hyper._replace(window_influence=influence)
        at = [lambda x=x: self.detect(variables, state, x, hyper) for x in crops]
        choice, memory = at[0]() if len(at) == 1 else lax.switch(state.search, at)
        state, out = self._settle(state._replace(memory=memory), choice, bounds, hyper)
        patch = choice.patch
        if patch is not None:
            patch = patch._replace(window=jnp.where(out.valid, patch.window, jnp.nan))
        return state, out, patch

    def scale(self, state: State) -> Float[Array, ""]:
        """Give crop pixels a frame pixel."""
        return jnp.asarray(self.exemplar / geometry.context_side(state.size))

    def _settle(self, state, choice, bounds, hyper):
        """Move to the choice, or where it cannot be trusted stay and look further."""
        center, size = follow(state.center, state.size, choice, self.scale(state), hyper.lr)
        limited = limit(center, size, bounds)
        low = choice.score < self.lost_below
        lost = is_lost(state.lost, choice.score, self.lost_below, self.found_above)
        if not self.wider:
            state = state._replace(center=limited[0], size=limited[1], lost=lost)
            return self._answer(state, limited, choice.score)
        # PySOT's long-term state is not limited to the frame, the box given out is.
        center = jnp.where(low, state.center, center)
        size = jnp.where(low, state.size, size)
        search = widen(lost, state.search, state.home, len(self.wider), len(self.sizes))
        state = state._replace(center=center, size=size, lost=lost, search=search)
        return self._answer(state, limit(center, size, bounds), choice.score)

    def _answer(self, state, limited, score):
        box = geometry.from_center(*limited)
        valid: Bool[Array, ""] = jnp.all(jnp.isfinite(box))
        out = Out(
            jnp.where(valid, box, jnp.nan), jnp.where(valid, score, 0.0), valid, valid & state.lost
        )
        return state, out


@functools.partial(jax.jit, static_argnums=(1, 2))
def _paste_each(patch, height, width):
    return map_targets(lambda patch: paste(patch, height, width), patch)


def _bounds(frame) -> Float[np.ndarray, "2"]:
    """Give a frame's width and height."""
    height, width = frame.shape[:2]
    return np.array([width, height], np.float32)
