"""SiamFC's tracker: a pyramid of scales, one correlation, the highest peak.

The state's `center` is a pixel centre (x, y), its `size` (width, height), as siamfc-pytorch keeps
them. Source: Bertinetto et al. 2016; constants and arithmetic of siamfc-pytorch (three scales) and
of the MATLAB original (five scales, REFERENCE: params-5s).
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array as AnyDtype
from jaxtyping import Bool, Float, UInt8

from siamjax import geometry, losses
from siamjax.crop import check_frame, crop, mean_color, sample
from siamjax.models.siamfc import BACKBONES, STRIDES, SiamFCNet
from siamjax.track.batching import map_examples
from siamjax.track.state import Out, usable
from siamjax.typing import AnyArray, Array, Params, Variables


class Hyper(NamedTuple):
    """The tracking constants; `vmap` over them searches hyper-parameters."""

    scale_step: AnyArray | float
    """Ratio between neighbouring scales."""
    scale_penalty: AnyArray | float
    """Factor on the responses of every scale but the middle one."""
    scale_lr: AnyArray | float
    """How far the size follows the chosen scale, 0..1."""
    window_influence: AnyArray | float
    """Weight of the cosine window against the normalised response, 0..1."""
    min_scale: AnyArray | float
    """Least size against the first one; 0 for no limit."""
    max_scale: AnyArray | float
    """Greatest size against the first one; infinite for no limit."""


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


LOSSES = ("balanced", "focal", "ohnm", "ghm")


@dataclass(frozen=True)
class SiamFC:
    """SiamFC, a configuration alone; equal trackers compile once.

    Attributes:
        backbone: `"alexnet-v1"`, `"alexnet-v2"`, `"alexnet-v3"` (siamfc-pytorch) or
            `"efficientnet-lite0"` (this project's).
        scales: of the pyramid, odd.
        pyramid: `"search"` embeds one search window a scale, as published; `"template"` embeds
            one exemplar a scale at `init` and a single search window a step.
        template_rate: 0 keeps the first exemplar, as published; above 0 the exemplar is a running
            average with this rate, at the cost of embedding one more crop a step.
        exemplar: side of the exemplar crop, pixels.
        instance: side of the search crop, pixels.
        upsampling: of the response.
        loss_name: `"balanced"`, `"focal"`, `"ohnm"` or `"ghm"`.
        label_radius: of positive labels around the target, crop pixels.
        scale_loss: weight of telling the right scale from its neighbours, for a pyramid of
            templates; 0 trains the positions alone, as published.
        frozen_norm: BatchNorm stays with its running statistics while training.
        width: scales an AlexNet's layers, for tests.

    The other attributes are the presets of `Hyper`.
    """

    backbone: str = "alexnet-v1"
    scales: int = 3
    pyramid: Literal["search", "template"] = "search"
    template_rate: float = 0.0
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
        z = jnp.zeros((1, self.exemplar, self.exemplar, 3))
        x = jnp.zeros((1, self.instance, self.instance, 3))
        variables = dict(self.net.init(key, z, x))
        if self.loss_name == "ghm":
            variables["batch_stats"] = {**variables["batch_stats"], "ghm": losses.ghm_init()}
        return variables

    def template(self, variables: Variables, z: Float[AnyArray, "B k k 3"]) -> Array:
        """Embed exemplar crops (RGB, 0..255): [B, h, w, c]."""
        return self._apply(variables, z, method="template")

    def respond(
        self,
        variables: Variables,
        template: Float[AnyArray, "b h w c"],
        x: Float[AnyArray, "B s s 3"],
    ) -> dict[str, Array]:
        """Give `{"response": [B, y, x]}` of exemplars on search crops (RGB, 0..255).

        A batch of one on either side serves every element of the other. Values are logits.
        """
        features = self._apply(variables, x, method="search")
        return {"response": self._apply(variables, template, features, method="respond")}

    def _apply(self, variables: Variables, *inputs: AnyArray, method: str) -> Array:
        result = self.net.apply(variables, *inputs, method=method)
        if isinstance(result, tuple):  # only with mutable collections, which are not asked for
            raise TypeError("the network returned mutated variables")
        return result

    def loss(
        self,
        params: Params,
        stats: Params,
        batch: Mapping[str, AnyArray],
        key: AnyDtype,
        train: bool = True,
        axis_name: str | None = None,
    ) -> tuple[Array, tuple[Params, dict[str, Array]]]:
        """Score a batch of pairs against their logistic labels.

        Args:
            params: the network's parameters.
            stats: its `batch_stats`.
            batch: `template` [B, k, k, 3] with k = `template_crop`, `search` [B, s, s, 3],
                both RGB 0..255; `template_box`, `search_box` [B, 4] in crop pixels; `positive` [B],
                False where the search crop does not hold the template's object.
            key: unused; SiamFC's losses draw nothing.
            train: normalise by the batch (unless `frozen_norm`) and return updated statistics.
            axis_name: mapped axis over which the batch is split.

        Returns:
            The loss, and the new statistics with the metrics: `center_error`, crop pixels, of the
            highest response of the middle scale over positive pairs; `scale_loss`.
        """
        del key
        center = geometry.pixel_center(batch["search_box"]) - (self.instance - 1) / 2
        response, moved = self._responses(params, stats, batch, train, axis_name)
        size = response.shape[-1]
        label = functools.partial(
            losses.logistic_labels, size, self.stride, r_pos=self.label_radius
        )
        positive = batch["positive"][:, None, None]
        labels = jnp.where(positive, jax.vmap(label)(center), 0.0)

        likely = self._scale_odds(batch)
        chosen = jnp.take_along_axis(
            response, jnp.argmax(likely, axis=1)[:, None, None, None], axis=1
        )[:, 0]
        new_stats = {**stats, **moved}
        if self.loss_name == "ghm":
            loss, new_stats["ghm"] = losses.ghm(chosen, labels, stats["ghm"], axis_name=axis_name)
        else:
            loss = getattr(losses, self.loss_name)(chosen, labels, axis_name=axis_name)
        metrics = {"center_error": self._center_error(response, center, batch["positive"])}
        if self.scale_loss > 0:
            log_odds = jax.nn.log_softmax(response, axis=1)
            entropy = -jnp.sum(likely[:, :, None, None] * log_odds, axis=1)
            scale_loss = losses.mean_where(entropy, labels, axis_name=axis_name)
            metrics["scale_loss"] = scale_loss
            loss = loss + self.scale_loss * scale_loss
        return loss, (new_stats if train else stats, metrics)

    def _responses(self, params, stats, batch, train, axis_name):
        """Respond to a batch at every scale of the templates: [B, scales or 1, y, x]."""
        z, x = batch["template"], batch["search"]
        if z.shape[1:3] != (self.template_crop,) * 2:
            raise ValueError(
                f"batch['template']: expected crops of {self.template_crop} pixels, got {z.shape}"
            )
        if self.pyramid == "template":
            middle = jnp.full(2, (self.template_crop - 1) / 2)
            cut = lambda image, factor: sample(
                image, middle, self.exemplar / factor, self.exemplar, jnp.zeros(3)
            )
            z = jax.vmap(jax.vmap(cut, (None, 0)), (0, None))(z, self._factors(None))
            z = z.reshape(-1, *z.shape[2:])
        variables = {"params": params, "batch_stats": stats}
        net = dataclasses.replace(self.net, axis_name=axis_name)
        embed = lambda net, z, x: (net.template(z, train), net.search(x, train))
        (z, x), moved = net.apply(variables, z, x, method=embed, mutable=["batch_stats"])
        repeats = z.shape[0] // x.shape[0]
        response = self._apply(variables, z, jnp.repeat(x, repeats, axis=0), method="respond")
        return response.reshape(-1, repeats, *response.shape[1:]), moved["batch_stats"]

    def _scale_odds(self, batch):
        """Give how likely each scale of the templates is, from the true sizes: [B, scales or 1]."""
        if self.pyramid == "search":
            return jnp.ones((batch["search"].shape[0], 1))
        names = ("search_box", "template_box")
        sides = [geometry.context_side(batch[name][:, 2:]) for name in names]
        steps = jnp.log(sides[0] / sides[1]) / math.log(self.scale_step)
        half = self.scales // 2
        away = jnp.clip(steps, -half, half)[:, None] - jnp.arange(-half, half + 1.0)[None]
        return jax.nn.softmax(-2 * away**2, axis=1)

    def _center_error(self, response, center, positive):
        middle = response[:, response.shape[1] // 2]
        size = middle.shape[-1]
        index = jnp.argmax(middle.reshape(middle.shape[0], -1), axis=1)
        cells = jnp.stack([index % size, index // size], axis=1) - (size - 1) / 2
        error = jnp.linalg.norm(cells * self.stride - center, axis=1)
        return jnp.sum(error * positive) / jnp.maximum(jnp.sum(positive), 1)

    # --- tracking ------------------------------------------------------------------------------

    def init(
        self,
        variables: Variables,
        frame: UInt8[AnyArray, "H W 3"],
        box: Float[AnyArray, "4"],
        hyper: Hyper | None = None,
    ) -> State:
        """Start on a target.

        Args:
            variables: the network's.
            frame: RGB.
            box: (x, y, width, height), frame pixels, 0-based.
            hyper: tracking constants; the preset's by default.

        Returns:
            The state; a NaN, empty or outside box gives one whose steps are not `valid`.

        Raises:
            ValueError: `frame` is not `uint8[H, W, 3]` or `box` does not have four numbers.
        """
        check_frame(frame)
        if tuple(box.shape) != (4,):
            raise ValueError(f"box: expected 4 numbers, got shape {tuple(box.shape)}")
        state, crops = self._start(frame, box, hyper)
        return self._remember(variables, state, crops, None)

    def step(
        self,
        variables: Variables,
        state: State,
        frame: UInt8[AnyArray, "H W 3"],
        hyper: Hyper | None = None,
    ) -> tuple[State, Out]:
        """Find the target in the next frame.

        Args:
            variables: the network's.
            state: from `init` or the step before.
            frame: RGB, of any size; a new size compiles the crop alone.
            hyper: tracking constants; the preset's by default.

        Returns:
            The next state, and the box with its score: the sigmoid of the highest response at the
            chosen scale, before penalties and window (a probability under the logistic loss).

        Raises:
            ValueError: `frame` is not `uint8[H, W, 3]`.
        """
        check_frame(frame)
        frame = jnp.asarray(frame)
        crops = self._search_crops(frame, state, hyper)
        state, out = self._locate(variables, state, crops, hyper)
        if self.template_rate > 0:
            crops = self._template_crops(frame, state, hyper)
            state = self._remember(variables, state, crops, state.template)
        return state, out

    def _factors(self, hyper: Hyper | None) -> Array:
        step = (self.hyper() if hyper is None else hyper).scale_step
        half = self.scales // 2
        return jnp.asarray(step, jnp.float32) ** jnp.arange(-half, half + 1, dtype=jnp.float32)

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
        )
        return state, self._template_crops(frame, state, hyper)

    @functools.partial(jax.jit, static_argnums=0)
    def _template_crops(self, frame, state, hyper):
        sides = state.template_side[None]
        if self.pyramid == "template":
            # An object grown by f fills its template as one seen through a window f times smaller.
            sides = sides / self._factors(hyper)
        return self._cut(frame, state, sides, self.exemplar)

    @functools.partial(jax.jit, static_argnums=0)
    def _search_crops(self, frame, state, hyper):
        sides = state.search_side[None]
        if self.pyramid == "search":
            sides = sides * self._factors(hyper)
        return self._cut(frame, state, sides, self.instance)

    def _cut(self, frame, state, sides, size):
        cut = lambda side: crop(frame, state.center, side, size, state.fill, "siamfc")
        return jax.vmap(cut)(sides)

    @functools.partial(jax.jit, static_argnums=0)
    def _remember(self, variables, state, crops, before):
        """Embed exemplar crops into the state, averaged with the template `before`, if any."""
        embed = functools.partial(self._apply, method="template")
        template = map_examples(embed, variables, crops.astype(jnp.float32))
        if before is not None:
            mean = before + self.template_rate * (template - before)
            template = jnp.where(jnp.all(jnp.isfinite(state.center)), mean, before)
        return state._replace(template=template)

    @functools.partial(jax.jit, static_argnums=0)
    def _locate(self, variables, state, crops, hyper):
        factors = self._factors(hyper)
        hyper = self.hyper() if hyper is None else hyper
        embed = functools.partial(self._apply, method="search")
        features = map_examples(embed, variables, crops.astype(jnp.float32))
        response = self._apply(variables, state.template, features, method="respond")

        rows = upsampling_matrix(response.shape[1], self.upsampling)
        highest = jax.lax.Precision.HIGHEST
        response = jnp.einsum("iy,syx,jx->sij", rows, response, rows, precision=highest)
        middle = jnp.arange(self.scales) == self.scales // 2
        penalty = jnp.where(middle, 1.0, hyper.scale_penalty)
        peaks = jnp.max(response, axis=(1, 2))
        scale_id = jnp.argmax(peaks * penalty)
        factor = factors[scale_id]
        best = response[scale_id] * penalty[scale_id]
        best = best - jnp.min(best)
        best = best / (jnp.sum(best) + 1e-16)
        influence = hyper.window_influence
        best = (1 - influence) * best + influence * cosine_window(rows.shape[0])
        index = jnp.argmax(best)
        where = jnp.stack([index % rows.shape[0], index // rows.shape[0]]).astype(jnp.float32)

        cells = (where - (rows.shape[0] - 1) / 2) / self.upsampling
        pixels = state.search_side / self.instance
        if self.pyramid == "search":
            pixels = pixels * factor
        scale = (1 - hyper.scale_lr) + hyper.scale_lr * factor
        limited = jnp.clip(state.scale * scale, hyper.min_scale, hyper.max_scale)
        scale = limited / state.scale
        state = state._replace(
            center=state.center + cells * self.stride * pixels,
            size=state.size * scale,
            template_side=state.template_side * scale,
            search_side=state.search_side * scale,
            scale=limited,
        )
        box = geometry.from_pixel_center(state.center, state.size)
        valid: Bool[Array, ""] = jnp.all(jnp.isfinite(box))
        score = jnp.where(valid, jax.nn.sigmoid(peaks[scale_id]), 0.0)
        return state, Out(jnp.where(valid, box, jnp.nan), score, valid)


@functools.cache
def _upsampling_matrix(size: int, factor: int) -> np.ndarray:
    out, a = size * factor, -0.75
    position = (np.arange(out) + 0.5) / factor - 0.5
    first = np.floor(position).astype(int) - 1
    matrix = np.zeros((out, size))
    for tap in range(4):
        d = np.abs(position - (first + tap))
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        weight = np.where(d <= 1, near, far)
        np.add.at(matrix, (np.arange(out), np.clip(first + tap, 0, size - 1)), weight)
    return matrix.astype(np.float32)


def upsampling_matrix(size: int, factor: int) -> Float[Array, "out size"]:
    """Give the rows of bicubic upsampling along one axis, borders repeated.

    Equal to `cv2.resize` with INTER_CUBIC, whose cubic has a = -0.75 (`jax.image.resize` has
    -0.5). `up = rows @ response @ rows.T`.
    """
    return jnp.asarray(_upsampling_matrix(size, factor))


def cosine_window(size: int) -> Float[Array, "size size"]:
    """Give the outer product of two Hann windows, summing to 1."""
    hann = np.hanning(size)
    window = np.outer(hann, hann)
    return jnp.asarray(window / window.sum(), jnp.float32)
