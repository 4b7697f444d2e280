"""Cross-correlation of template features with search features: full, up-channel, depthwise.

Correlation does not flip its template: `out[i, j] = sum_{u, v} z[u, v] * x[i + u, j + v]`. It is
therefore the *convolution* of `x` with the flipped operand `z[::-1, ::-1]`, and what deep-learning
libraries call convolution is this correlation. All functions are "valid": no padding, offset
(0, 0) puts the template's corner on the search area's corner. Arrays are NHWC.

Every operation has the methods of `METHODS`, equal in value and gradient:

- "grouped": one grouped convolution, the textbook form. Right for accelerators and for ONNX, 20 to
  500 times slower than the others on XLA's CPU backend for batches over 1.
- "gemm": one matrix product of all template offsets with all positions, then shifted additions
  (for `depthwise`: windows gathered, then one contraction over the offsets).
- "shift": a sum over template offsets of shifted slices times weights.
- "fft": products of spectra; pays for large templates alone.
- "auto": chosen by platform while lowering, and by shape, for each of the two passes.

The choice sits inside one `jax.custom_vjp` that keeps `(z, x)` alone, because differentiating a
bare `lax.platform_dependent` keeps the residuals of every lowering. The price: no forward mode.

Source: Bertinetto et al. 2016, "Fully-Convolutional Siamese Networks for Object Tracking", eq. 2
(full); Li et al. 2018, "SiamRPN", section 3.2 (up-channel); Li et al. 2019, "SiamRPN++", section
3.4 (depthwise). Speeds measured for this library; `siamjax bench xcorr` repeats them.
"""

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from siamjax.layout import stored
from siamjax.typing import AnyArray, Array

Method = Literal["auto", "grouped", "gemm", "shift", "fft"]
METHODS: tuple[str, ...] = get_args(Method)

_BLOCK = 32
"""Channels that one CPU block holds: a 7x7 window of them and their weights fit a 32 KiB cache."""


@functools.partial(jax.jit, static_argnames="method")
def full(
    z: Float[AnyArray, "B h w C"], x: Float[AnyArray, "_ H W _"], *, method: str = "auto"
) -> Float[Array, "B Ho Wo"]:
    """Correlate over space and sum over channels: SiamFC's response.

    out[n, i, j] = sum_{u, v, c} z[n, u, v, c] * x[n, i + u, j + v, c]

    Args:
        z: template features, [B, h, w, C].
        x: search features, [B, H, W, C] with H >= h, W >= w; same dtype as `z`.
        method: one of `METHODS`; "auto" chooses by platform and shape.

    Returns:
        Responses [B, H - h + 1, W - w + 1], unnormalised (units of z * x).

    Raises:
        ValueError: ranks, batch, channels or dtypes differ, the template exceeds the search area,
            or `method` is unknown.

    Source: SiamFC, equation 2, without its bias.
    """
    _check("full", z, x, method, 4)
    a, b = same_axes(jnp.asarray(z)[..., None], jnp.asarray(x))
    return _correlate("up", method, a, b)[..., 0]


@functools.partial(jax.jit, static_argnames="method")
def up(
    z: Float[AnyArray, "B h w C K"], x: Float[AnyArray, "_ H W _"], *, method: str = "auto"
) -> Float[Array, "B Ho Wo K"]:
    """Correlate with `K` templates per example: SiamRPN's up-channel form.

    out[n, i, j, k] = sum_{u, v, c} z[n, u, v, c, k] * x[n, i + u, j + v, c]

    Args:
        z: template features, [B, h, w, C, K].
        x: search features, [B, H, W, C] with H >= h, W >= w; same dtype as `z`.
        method: one of `METHODS`; "auto" chooses by platform and shape.

    Returns:
        Responses [B, H - h + 1, W - w + 1, K], unnormalised (units of z * x).

    Raises:
        ValueError: ranks, batch, channels or dtypes differ, the template exceeds the search area,
            or `method` is unknown.

    Source: SiamRPN, equation 5.
    """
    _check("up", z, x, method, 5)
    return _correlate("up", method, *same_axes(jnp.asarray(z), jnp.asarray(x)))


@functools.partial(jax.jit, static_argnames="method")
def depthwise(
    z: Float[AnyArray, "B h w C"], x: Float[AnyArray, "_ H W _"], *, method: str = "auto"
) -> Float[Array, "B Ho Wo C"]:
    """Correlate each channel of `z` with the same channel of `x`: SiamRPN++'s form.

    out[n, i, j, c] = sum_{u, v} z[n, u, v, c] * x[n, i + u, j + v, c]

    Args:
        z: template features, [B, h, w, C].
        x: search features, [B, H, W, C] with H >= h, W >= w; same dtype as `z`.
        method: one of `METHODS`; "auto" chooses by platform and shape.

    Returns:
        Responses [B, H - h + 1, W - w + 1, C], unnormalised (units of z * x).

    Raises:
        ValueError: ranks, batch, channels or dtypes differ, the template exceeds the search area,
            or `method` is unknown.

    Source: SiamRPN++, section 3.4.
    """
    _check("depthwise", z, x, method, 4)
    return _correlate("depthwise", method, *same_axes(jnp.asarray(z), jnp.asarray(x)))


