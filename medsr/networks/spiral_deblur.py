"""What off-resonance, T2* and a short sum of interleaves do to the mean image of a spiral run: a small network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

CHANNELS = 8
DILATIONS = (1, 2, 4, 8, 4, 2, 1)
TYPICAL = 4e-3
"""Readout duration in s that the network's input is 1 at."""


class SpiralDeblur(nn.Module):
    """The magnitude that an ideal scan would have, from the mean image of a run.

    Off-resonance f turns a spiral's point spread into a ring: over the readout the phase grows by ``2πfτ``, and τ
    is a function of ``|k|``. The phase of the image at the echo time is ``2πf TE`` and what the coils add, so the
    image itself tells of f where the eye sees blur alone; a network with a wide view takes it off (for the idea of
    deblurring spirals by a network, Lim, Bliesener, Narayanan and Nayak, Magn Reson Med 84:3438 (2020),
    doi:10.1002/mrm.28393). Inputs, form and loss are ours. The phase is left alone.

    Parameters
    ----------
    width : channels of the hidden layers.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.head = nn.Conv2d(CHANNELS, width, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in DILATIONS)
        self.tail = nn.Conv2d(width, 1, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.get_parameter("bias"))

    def forward(self, mean: Tensor, duration: Tensor) -> Tensor:
        """What to add to ``|m|``, (B, x, y) real; mean m (B, x, y) complex, duration of the readouts (B,) in s."""
        size = torch.quantile(mean.abs().flatten(1), 0.99, dim=1).clamp(min=1e-12)[:, None, None]
        x = F.silu(self.head(_inputs(mean / size, duration)))
        for conv in self.body:
            x = x + F.silu(conv(x))
        return self.tail(x)[:, 0] * size


def _inputs(m: Tensor, duration: Tensor) -> Tensor:
    """(B, 8, x, y): size; the image against its mean phase; how the phase grows along x and y; the duration."""
    total = (m * m.abs()).sum((1, 2), keepdim=True)
    turned = m * (total.conj() / total.abs().clamp(min=1e-12))
    grown = []
    for axis in (1, 2):
        step = m.roll(-1, axis) * m.conj()
        step = step / step.abs().clamp(min=1e-3)
        grown += [step.real, step.imag]
    time = (duration / TYPICAL)[:, None, None].expand(m.shape).to(m.real.dtype)
    return torch.stack([m.abs(), turned.real, turned.imag, *grown, time], 1)
