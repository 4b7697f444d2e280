"""SiamFC's tracker: a pyramid of scales, one correlation, the highest peak.

The state's `center` is a pixel centre (x, y), its `size` (width, height), as siamfc-pytorch keeps
them. Source: Bertinetto et al. 2016; constants and arithmetic of siamfc-pytorch (three scales) and
of the MATLAB original (five scales, REFERENCE: params-5s).
"""

import functools
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array as AnyDtype
from jaxtyping import Bool, Float, Int

from siamjax import geometry, losses
from siamjax.crop import crop, mean_color
from siamjax.models.apply import apply
from siamjax.models.siamfc import BACKBONES, STRIDES, SiamFCNet
from siamjax.track import siamfc_loss
from siamjax.track.batching import map_examples, map_targets
from siamjax.track.family import Family
from siamjax.track.pyramid import Hyper, factors, follow, highest
from siamjax.track.state import Out, usable
from siamjax.typing import AnyArray, Array, Variables


class State(NamedTuple):
    """Everything that changes from frame to frame."""

    center: Float[AnyArray, "*n 2"]
    size: Float[AnyArray, "*n 2"]
    template_side: Float[AnyArray, "*n"]
    """Side of the exemplar window, frame pixels."""
    search_side: Float[AnyArray, "*n"]
    """Side of the search window at scale 1, frame pixels."""
    scale: Float[AnyArray, "*n"]
    """Size against the first one."""
    fill: Float[AnyArray, "*n 3"]
    """Mean colour of the first frame."""
    template: Float[AnyArray, "*n s h w c"]
    """Exemplar features: one, or one a scale where the pyramid is of templates."""
    age: Int[AnyArray, "*n"]
    """Steps since `init`."""


LOSSES = ("balanced", "focal", "ohnm", "ghm")