def tree_sum(terms: Iterable[Array]) -> Array:
    """Sum `terms` pairwise after runs of eight, so that additions do not wait for one another.

    A single chain of additions leaves the processor idle: 1.5x slower here on a CPU.
    """
    terms = list(terms)
    terms = [functools.reduce(operator.add, terms[k : k + 8]) for k in range(0, len(terms), 8)]
    while len(terms) > 1:
        pairs = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[2 * len(pairs) :]
    return terms[0]


def _check(name: str, z: AnyArray, x: AnyArray, method: str, rank: int) -> None:
    """Raise ValueError unless `z` (of `rank`) and `x` can be correlated by `method`."""
    if method not in METHODS:
        raise ValueError(f"xcorr.{name}: method is {method!r}, expected one of {METHODS}")
    if z.ndim != rank or x.ndim != 4:
        expected = "[B, h, w, C, K]" if rank == 5 else "[B, h, w, C]"
        raise ValueError(
            f"xcorr.{name}: z has shape {z.shape} and x {x.shape}, expected z {expected} and "
            "x [B, H, W, C]"
        )
    if z.dtype != x.dtype:
        raise ValueError(f"xcorr.{name}: z is {z.dtype} and x {x.dtype}, expected one dtype")
    for axis, what in ((0, "batch"), (3, "channels")):
        if z.shape[axis] != x.shape[axis]:
            raise ValueError(
                f"xcorr.{name}: {what} of z is {z.shape[axis]} and of x {x.shape[axis]}, expected "
                f"equal (z {z.shape}, x {x.shape})"
            )
    if z.shape[1] > x.shape[1] or z.shape[2] > x.shape[2]:
        raise ValueError(
            f"xcorr.{name}: the template {z.shape[1:3]} exceeds the search area {x.shape[1:3]}"
        )


def same_axes(z: Array, x: Array) -> tuple[Array, Array]:
    """Let both operands vary over the same `shard_map` axes.

    To be called outside of a custom gradient, so that JAX itself sums the gradient of a replicated
    operand over the devices.
    """
    axes = _varying(z) | _varying(x)

    def vary(a: Array) -> Array:
        missing = tuple(sorted(axes - _varying(a)))
        return lax.pcast(a, missing, to="varying") if missing else a

    return vary(z), vary(x)


def _varying(a: Array) -> frozenset:
    """Return the `shard_map` axes over which `a` varies (jax 0.10.2 renamed the attribute)."""
    kind = jax.typeof(a)
    if hasattr(kind, "manual_axis_type"):
        return kind.manual_axis_type.varying
    return getattr(kind, "vma", frozenset())


# ------------------------------------------------------------------ the choice and its gradient


def _auto(op: str, z: Array) -> tuple[str, str]:
    """Name the methods for the CPU and for accelerators, measured on 2 cores and on an H100."""
    if op == "up":
        return "gemm", "gemm"
    return "shift", "shift" if z.shape[0] < 16 else "grouped"


def _run(table: dict, op: str, method: str, z: Array, x: Array, *rest: Array):
    """Run `table[op][method]`, resolving "auto" by the platform that the program is lowered for."""
    if method != "auto":
        return table[op][method](z, x, *rest)
    cpu, accelerator = _auto(op, z)
    if table is _BACKWARD and accelerator == "shift":
        accelerator = "grouped"  # the loop over rows of the shifted gradient starves a GPU
    if cpu == accelerator:
        return table[op][cpu](z, x, *rest)
    return lax.platform_dependent(z, x, *rest, cpu=table[op][cpu], default=table[op][accelerator])


def _primal(op: str, method: str, z: Array, x: Array) -> Array:
    return _run(_FORWARD, op, method, z, x)


def _correlate_forward(op: str, method: str, z: Array, x: Array):
    return _primal(op, method, z, x), (z, x)


def _correlate_backward(op: str, method: str, residuals: tuple[Array, Array], g: Array):
    return _run(_BACKWARD, op, method, *residuals, g)


_correlate = jax.custom_vjp(_primal, nondiff_argnums=(0, 1))
_correlate.defvjp(_correlate_forward, _correlate_backward)


def _automatic(forward: Callable[[Array, Array], Array]):
    """Return the gradient that JAX derives from `forward`, as a function of (z, x, g)."""

    def backward(z: Array, x: Array, g: Array) -> tuple[Array, Array]:
        return jax.vjp(forward, z, x)[1](g)

    return backward


