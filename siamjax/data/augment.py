"""Augmentation of training crops on the device, inside the jitted train step.

A context crop becomes a network input by one bilinear sampling that shifts, scales and stretches,
then colour, blur, grey and flip. Everything is a function of the key; boxes follow the pixels.
Source: PySOT's `datasets/augmentation.py` (REFERENCE 1.8) and siamfc-pytorch's RandomStretch;
brightness, contrast and stretch per axis are additions.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Key, Num

from siamjax.crop import sample
from siamjax.data.blur import cross_blur, soften
from siamjax.typing import AnyArray, Array

# Standard deviations of colour offsets, PySOT's `rgbVar`: offset = COLOR_BASIS @ N(0, 1)^3 (RGB).
COLOR_BASIS = (
    (-0.55919361, 0.98062831, -0.41940627),
    (1.72091413, 0.19879334, -1.82968581),
    (4.64467907, 4.73710203, 4.88324118),
)
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augment:
    """How strongly to change crops; the defaults change nothing.

    Attributes:
        shift: largest shift of the window on each axis, crop pixels, uniform.
        scale: the window's side is multiplied by 1 + uniform(-scale, scale).
        stretch: the same again, drawn for each axis on its own.
        color: probability of adding PySOT's colour offset.
        color_strength: factor of that offset; 1 is PySOT's.
        brightness: largest number of grey levels added, uniform.
        contrast: distances from the mean colour are multiplied by 1 + uniform(-contrast, contrast).
        blur: probability of a cross-shaped average.
        blur_size: largest size of the cross, odd; sizes 5, 7, ... are equally likely.
        gray: probability of a grey picture.
        flip: probability of a mirrored picture.
        soft: probability of a Gaussian blur, as small targets have that are enlarged to the crop.
        soft_sigma: its largest standard deviation, crop pixels, uniform.
    """

    shift: float = 0.0
    scale: float = 0.0
    stretch: float = 0.0
    color: float = 0.0
    color_strength: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    blur: float = 0.0
    blur_size: int = 45
    gray: float = 0.0
    flip: float = 0.0
    soft: float = 0.0
    soft_sigma: float = 3.0

    def __post_init__(self):
        for name in ("color", "blur", "gray", "flip", "soft"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a probability 0..1, got {getattr(self, name)}")
        for name in ("scale", "stretch", "contrast"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 0 <= {name} < 1, got {getattr(self, name)}")
        for name in ("shift", "color_strength", "brightness", "soft_sigma"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: expected a number >= 0, got {getattr(self, name)}")
        if self.blur_size < 5 or self.blur_size % 2 == 0:
            raise ValueError(f"blur_size: expected an odd number >= 5, got {self.blur_size}")


def happens(key: Key[Array, ""], probability: float) -> Bool[Array, ""]:
    """Draw True with a probability."""
    return jax.random.uniform(key, ()) < probability


def window(
    key: Key[Array, ""], box: Float[AnyArray, "4"], size: int, config: Augment
) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
    """Draw the window that becomes the crop: its centre and sides (x, y) in pixels of the image."""
    shift_key, scale_key, stretch_key = jax.random.split(key, 3)
    shift = jax.random.uniform(shift_key, (2,), minval=-config.shift, maxval=config.shift)
    scale = 1 + jax.random.uniform(scale_key, (), minval=-config.scale, maxval=config.scale)
    stretch = 1 + jax.random.uniform(
        stretch_key, (2,), minval=-config.stretch, maxval=config.stretch
    )
    return jnp.asarray(box[:2]) + (box[2:] - 1) / 2 + shift, size * scale * stretch


def _near(image, center, size, config):
    """Cut the part of the image that the window can reach, to sample from less; and its corner."""
    reach = math.ceil(size * (1 + config.scale) * (1 + config.stretch)) + 3
    lengths = [min(reach, length) for length in image.shape[:2]]
    first = jnp.floor(center - (reach - 1) / 2).astype(jnp.int32)
    top = jnp.clip(first[1], 0, image.shape[0] - lengths[0])
    left = jnp.clip(first[0], 0, image.shape[1] - lengths[1])
    part = jax.lax.dynamic_slice(image, (top, left, 0), (*lengths, image.shape[2]))
    return part, jnp.stack([left, top]).astype(jnp.float32)


def color_offset(key: Key[Array, ""], config: Augment) -> Float[Array, "3"]:
    """Draw PySOT's colour offset (RGB, grey levels), zero with probability 1 - `color`."""
    chance_key, offset_key = jax.random.split(key)
    normal = jax.random.normal(offset_key, (3,))
    offset = config.color_strength * jnp.sum(jnp.asarray(COLOR_BASIS) * normal[None, :], axis=1)
    return jnp.where(happens(chance_key, config.color), offset, 0.0)


