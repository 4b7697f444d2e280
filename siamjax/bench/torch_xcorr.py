"""PyTorch's side of `bench xcorr`: grouped convolutions on contiguous NCHW tensors.

The form in which PySOT and siamfc-pytorch write them: the batch folded into the channels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import torch
from torch.nn import functional

from siamjax.bench.timing import threads


def prepare() -> torch.device:
    """Give torch the threads, the device and the precision that JAX has here."""
    torch.set_num_threads(threads())
    if jax.default_backend() == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError("JAX computes on an accelerator and this PyTorch has no CUDA")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    return torch.device("cuda")


def wait(device: torch.device) -> None:
    """Wait for work queued on an accelerator."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forward(op: str, z: np.ndarray, x: np.ndarray) -> Callable[[], Any]:
    """Return a call that gives (y,) without keeping anything for a gradient."""
    device = prepare()
    a, b = _tensors(op, device, z, x)

    def run() -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            y = _correlate(op, a, b)
        wait(device)
        return (y,)

    return run


def forward_backward(op: str, z: np.ndarray, x: np.ndarray, g: np.ndarray) -> Callable[[], Any]:
    """Return a call that gives (y, dz, dx) for the cotangent `g`."""
    device = prepare()
    a, b = _tensors(op, device, z, x)
    a.requires_grad_()
    b.requires_grad_()
    cotangent = torch.tensor(_first(op, g), device=device)

    def run() -> tuple[torch.Tensor, ...]:
        y = _correlate(op, a, b)
        gradients = torch.autograd.grad(y, (a, b), cotangent)
        wait(device)
        return (y, *gradients)

    return run


def numpy(op: str, results: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """Give results in this library's order of axes."""
    y, *gradients = (a.detach().cpu().numpy() for a in results)
    if op != "full":
        y = np.moveaxis(y, 1, 3)
    if not gradients:
        return [y]
    dz = np.moveaxis(gradients[0], 1, 4) if op == "up" else gradients[0]
    dz = np.moveaxis(dz, 1, 3)
    return [y, dz, np.moveaxis(gradients[1], 1, 3)]


def _tensors(
    op: str, device: torch.device, z: np.ndarray, x: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Place z as [B, C, h, w] or [B, K, C, h, w] and x as [B, C, H, W]."""
    z = np.moveaxis(z, 3, 1)
    z = np.moveaxis(z, 4, 1) if op == "up" else z
    x = np.moveaxis(x, 3, 1)
    # torch.tensor copies into memory aligned as torch's kernels like it: 1.3 times faster.
    a, b = (torch.tensor(np.ascontiguousarray(array), device=device) for array in (z, x))
    return a, b


def _first(op: str, g: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(g if op == "full" else np.moveaxis(g, 3, 1))


def _correlate(op: str, z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    batch, channels, height, width = x.shape
    h, w = z.shape[-2:]
    image = x.reshape(1, batch * channels, height, width)
    if op == "depthwise":
        y = functional.conv2d(image, z.reshape(-1, 1, h, w), groups=batch * channels)
    else:
        y = functional.conv2d(image, z.reshape(-1, channels, h, w), groups=batch)
    y = y.reshape(batch, -1, *y.shape[2:])
    return y[:, 0] if op == "full" else y