# ------------------------------------------------------------------ full and up-channel


def _output_size(z: Array, x: Array) -> tuple[int, int]:
    return x.shape[1] - z.shape[1] + 1, x.shape[2] - z.shape[2] + 1


def _up_grouped(z: Array, x: Array) -> Array:
    """Fold the batch into the channels: one convolution with a group per example."""
    batch, h, w, channels, k = z.shape
    kernel = jnp.moveaxis(z, 0, 3).reshape(h, w, channels, batch * k)
    image = jnp.moveaxis(x, 0, 2).reshape(1, *x.shape[1:3], batch * channels)
    y = lax.conv_general_dilated(
        image,
        kernel,
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=batch,
    )
    return jnp.moveaxis(y.reshape(*y.shape[1:3], batch, k), 2, 0)


def _up_gemm(z: Array, x: Array) -> Array:
    """Multiply every offset with every position, then add along the diagonals."""
    return jnp.moveaxis(_collect(_rows(z) @ _columns(x), z.shape, x.shape), 1, 3)


def _up_gemm_backward(z: Array, x: Array, g: Array) -> tuple[Array, Array]:
    """Spread `g` along the diagonals once; both gradients are then matrix products."""
    batch, h, w, channels, k = z.shape
    spread = _spread(jnp.moveaxis(g, 3, 1), z.shape, x.shape)
    dz = jnp.einsum("nop,npc->noc", spread, x.reshape(batch, -1, channels))
    dx = jnp.einsum("nop,noc->npc", spread, _rows(z))
    return jnp.moveaxis(dz.reshape(batch, k, h, w, channels), 1, 4), dx.reshape(x.shape)


def _rows(z: Array) -> Array:
    """Reshape `z` [B, h, w, C, K] to matrices [B, K * h * w, C]."""
    return jnp.moveaxis(z, 4, 1).reshape(z.shape[0], -1, z.shape[3])


def _columns(x: Array) -> Array:
    """Reshape `x` [B, H, W, C] to matrices [B, C, H * W]."""
    return x.reshape(x.shape[0], -1, x.shape[3]).mT


def _collect(products: Array, template: tuple[int, ...], search: tuple[int, ...]) -> Array:
    """Add products[b, (k, u, v), (u + i, v + j)] over (u, v), giving [b, k, i, j].

    Reading a matrix of row length n as one of row length n + s moves row r by r * s: two such
    readings (s = 1 for v, s = W for u) line the terms up, with no gather and no slice per offset.
    """
    (batch, h, w, _, k), (_, height, width, _) = template, search
    ho, wo = height - h + 1, width - w + 1
    area = height * width
    a = products.reshape(batch, k, h, w * area)
    a = _pad_end(a, w).reshape(batch, k, h, w, area + 1).sum(3)
    a = _pad_end(a.reshape(batch, k, h * (area + 1)), h * width)
    a = a.reshape(batch, k, h, area + 1 + width)[..., : ho * width].sum(2)
    return a.reshape(batch, k, ho, width)[..., :wo]


def _spread(g: Array, template: tuple[int, ...], search: tuple[int, ...]) -> Array:
    """Transpose `_collect`: g [b, k, i, j] to [b, (k, u, v), (u + i, v + j)], zero elsewhere."""
    (batch, h, w, _, k), (_, height, width, _) = template, search
    area = height * width
    a = _pad_end(g, width - g.shape[3]).reshape(batch, k, 1, -1)
    a = _pad_end(a, area + 1 + width - a.shape[3])
    a = jnp.broadcast_to(a, (batch, k, h, a.shape[3])).reshape(batch, k, -1)
    a = a[..., : h * (area + 1)].reshape(batch, k, h, 1, area + 1)
    a = jnp.broadcast_to(a, (batch, k, h, w, area + 1)).reshape(batch, k, h, -1)
    return a[..., : w * area].reshape(batch, k * h * w, area)


def _pad_end(a: Array, amount: int) -> Array:
    return jnp.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, amount)])


def _up_shift(z: Array, x: Array) -> Array:
    ho, wo = _output_size(z, x)
    return tree_sum(
        jnp.einsum("nijc,nck->nijk", x[:, u : u + ho, v : v + wo], z[:, u, v])
        for u in range(z.shape[1])
        for v in range(z.shape[2])
    )


def _up_fft(z: Array, x: Array) -> Array:
    ho, wo = _output_size(z, x)
    spectrum = jnp.einsum("nuvck,nuvc->nuvk", jnp.conj(_spectrum(z, x)), _spectrum(x, x))
    return jnp.fft.irfft2(spectrum, x.shape[1:3], (1, 2))[:, :ho, :wo].astype(x.dtype)


