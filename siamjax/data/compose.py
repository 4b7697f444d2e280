"""A compositor on the device: targets before new photos, among others, behind occluders.

What few annotated clips lack, made inside the jitted train step from the layers of
`siamjax.data.layers`: an object cut out by its mask is turned, stretched, lit anew and set before
a photo that moves with the camera; other objects, of its own category too, and a recoloured twin
of itself stand beside it; one may hide a part of it. Everything is a function of the key. Boxes
stay whole where a target is partly hidden, as benchmarks annotate it.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Key, Num, UInt8

from siamjax.crop import sample
from siamjax.data.augment import happens
from siamjax.typing import AnyArray, Array

ZOOM = (1.15, 2.3)
"""Crop pixels a photo pixel: its square of 384 covers a crop of 431, or less of it is seen."""
CAMERA = 24.0
"""Largest motion of the camera from template to search, crop pixels an axis."""
TWIN_GAIN = (0.35, 1.65)
"""Factors of a twin's colours, so far apart that template and twin can be told apart."""


@dataclass(frozen=True)
class Compose:
    """How often and how strongly to compose.

    Attributes:
        paste: probability that a target with a mask is set before a photo; bare ones always are.
        others: probability of each other object to be seen beside the target.
        twin: probability that the first of them is the target itself in other colours.
        occlude: probability that another object hides a part of the target.
        visible: least part of the target that an occluder leaves.
        turn: largest rotation of a pasted target from template to search, degrees, uniform.
        scale: a pasted target's sides are multiplied by exp(uniform(-scale, scale)), each anew by
            a third of that.
        light: a pasted target's channels are multiplied by 1 + uniform(-light, light).
    """

    paste: float = 0.3
    others: float = 0.35
    twin: float = 0.15
    occlude: float = 0.15
    visible: float = 0.5
    turn: float = 15.0
    scale: float = 0.15
    light: float = 0.15

    def __post_init__(self):
        for name in ("paste", "others", "twin", "occlude", "visible"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a number 0..1, got {getattr(self, name)}")
        if not 0 <= self.light < 1:
            raise ValueError(f"light: expected 0 <= light < 1, got {self.light}")
        for name in ("turn", "scale"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: expected a number >= 0, got {getattr(self, name)}")


def layer(picture: UInt8[AnyArray, "H W 3"], mask: UInt8[AnyArray, "H W"]) -> Float[Array, "H W 4"]:
    """Make a layer: colours times coverage, and coverage 0..1, so that interpolation is right."""
    cover = jnp.asarray(mask, jnp.float32)[..., None] / 255
    return jnp.concatenate([jnp.asarray(picture, jnp.float32) * cover, cover], axis=-1)


def over(canvas: Float[Array, "H W 3"], top: Float[Array, "H W 4"]) -> Float[Array, "H W 3"]:
    """Put a layer on a canvas."""
    return canvas * (1 - top[..., 3:]) + top[..., :3]


def place(
    picture: Float[AnyArray, "h w C"],
    size: int,
    center: Float[AnyArray, "2"],
    scale: Float[AnyArray, "2"],
    angle: Float[AnyArray, ""] | float = 0.0,
) -> Float[Array, "size size C"]:
    """Draw a picture on an empty canvas, bilinear, 0 around it.

    Args:
        picture: its middle comes to `center`.
        size: side of the canvas; static.
        center: (x, y), canvas pixels, pixel centres at integers.
        scale: canvas pixels a picture pixel along the picture's own axes (x, y).
        angle: radians, clockwise on the screen.
    """
    picture = jnp.asarray(picture, jnp.float32)
    height, width, channels = picture.shape
    axis = jnp.arange(size, dtype=jnp.float32)
    dx, dy = axis[None, :] - center[0], axis[:, None] - center[1]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x = (cos * dx + sin * dy) / scale[0] + (width - 1) / 2
    y = (-sin * dx + cos * dy) / scale[1] + (height - 1) / 2
    left, top = jnp.floor(x), jnp.floor(y)
    rows = picture.reshape(-1, channels)

    def tap(down: int, right: int) -> Float[Array, "size size C"]:
        i, j = top + down, left + right
        inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        weight = (1 - jnp.abs(y - i)) * (1 - jnp.abs(x - j)) * inside
        index = jnp.clip(i, 0, height - 1) * width + jnp.clip(j, 0, width - 1)
        return rows[index.astype(jnp.int32)] * weight[..., None]

    return tap(0, 0) + tap(0, 1) + tap(1, 0) + tap(1, 1)


def extent(cover: Float[Array, "H W"]) -> tuple[Float[Array, "4"], Bool[Array, ""]]:
    """Give the box (x, y, width, height) around what is covered by over a half, and if any is."""
    seen = cover > 0.5
    start, sides = [], []
    for axis in (0, 1):
        line = seen.any(axis)
        first = jnp.argmax(line)
        start.append(first)
        sides.append(line.shape[0] - jnp.argmax(line[::-1]) - first)
    return jnp.stack([*start, *sides]).astype(jnp.float32), seen.any()


def _between(key: Key[Array, ""], low, high, shape=()) -> Float[Array, "*n"]:
    return jax.random.uniform(key, shape, minval=low, maxval=high)


def _gain(picture: Float[Array, "H W 4"], gain: Float[Array, "3"]) -> Float[Array, "H W 4"]:
    """Multiply a layer's colours, as far as white."""
    cover = picture[..., 3:]
    colors = jnp.minimum(picture[..., :3] * gain[None, None, :], 255 * cover)
    return jnp.concatenate([colors, cover], axis=-1)


def _view(photo, size, zoom, center):
    """Draw the photo around a point of it, as float32[size, size, 3]."""
    mean = jnp.mean(photo.astype(jnp.float32), axis=(0, 1))
    return sample(photo, center, size / zoom, size, mean)


def _beside(key, picture, size, target):
    """Draw another object somewhere on a canvas, its middle not on the target's."""
    keys = jax.random.split(key, 5)
    side = jnp.sqrt(target[2] * target[3])
    away = side * _between(keys[0], 0.6, 2.6)
    direction = _between(keys[1], 0.0, 2 * jnp.pi)
    center = (size - 1) / 2 + away * jnp.stack([jnp.cos(direction), jnp.sin(direction)])
    scale = jnp.exp(_between(keys[2], -0.6, 0.3)) * jnp.asarray([1.0, 1.0])
    mirrored = jnp.where(happens(keys[3], 0.5), picture[:, ::-1], picture)
    return place(mirrored, size, center, scale, _between(keys[4], -0.4, 0.4))


def _occluder(key, picture, size, target):
    """Draw another object over the border of the target."""
    keys = jax.random.split(key, 3)
    direction = _between(keys[0], 0.0, 2 * jnp.pi)
    toward = jnp.stack([jnp.cos(direction), jnp.sin(direction)])
    center = target[:2] + (target[2:] - 1) / 2 + toward * target[2:] * 0.55
    scale = jnp.exp(_between(keys[1], -0.5, 0.2)) * jnp.asarray([1.0, 1.0])
    return place(picture, size, center, scale, _between(keys[2], -0.5, 0.5))


def compose_pair(
    key: Key[Array, ""], pair: Mapping[str, Num[AnyArray, "..."] | Bool[AnyArray, "..."]],
    config: Compose,
) -> dict[str, Array]:  # fmt: skip
    """Compose one pair.

    Args:
        key: same key, same result.
        pair: one element of a host batch with masks and the layers of `siamjax.data.layers.Stock`.
        config: how often and how strongly; static.

    Returns:
        The pair without its layers: `template`, `search` float32 0..255, their boxes,
        `search_mask` uint8, and the rest as it was. A search without mask stays as it is.
    """
    keys = jax.random.split(key, 12)
    k, s = pair["template"].shape[0], pair["search"].shape[0]
    has_mask = jnp.asarray(pair["has_mask"])
    bare = jnp.asarray(pair["bare"])
    paste = happens(keys[0], config.paste) & has_mask & jnp.any(pair["template_mask"] > 127)
    paste = paste | bare

    photo = jnp.asarray(pair["photo"])
    zoom = jnp.exp(_between(keys[1], jnp.log(ZOOM[0]), jnp.log(ZOOM[1])))
    room = jnp.maximum(0.0, (photo.shape[0] - s / zoom) / 2)
    middle = (photo.shape[0] - 1) / 2 + _between(keys[2], -1.0, 1.0, (2,)) * room
    moved = middle + _between(keys[3], -CAMERA, CAMERA, (2,)) / zoom

    target = layer(pair["search"], pair["search_mask"])
    box = jnp.asarray(pair["search_box"])
    turned = _between(keys[4], -1.0, 1.0, (4,))
    angle = turned[0] * jnp.deg2rad(config.turn)
    scale = jnp.exp(config.scale * (turned[1] + turned[2:] / 3))
    angle, scale = jnp.where(paste[1], angle, 0.0), jnp.where(paste[1], scale, 1.0)
    center = jnp.full(2, (s - 1) / 2)
    light = 1 + jnp.where(paste[1], config.light, 0.0) * _between(keys[5], -1.0, 1.0, (3,))
    target = _gain(place(target, s, center, scale, angle), light)
    around, any_left = extent(target[..., 3])
    box = jnp.where(paste[1] & any_left, around, box)

    others = jax.vmap(layer)(pair["others"], pair["other_masks"])
    others = others.at[0].set(_twin(keys[6], others[0], target, config))
    seen = jax.random.uniform(keys[7], (others.shape[0],)) < config.others
    canvas = jnp.where(paste[1], _view(photo, s, zoom, moved), jnp.asarray(pair["search"], float))
    first = jnp.where(paste[0], _view(photo, k, zoom, middle), jnp.asarray(pair["template"], float))
    for number in range(others.shape[0]):
        placed = jax.random.fold_in(keys[8], number)
        drawn = _beside(placed, others[number], s, box)
        canvas = over(canvas, drawn * (seen[number] & has_mask))
        drawn = _beside(jax.random.fold_in(placed, 1), others[number], k, box)
        first = over(first, drawn * (seen[number] & paste[0]))
    canvas = over(canvas, target)
    first = over(first, layer(pair["template"], pair["template_mask"]))

    hiding = _occluder(keys[9], others[-1], s, box)
    left = jnp.sum(target[..., 3] * (1 - hiding[..., 3])) / (jnp.sum(target[..., 3]) + 1e-6)
    hidden = happens(keys[10], config.occlude) & has_mask & (left >= config.visible)
    hiding = hiding * hidden
    mask = target[..., 3] * (1 - hiding[..., 3])
    rest = ("template_mask", "others", "other_masks", "photo", "bare")
    return {name: jnp.asarray(value) for name, value in pair.items() if name not in rest} | {
        "template": first,
        "search": over(canvas, hiding),
        "search_box": box,
        "search_mask": jnp.round(255 * mask).astype(jnp.uint8),
    }


def _twin(key, other, target, config):
    """Give the target in other colours in place of another object, or that."""
    chance, colors = jax.random.split(key)
    edge = target.shape[0] - other.shape[0]
    inner = slice(edge // 2, edge // 2 + other.shape[0])
    recolored = _gain(target[inner, inner], _between(colors, *TWIN_GAIN, (3,)))
    return jnp.where(happens(chance, config.twin), recolored, other)


def compose_batch(
    key: Key[Array, ""],
    batch: Mapping[str, Num[AnyArray, "..."] | Bool[AnyArray, "..."]],
    config: Compose,
) -> dict[str, Array]:
    """Compose a host batch; to be called inside a jitted step, before `augment_batch`.

    Args:
        key: of the run; each pair's own follows from it and `batch["index"]` alone.
        batch: what `pipeline.batches` gives with a stock.
        config: how often and how strongly.
    """
    key = jax.random.fold_in(key, 1)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.asarray(batch["index"]))
    elements = {name: jnp.asarray(value) for name, value in batch.items() if name != "index"}
    composed = jax.vmap(functools.partial(compose_pair, config=config))(keys, elements)
    return composed | {"index": jnp.asarray(batch["index"])}