@dataclass(frozen=True)
class SiamFC(Family[State, Hyper]):
    """SiamFC, a configuration alone; equal trackers compile once.

    A step's score is the sigmoid of the highest response at the chosen scale, before penalties and
    window (a probability under the logistic loss). `template` gives features [B, h, w, c].

    Attributes:
        backbone: `"alexnet-v1"`, `"alexnet-v2"`, `"alexnet-v3"` (siamfc-pytorch) or
            `"efficientnet-lite0"` (this project's).
        scales: of the pyramid, odd.
        pyramid: `"search"` embeds one search window a scale, as published; `"template"` embeds
            one exemplar a scale at `init` and a single search window a step.
        template_rate: 0 keeps the first exemplar, as published; above 0 the exemplar is a running
            average with this rate, at the cost of embedding its crops anew.
        template_every: the running average moves in every so-many-th step.
        template_score: it moves only where the step's score is at least this.
        exemplar: side of the exemplar crop, pixels.
        instance: side of the search crop, pixels.
        upsampling: of the response.
        loss_name: `"balanced"`, `"focal"`, `"ohnm"` or `"ghm"`.
        label_radius: of positive labels around the target, crop pixels.
        scale_loss: weight of telling the right scale from its neighbours, for a pyramid of
            templates; 0 trains the positions alone, as published.
        frozen_norm: BatchNorm stays with its running statistics while training.
        lost_below: `lost` where the score is lower; 0 for never.
        width: scales an AlexNet's layers, for tests.

    The other attributes are the presets of `Hyper`.
    """

    backbone: str = "alexnet-v1"
    scales: int = 3
    pyramid: Literal["search", "template"] = "search"
    template_rate: float = 0.0
    template_every: int = 1
    template_score: float = 0.0
    exemplar: int = 127
    instance: int = 255
    upsampling: int = 16
    scale_step: float = 1.0375
    scale_penalty: float = 0.9745
    scale_lr: float = 0.59
    window_influence: float = 0.176
    min_scale: float = 0.0
    max_scale: float = float("inf")
    loss_name: Literal["balanced", "focal", "ohnm", "ghm"] = "balanced"
    label_radius: float = 16.0
    scale_loss: float = 0.0
    frozen_norm: bool = False
    lost_below: float = 0.0
    width: float = 1.0

    def __post_init__(self):
        if self.backbone not in BACKBONES:
            raise ValueError(f"backbone: expected one of {BACKBONES}, got {self.backbone!r}")
        if self.scales < 1 or self.scales % 2 == 0:
            raise ValueError(f"scales: expected an odd number of at least 1, got {self.scales}")
        if self.pyramid not in ("search", "template"):
            raise ValueError(f"pyramid: expected 'search' or 'template', got {self.pyramid!r}")
        if self.loss_name not in LOSSES:
            raise ValueError(f"loss_name: expected one of {LOSSES}, got {self.loss_name!r}")
        if not 0 <= self.template_rate <= 1:
            raise ValueError(f"template_rate: expected 0 to 1, got {self.template_rate}")
        if self.template_every < 1:
            raise ValueError(f"template_every: expected at least 1, got {self.template_every}")

    @property
    def stride(self) -> int:
        """Crop pixels a cell of the response."""
        return STRIDES[self.backbone]

    @property
    def template_crop(self) -> int:
        """Side of the exemplar crops that `loss` takes: room for every scale of the templates."""
        if self.pyramid == "search":
            return self.exemplar
        return self.exemplar + 2 * math.ceil(
            self.exemplar * (self.scale_step ** (self.scales // 2) - 1) / 2
        )

    @property
    def net(self) -> SiamFCNet:
        """The linen module of this configuration."""
        return SiamFCNet(self.backbone, self.width, self.frozen_norm)

    def hyper(self) -> Hyper:
        """Give the preset's tracking constants."""
        return Hyper(*(getattr(self, name) for name in Hyper._fields))

    # --- network -------------------------------------------------------------------------------

    @functools.partial(jax.jit, static_argnums=0)
    def init_variables(self, key: AnyDtype) -> dict[str, Any]:
        """Draw fresh weights (siamfc-pytorch's rule for AlexNets: Xavier uniform, biases zero)."""
        variables = super().init_variables(key)
        if self.loss_name == "ghm":
            variables["batch_stats"] = {**variables["batch_stats"], "ghm": losses.ghm_init()}
        return variables

    def respond(
        self,
        variables: Variables,
        template: Float[AnyArray, "b h w c"],
        x: Float[AnyArray, "B s s 3"],
    ) -> dict[str, Array]:
        """Give `{"response": [B, y, x]}` of exemplars on search crops (RGB, 0..255).

        A batch of one on either side serves every element of the other. Values are logits.
        """
        features = apply(self.net, variables, x, method="search")
        return {"response": apply(self.net, variables, template, features, method="respond")}

    def _loss(self, params, stats, batch, key, train, axis_name):
        del key
        return siamfc_loss.loss(self, params, stats, batch, train, axis_name)

    # --- tracking ------------------------------------------------------------------------------

    def _begin(self, variables, frame, box, hyper):
        state, crops = self._start(frame, box, hyper)
        return state._replace(template=self._embed(variables, crops, "template"))

    def _advance(self, variables, state, frame, hyper):
        frame = jnp.asarray(frame)
        crops = self._search_crops(frame, state, hyper)
        state, out = self._locate_each(variables, state, crops, hyper)
        if self.template_rate > 0:
            crops = self._due_crops_each(frame, state, out, hyper)
            state = self._average_each(variables, state, out, crops)
        return state, out

    def factors(self, hyper: Hyper | None = None) -> Array:
        """Give the scales of the pyramid, smallest first."""
        return factors(self.scales, (self.hyper() if hyper is None else hyper).scale_step)

    @functools.partial(jax.jit, static_argnums=0)
    def _start(self, frame, box, hyper):
        box = jnp.asarray(box, jnp.float32)
        box = jnp.where(usable(box, *frame.shape[:2]), box, jnp.nan)
        side = jnp.asarray(geometry.context_side(box[2:]))
        state = State(
            center=geometry.pixel_center(box),
            size=box[2:],
            template_side=side,
            search_side=side * (self.instance / self.exemplar),
            scale=jnp.ones_like(side),
            fill=mean_color(frame),
            template=jnp.zeros((0, 0, 0, 0)),
            age=jnp.zeros((), jnp.int32),
        )
        return state, self._template_crops(frame, state, hyper)

    @functools.partial(jax.jit, static_argnums=0)
    def _template_crops(self, frame, state, hyper):
        sides = state.template_side[None]
        if self.pyramid == "template":
            # An object grown by f fills its template as one seen through a window f times smaller.
            sides = sides / self.factors(hyper)
        return self._cut(frame, state, sides, self.exemplar)

    @functools.partial(jax.jit, static_argnums=0)
    def _search_crops(self, frame, state, hyper):
        sides = state.search_side[None]
        if self.pyramid == "search":
            sides = sides * self.factors(hyper)
        return self._cut(frame, state, sides, self.instance)

    def _cut(self, frame, state, sides, size):
        cut = lambda side: crop(frame, state.center, side, size, state.fill, "siamfc")
        return jax.vmap(cut)(sides)

    @functools.partial(jax.jit, static_argnums=(0, 3))
    def _embed(self, variables, crops, method):
        embed = functools.partial(apply, self.net, method=method)
        return map_examples(embed, variables, crops.astype(jnp.float32))

    def _due(self, state, out):
        on_turn = state.age % self.template_every == 0
        return on_turn & out.valid & (out.score >= self.template_score)

    @functools.partial(jax.jit, static_argnums=0)
    def _due_crops_each(self, frame, state, out, hyper):
        return map_targets(self._due_crops, frame, state, out, hyper)

    def _due_crops(self, frame, state, out, hyper):
        """Cut exemplars at the box just found, if the running average is to move."""
        cut = lambda: self._template_crops(frame, state, hyper)
        nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(cut))
        return jax.lax.cond(self._due(state, out), cut, lambda: nothing)

    @functools.partial(jax.jit, static_argnums=0)
    def _average_each(self, variables, state, out, crops):
        return map_targets(self._average, variables, state, out, crops)

    def _average(self, variables, state, out, crops):
        """Move the running average of the template, if it is to move."""

        def moved():
            new = self._embed(variables, crops, "template")
            return state.template + self.template_rate * (new - state.template)

        template = jax.lax.cond(self._due(state, out), moved, lambda: state.template)
        return state._replace(template=template)

    @functools.partial(jax.jit, static_argnums=0)
    def _locate_each(self, variables, state, crops, hyper):
        return map_targets(self._locate, variables, state, crops, hyper)

    def _locate(self, variables, state, crops, hyper):
        hyper = self.hyper() if hyper is None else hyper
        features = self._embed(variables, crops, "search")
        response = apply(self.net, variables, state.template, features, method="respond")
        peak = highest(response, hyper, self.upsampling)
        factor = self.factors(hyper)[peak.which]
        pixels = state.search_side / self.instance
        if self.pyramid == "search":
            pixels = pixels * factor
        limited = follow(state.scale, factor, hyper)
        scale = limited / state.scale
        state = state._replace(
            center=state.center + peak.cells * self.stride * pixels,
            size=state.size * scale,
            template_side=state.template_side * scale,
            search_side=state.search_side * scale,
            scale=limited,
            age=state.age + 1,
        )
        box = geometry.from_pixel_center(state.center, state.size)
        valid: Bool[Array, ""] = jnp.all(jnp.isfinite(box))
        score = jnp.where(valid, jax.nn.sigmoid(peak.logit), 0.0)
        lost = valid & (score < self.lost_below)
        return state, Out(jnp.where(valid, box, jnp.nan), score, valid, lost)