def _spectrum(a: Array, x: Array) -> Array:
    """Transform `a` over space, zero-padded to the size of `x`; half types go by float32."""
    a = a.astype(jnp.promote_types(a.dtype, jnp.float32))
    return jnp.fft.rfft2(a, x.shape[1:3], (1, 2))


# ------------------------------------------------------------------ depthwise


def _depthwise_grouped(z: Array, x: Array) -> Array:
    """Fold the batch into the channels: one convolution with a group per example and channel."""
    batch, h, w, channels = z.shape
    kernel = jnp.moveaxis(z, 0, 2).reshape(h, w, 1, batch * channels)
    image = jnp.moveaxis(x, 0, 2).reshape(1, *x.shape[1:3], batch * channels)
    y = lax.conv_general_dilated(
        image,
        kernel,
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=batch * channels,
    )
    return jnp.moveaxis(y.reshape(*y.shape[1:3], batch, channels), 2, 0)


def _depthwise_gemm(z: Array, x: Array) -> Array:
    """Gather the window of every position, then contract over the offsets."""
    batch, h, w, channels = z.shape
    ho, wo = _output_size(z, x)
    windows = jnp.stack([x[:, u : u + ho, v : v + wo] for u in range(h) for v in range(w)], axis=3)
    return jnp.einsum("nijoc,noc->nijc", windows, z.reshape(batch, h * w, channels))


def _depthwise_fft(z: Array, x: Array) -> Array:
    ho, wo = _output_size(z, x)
    spectrum = jnp.conj(_spectrum(z, x)) * _spectrum(x, x)
    return jnp.fft.irfft2(spectrum, x.shape[1:3], (1, 2))[:, :ho, :wo].astype(x.dtype)


def _depthwise_shift(z: Array, x: Array) -> Array:
    return _unblock(_shifted(_block(z), _block(x)), x.shape[0])


def _depthwise_shift_backward(z: Array, x: Array, g: Array) -> tuple[Array, Array]:
    """Correlate the padded `g` with the flipped `z`, and `x` with `g` row by row."""
    h, w = z.shape[1:3]
    zb, xb, gb = _block(z), _block(x), _block(g)
    padded = jnp.pad(gb, ((0, 0), (h - 1, h - 1), (w - 1, w - 1), (0, 0)))
    dx = _shifted(zb[:, ::-1, ::-1], padded)

    def row(i: Array | int) -> Array:
        rows = lax.dynamic_slice_in_dim(xb, i, h, 1)
        weights = lax.dynamic_index_in_dim(gb, i, 1, keepdims=False)
        return tree_sum(
            rows[:, :, j : j + w] * weights[:, None, j : j + 1] for j in range(g.shape[2])
        )

    # From the first row, not from zeros: under shard_map the carry must vary as the rows do.
    dz = lax.fori_loop(1, g.shape[1], lambda i, total: total + row(i), row(0))
    return _unblock(dz, x.shape[0]), _unblock(dx, x.shape[0])


def _shifted(z: Array, x: Array) -> Array:
    ho, wo = _output_size(z, x)
    return tree_sum(
        x[:, u : u + ho, v : v + wo] * z[:, None, u, v : v + 1]
        for u in range(z.shape[1])
        for v in range(z.shape[2])
    )


def _blocks(channels: int) -> int:
    return channels // _BLOCK if channels % _BLOCK == 0 else 1


def _block(a: Array) -> Array:
    """Store blocks of channels apart, [B, H, W, C] to [B * blocks, H, W, C / blocks].

    The layout constraint makes the compiler really move the data (0.3 ms for 8 MB): without it,
    the move folds into the shifted reads, which then miss the processor's first cache (3x slower).
    """
    blocks = _blocks(a.shape[3])
    if blocks == 1:
        return a
    a = jnp.moveaxis(a.reshape(*a.shape[:3], blocks, -1), 3, 1)
    return stored(a).reshape(-1, *a.shape[2:])


def _unblock(a: Array, batch: int) -> Array:
    """Invert `_block` for an original batch of `batch`."""
    if a.shape[0] == batch:
        return a
    a = stored(a.reshape(batch, -1, *a.shape[1:]))
    return jnp.moveaxis(a, 1, 3).reshape(batch, *a.shape[2:4], -1)


_FORWARD = {
    "up": {"grouped": _up_grouped, "gemm": _up_gemm, "shift": _up_shift, "fft": _up_fft},
    "depthwise": {
        "grouped": _depthwise_grouped,
        "gemm": _depthwise_gemm,
        "shift": _depthwise_shift,
        "fft": _depthwise_fft,
    },
}
_BACKWARD = {
    op: {name: _automatic(forward) for name, forward in methods.items()}
    for op, methods in _FORWARD.items()
}
_BACKWARD["up"]["gemm"] = _up_gemm_backward
_BACKWARD["depthwise"]["shift"] = _depthwise_shift_backward
