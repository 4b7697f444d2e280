"""Training steps of SiamFC and of the region-proposal trackers on PyTorch, for comparison.

Losses as siamfc-pytorch and PySOT state them (REFERENCE 1.8); correlation of a batch by grouped
convolution, as both have it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from siamjax.bench import torch_siamrpn, train
from siamjax.bench.torch_siamfc import alexnet_v1
from siamjax.bench.torch_xcorr import prepare, wait

FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def correlate(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Correlate channel by channel, [B, C, h, w] on [B, C, H, W]."""
    batch, channels = x.shape[:2]
    kernel = z.reshape(batch * channels, 1, *z.shape[2:])
    out = functional.conv2d(
        x.reshape(1, batch * channels, *x.shape[2:]), kernel, groups=batch * channels
    )
    return out.reshape(batch, channels, *out.shape[2:])


class Training:
    """A network, SGD, and one batch on the device."""

    def __init__(
        self,
        net: nn.Module,
        state_dict: Mapping[str, np.ndarray],
        batch: Mapping[str, np.ndarray],
        layout: str,
        objective: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        bgr: bool,
    ):
        net.load_state_dict({name: torch.tensor(array) for name, array in state_dict.items()})
        self._format = FORMATS[layout]
        self._device = prepare()
        self.net = net.to(self._device, memory_format=self._format).train()
        self._pictures = [self._place(batch[name], bgr) for name in ("template", "search")]
        self._objective = objective
        self._optimizer = torch.optim.SGD(
            net.parameters(), train.RATE, train.MOMENTUM, weight_decay=train.DECAY
        )

    def step(self) -> float:
        """Train on the batch once more; gives the loss before the update."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._objective(*self._pictures)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), train.CLIP)
        self._optimizer.step()
        wait(self._device)
        return loss.item()

    def _place(self, crops: np.ndarray, bgr: bool) -> torch.Tensor:
        crops = np.ascontiguousarray(crops[..., ::-1] if bgr else crops)
        tensor = torch.tensor(crops, device=self._device).permute(0, 3, 1, 2)
        return tensor.contiguous(memory_format=self._format)


class TorchFCTraining(Training):
    """SiamFC's step with the balanced loss."""

    def __init__(
        self,
        state_dict: Mapping[str, np.ndarray],
        batch: Mapping[str, np.ndarray],
        labels: np.ndarray,
        layout: str,
    ):
        net = nn.Module()
        net.add_module("backbone", alexnet_v1())
        super().__init__(net, state_dict, batch, layout, self._loss, bgr=False)
        self._labels = torch.tensor(labels, device=self._device)
        positive = self._labels == 1
        self._weights = torch.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())

    def _loss(self, z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        backbone = self.net.get_submodule("backbone")
        z, x = backbone(z), backbone(x)
        images = x.reshape(1, -1, *x.shape[2:])
        response = functional.conv2d(images, z, groups=len(z))[0] * 0.001
        entropy = functional.binary_cross_entropy_with_logits(
            response, self._labels, reduction="none"
        )
        return (entropy * self._weights).sum()


class TorchRPNTraining(Training):
    """PySOT's step: selected cross entropy and 1.2 times the weighted L1."""

    def __init__(
        self,
        backbone: str,
        weighted: bool,
        state_dict: Mapping[str, np.ndarray],
        batch: Mapping[str, np.ndarray],
        drawn: Any,
        layout: str,
    ):
        net = torch_siamrpn.Net(backbone, weighted)
        super().__init__(net, state_dict, batch, layout, self._loss, bgr=True)
        to = lambda array: torch.tensor(np.moveaxis(np.asarray(array), 3, 1), device=self._device)
        self._labels, self._delta, self._weight = map(to, (drawn.labels, drawn.delta, drawn.weight))

    def _respond(self, z: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        net: torch_siamrpn.Net = self.net
        cls, loc = [], []
        for head, a, b in zip(net.heads, net.embed(z), net.embed(x), strict=True):
            for part, out in ((head.cls, cls), (head.loc, loc)):
                out.append(part.head(correlate(part.conv_kernel(a), part.conv_search(b))))
        if not net.weights:
            return torch.stack(cls).mean(0), torch.stack(loc).mean(0)
        shares = [weight.softmax(0)[:, None, None, None, None] for weight in net.weights]
        cls, loc = ((torch.stack(y) * w).sum(0) for y, w in zip((cls, loc), shares, strict=True))
        return cls, loc

    def _loss(self, z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        cls, loc = self._respond(z, x)
        batch, _, rows, columns = cls.shape
        logits = cls.reshape(batch, 2, -1, rows, columns)  # [B, 2, A, y, x]
        entropy = -functional.log_softmax(logits, 1)
        total = torch.zeros((), device=cls.device)
        for label in (1, 0):
            total = total + 0.5 * entropy[:, label][self._labels == label].mean()
        away = (loc.reshape(batch, 4, -1, rows, columns).permute(0, 2, 3, 4, 1) - self._delta).abs()
        return total + 1.2 * (away.sum(-1) * self._weight).sum() / batch