def augment(
    key: Key[Array, ""],
    image: Num[AnyArray, "S S C"],
    box: Float[AnyArray, "4"],
    size: int,
    config: Augment,
    *,
    flip: Bool[Array, ""] | None = None,
    gray: Bool[Array, ""] | None = None,
) -> tuple[Float[Array, "size size C"], Float[Array, "4"]]:
    """Cut and change one crop.

    Args:
        key: same key, same result.
        image: context crop, RGB 0..255; further channels (a mask) are cut and mirrored alike, 0
            outside, and else left as they are.
        box: of the target in it, (x, y, width, height).
        size: side of the result; static.
        config: how strongly; static.
        flip: whether to mirror; None draws it with the configured probability.
        gray: whether to take the colours away; None draws it likewise.

    Returns:
        float32[size, size, C] in 0..255, and the box in its pixels, which may reach outside.
    """
    keys = jax.random.split(key, 8)
    image = jnp.asarray(image)
    box = jnp.asarray(box)
    center, side = window(keys[0], box, size, config)
    fill = jnp.mean(image[..., :3].astype(jnp.float32), axis=(0, 1))
    fill = jnp.pad(fill, (0, image.shape[2] - 3))
    part, corner = _near(image, center, size, config)
    out = sample(part, center - corner, side, size, fill)
    out, rest = out[..., :3], out[..., 3:]
    sides = box[2:] * (size / side)
    middle = (box[:2] + (box[2:] - 1) / 2 - center) * (size / side) + (size - 1) / 2
    start = middle - (sides - 1) / 2

    if config.gray or gray is not None:
        gray = happens(keys[1], config.gray) if gray is None else gray
        luma = jnp.sum(out * jnp.asarray(LUMA)[None, None, :], axis=-1, keepdims=True)
        out = jnp.where(gray, luma, out)
    if config.color:
        out = out - color_offset(keys[2], config)[None, None, :]
    if config.contrast:
        factor = 1 + jax.random.uniform(
            keys[3], (), minval=-config.contrast, maxval=config.contrast
        )
        mean = jnp.mean(out, axis=(0, 1), keepdims=True)
        out = (out - mean) * factor + mean
    if config.brightness:
        out = out + jax.random.uniform(
            keys[4], (), minval=-config.brightness, maxval=config.brightness
        )
    if config.blur:
        out = _maybe_blur(keys[5], out, config)
    out = jnp.concatenate([out, rest], axis=2) if rest.shape[2] else out
    if config.flip or flip is not None:
        flip = happens(keys[6], config.flip) if flip is None else flip
        out = jnp.where(flip, out[:, ::-1], out)
        mirrored = start.at[0].set(size - start[0] - sides[0])
        start = jnp.where(flip, mirrored, start)
    return jnp.clip(out, 0.0, 255.0), jnp.concatenate([start, sides])


def _maybe_blur(key, image, config):
    chance_key, size_key, weight_key = jax.random.split(key, 3)
    most = config.blur_size // 2
    half = jax.random.randint(size_key, (), 2, most + 1)
    vertical = jax.random.uniform(weight_key, ())
    return jax.lax.cond(
        happens(chance_key, config.blur),
        lambda: cross_blur(image, half, vertical, most),
        lambda: image,
    )


