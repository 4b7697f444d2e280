"""Affine augmentation of small pictures on the device: turned, sheared, scaled and shifted.

`crop.sample` moves and stretches along the axes only; this one turns as well, so it gathers pixels.
Meant for drawings, faces and pictograms of 28 to 105 px. Everything is a function of the key.
"""

import functools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key, Num, UInt32

from siamjax.typing import AnyArray, Array


@dataclass(frozen=True)
class Distort:
    """How strongly to change pictures; the defaults change nothing. All draws are uniform."""

    rotation: float = 0.0
    """largest angle to either side, degrees"""
    shear: float = 0.0
    """largest angle by which an upright line leans, degrees"""
    scale: float = 0.0
    """the picture's size is multiplied by 1 + uniform(-scale, scale)"""
    stretch: float = 0.0
    """the same again, drawn for each axis on its own"""
    shift: float = 0.0
    """largest shift along each axis, as a share of the side"""
    flip: float = 0.0
    """probability of a mirrored picture"""
    contrast: float = 0.0
    """distances from the mean are multiplied by 1 + uniform(-contrast, contrast)"""
    brightness: float = 0.0
    """largest number of grey levels added"""

    def __post_init__(self):
        for name, below in (("rotation", 360), ("shear", 80), ("scale", 1), ("stretch", 1),
                            ("contrast", 1), ("shift", 1)):  # fmt: skip
            if not 0 <= getattr(self, name) < below:
                raise ValueError(
                    f"{name}: expected 0 <= {name} < {below}, got {getattr(self, name)}"
                )
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip: expected a probability 0..1, got {self.flip}")
        if not 0 <= self.brightness <= 255:
            raise ValueError(f"brightness: expected 0 to 255 grey levels, got {self.brightness}")


def affine(key: Key[Array, ""], config: Distort) -> tuple[Float[Array, "2 2"], Float[Array, "2"]]:
    """Draw the map from the result's pixels to the picture's, both counted from their centres.

    Returns:
        The matrix on (x, y), and the shift in shares of the side.
    """
    keys = jax.random.split(key, 6)
    draw = lambda n, most, shape=(): jax.random.uniform(keys[n], shape, minval=-most, maxval=most)
    angle = draw(0, math.radians(config.rotation))
    lean = jnp.tan(draw(1, math.radians(config.shear)))
    sides = 1 / ((1 + draw(2, config.scale)) * (1 + draw(3, config.stretch, (2,))))
    mirror = jnp.where(jax.random.uniform(keys[5], ()) < config.flip, -1.0, 1.0)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    turned = jnp.array([[cos, -sin], [sin, cos]])
    leaning = jnp.array([[1.0, lean], [0.0, 1.0]])
    matrix = jnp.matmul(turned, leaning, precision="highest") * sides[None, :]
    return matrix * jnp.stack([mirror, 1.0])[None, :], draw(4, config.shift, (2,))


def warp(
    picture: Num[AnyArray, "H W C"],
    matrix: Float[AnyArray, "2 2"],
    shift: Float[AnyArray, "2"],
    fill: Float[AnyArray, " C"],
) -> Float[Array, "H W C"]:
    """Sample a picture by bilinear interpolation at affinely moved places.

    The pixel at (x, y) from the centre shows what lies at `matrix @ (x, y) + shift * (W, H)`.

    Args:
        picture: any units.
        matrix: on (x, y).
        shift: (x, y), shares of the sides.
        fill: colour outside the picture.
    """
    height, width, channels = picture.shape
    x, y = jnp.meshgrid(jnp.arange(width) - (width - 1) / 2, jnp.arange(height) - (height - 1) / 2)
    matrix, shift = jnp.asarray(matrix), jnp.asarray(shift)
    fill = jnp.asarray(fill)[None, None]
    at_x = matrix[0, 0] * x + matrix[0, 1] * y + shift[0] * width + (width - 1) / 2
    at_y = matrix[1, 0] * x + matrix[1, 1] * y + shift[1] * height + (height - 1) / 2
    # A border of one filled pixel takes all that lies outside.
    framed = jnp.pad(jnp.asarray(picture, jnp.float32) - fill, ((1, 1), (1, 1), (0, 0)))
    at_x, at_y = jnp.clip(at_x + 1, 0, width + 1), jnp.clip(at_y + 1, 0, height + 1)
    left, top = jnp.minimum(jnp.floor(at_x), width), jnp.minimum(jnp.floor(at_y), height)
    right_part, low_part = (at_x - left)[..., None], (at_y - top)[..., None]
    flat = framed.reshape(-1, channels)
    first = (top * (width + 2) + left).astype(jnp.int32)
    read = lambda offset: flat.at[first + offset].get(mode="promise_in_bounds")
    upper = read(0) * (1 - right_part) + read(1) * right_part
    lower = read(width + 2) * (1 - right_part) + read(width + 3) * right_part
    return upper * (1 - low_part) + lower * low_part + fill


def border(picture: Num[AnyArray, "H W C"]) -> Float[Array, " C"]:
    """Average the outermost pixels: the paper, or the background."""
    picture = jnp.asarray(picture, jnp.float32)
    rows = jnp.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    return jnp.mean(rows, axis=0)


def distort(
    key: Key[Array, ""], picture: Num[AnyArray, "H W C"], config: Distort
) -> Float[Array, "H W C"]:
    """Change one picture.

    Args:
        key: same key, same result.
        picture: grey levels 0..255.
        config: how strongly; static.

    Returns:
        float32 of the same shape, 0..255; outside of the picture, its border's mean colour.
    """
    affine_key, contrast_key, brightness_key = jax.random.split(key, 3)
    out = warp(picture, *affine(affine_key, config), border(picture))
    if config.contrast:
        factor = 1 + jax.random.uniform(
            contrast_key, (), minval=-config.contrast, maxval=config.contrast
        )
        mean = jnp.mean(out, axis=(0, 1), keepdims=True)
        out = (out - mean) * factor + mean
    if config.brightness:
        out = out + jax.random.uniform(
            brightness_key, (), minval=-config.brightness, maxval=config.brightness
        )
    return jnp.clip(out, 0.0, 255.0)


@functools.partial(jax.jit, static_argnums=(3, 4))
def distort_batch(
    key: Key[Array, ""],
    pictures: Num[AnyArray, "B H W C"],
    index: UInt32[AnyArray, " B"] | Int[AnyArray, " B"],
    config: Distort,
    side: int = 0,
) -> Float[Array, "B H W C"]:
    """Change a batch; each picture's key is of its `index` and `side` alone.

    Args:
        key: of the run.
        pictures: grey levels 0..255.
        index: global sample indices.
        config: how strongly; static.
        side: tells the two pictures of a pair apart.
    """
    key = jax.random.fold_in(key, side)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.asarray(index))
    return jax.vmap(functools.partial(distort, config=config))(keys, jnp.asarray(pictures))
