"""What every family of trackers has: a network of template and search, a start, a step, a loss."""

import abc
import functools
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array as AnyDtype
from jaxtyping import Float, UInt8

from siamjax.crop import check_frame
from siamjax.models.apply import apply
from siamjax.track.state import Out
from siamjax.typing import AnyArray, Array, Params, Variables

State = TypeVar("State")
Hyper = TypeVar("Hyper")


class Family(abc.ABC, Generic[State, Hyper]):
    """A tracker, a configuration alone: its class is a frozen dataclass.

    Methods are pure functions of what they are given: `jit`, `vmap` and `scan` them freely. Equal
    trackers compile once.

    Attributes:
        exemplar: side of the exemplar crop, pixels.
        instance: side of the search crop, pixels.
    """

    exemplar: int
    instance: int

    # --- network -------------------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def net(self) -> Any:
        """The linen module of this configuration, with the methods `template` and `search`."""

    @property
    def template_crop(self) -> int:
        """Side of the exemplar crops that training takes."""
        return self.exemplar

    @functools.partial(jax.jit, static_argnums=0)
    def init_variables(self, key: AnyDtype) -> dict[str, Any]:
        """Draw fresh weights."""
        z = jnp.zeros((1, self.exemplar, self.exemplar, 3))
        x = jnp.zeros((1, self.instance, self.instance, 3))
        return dict(self.net.init(key, z, x))

    def template(self, variables: Variables, z: Float[AnyArray, "B k k 3"]) -> Any:
        """Make of exemplar crops (RGB, 0..255) all that a search needs of them."""
        return apply(self.net, variables, z, method="template")

    @abc.abstractmethod
    def respond(
        self, variables: Variables, template: Any, x: Float[AnyArray, "B s s 3"]
    ) -> dict[str, Any]:
        """Give the raw outputs of exemplars on search crops (RGB, 0..255).

        A batch of one on either side serves every element of the other.
        """

    def loss(
        self,
        params: Params,
        stats: Params,
        batch: Mapping[str, AnyArray],
        key: AnyDtype,
        train: bool = True,
        axis_name: str | None = None,
    ) -> tuple[Array, tuple[Params, dict[str, Array]]]:
        """Score a batch of pairs.

        Args:
            params: the network's parameters.
            stats: its `batch_stats`.
            batch: `template` [B, k, k, 3] with k = `template_crop` and `search` [B, s, s, 3], both
                RGB 0..255; `template_box`, `search_box` [B, 4] in crop pixels; `positive` [B],
                False where the search crop does not hold the template's object. The family's
                module of the loss says what else it may hold.
            key: draws what the family's loss draws.
            train: normalise by the batch (where the tracker does not say otherwise) and return new
                statistics.
            axis_name: mapped axis over which the batch is split.

        Returns:
            The loss, and the new statistics with the metrics that the family's module names.
        """
        return self._loss(params, stats, batch, key, train, axis_name)

    def _loss(self, params, stats, batch, key, train, axis_name):
        """Do what `loss` says."""
        raise NotImplementedError(f"{type(self).__name__} has no loss, so it cannot be trained")

    # --- tracking ------------------------------------------------------------------------------

    @abc.abstractmethod
    def hyper(self) -> Hyper:
        """Give the preset's tracking constants."""

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
        return self._begin(variables, frame, box, hyper)

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
            The next state, and the box with its score, which the family's class explains.

        Raises:
            ValueError: `frame` is not `uint8[H, W, 3]`.
        """
        check_frame(frame)
        return self._advance(variables, state, frame, hyper)

    @abc.abstractmethod
    def _begin(self, variables, frame, box, hyper) -> State:
        """Do what `init` says, with a frame and a box that were looked at."""

    @abc.abstractmethod
    def _advance(self, variables, state, frame, hyper) -> tuple[State, Out]:
        """Do what `step` says, with a frame that was looked at."""