def augment_pair(
    key: Key[Array, ""],
    pair: Mapping[str, AnyArray],
    template_config: Augment,
    search_config: Augment,
    *,
    template_size: int = 127,
    search_size: int = 255,
) -> dict[str, Array]:
    """Cut and change a template and its search; mirror, grey and soften both or none.

    Args:
        key: same key, same result.
        pair: one element of a host batch: `template`, `template_box`, `search`, `search_box`,
            `positive`; `search_mask` and `has_mask` where it has masks.
        template_config: for the template.
        search_config: for the search; `flip`, `gray`, `soft` and `soft_sigma` equal the template's.
        template_size: side of the exemplar.
        search_size: side of the search window.

    Returns:
        `template` float32[127, 127, 3], `template_box`, `search` float32[255, 255, 3],
        `search_box`, `positive`; `search_mask` bool[255, 255] and `has_mask` likewise.

    Raises:
        ValueError: the two configurations differ in what is common to both.
    """
    for name in ("flip", "gray", "soft", "soft_sigma"):
        first, second = getattr(template_config, name), getattr(search_config, name)
        if first != second:
            raise ValueError(f"{name}: common to a pair, but got {first} and {second}")
    flip_key, gray_key, template_key, search_key = jax.random.split(key, 4)
    flip = happens(flip_key, search_config.flip) if search_config.flip else None
    gray = happens(gray_key, search_config.gray) if search_config.gray else None
    template, template_box = augment(
        template_key, pair["template"], pair["template_box"], template_size, template_config,
        flip=flip, gray=gray,
    )  # fmt: skip
    search = jnp.asarray(pair["search"])
    if "search_mask" in pair:
        mask = jnp.asarray(pair["search_mask"])
        search = jnp.concatenate([search, mask[..., None]], axis=2)
    search, search_box = augment(
        search_key, search, pair["search_box"], search_size, search_config, flip=flip, gray=gray
    )
    if search_config.soft:
        soft_key, sigma_key = jax.random.split(jax.random.fold_in(key, 1))
        sigma = jax.random.uniform(sigma_key, (), maxval=search_config.soft_sigma)
        sigma = jnp.where(happens(soft_key, search_config.soft), sigma, 0.0)
        template = soften(template, sigma)
        search = search.at[..., :3].set(soften(search[..., :3], sigma))
    changed = {
        "template": template,
        "template_box": template_box,
        "search": search[..., :3],
        "search_box": search_box,
        "positive": jnp.asarray(pair["positive"]),
    }
    if "search_mask" in pair:
        changed["search_mask"] = search[..., 3] > 127.5
        changed["has_mask"] = jnp.asarray(pair["has_mask"])
    return changed


def augment_batch(
    key: Key[Array, ""],
    batch: Mapping[str, AnyArray],
    template_config: Augment,
    search_config: Augment,
    *,
    template_size: int = 127,
    search_size: int = 255,
) -> dict[str, Array]:
    """Turn a host batch into the batch of `tracker.loss`; to be called inside a jitted step.

    Args:
        key: of the run; each pair's own is `fold_in(key, index)`, so neither the batch's size nor
            its place on devices changes a pixel.
        batch: what `pipeline.batches` gives.
        template_config: for templates.
        search_config: for searches.
        template_size: side of the exemplar.
        search_size: side of the search window.

    Returns:
        `template` float32[B, 127, 127, 3] and `search` float32[B, 255, 255, 3] in 0..255, their
        boxes float32[B, 4], `positive` bool[B]; with masks also `search_mask` bool[B, 255, 255] and
        `has_mask` bool[B].
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.asarray(batch["index"]))
    elements = {name: jnp.asarray(value) for name, value in batch.items() if name != "index"}
    one = functools.partial(
        augment_pair,
        template_config=template_config,
        search_config=search_config,
        template_size=template_size,
        search_size=search_size,
    )
    return jax.vmap(one)(keys, elements)
