"""The deep residual network that reconstructs spiral fMRI from shared time frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medsr.networks.layers import ResidualTrunk, conv3
from medsr.operators.base import ShapeError


class SpiralResNet(nn.Module):
    """From gridded images of a frame, its own and those it shares with its neighbours, to the frame.

    Input (B, 2 spans, x, y): real and imaginary part of the gridded image of the frame's own samples first, then
    of ever wider spans of frames around it; output (B, 2, x, y): the widest span's image plus what the network
    adds. The phase of the mean image is taken out and its 99th percentile is 1.

    X. Li, Cao, Tong, Ma, Niu and Guo, Neurocomputing 398:338 (2020): a deep residual network, time-frame sharing,
    a loss of image error and k-space consistency. Nothing else of it is public; widths, depth and spans are ours.

    Parameters
    ----------
    spans : how many images a frame is given.
    width, blocks : channels and residual blocks of the trunk.
    """

    def __init__(self, spans: int = 3, width: int = 32, blocks: int = 6) -> None:
        super().__init__()
        self.spans = spans
        self.head = conv3(2 * spans, width)
        self.trunk = ResidualTrunk(width, blocks)
        self.tail = conv3(width, 2)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 2 * self.spans:
            raise ShapeError(
                "SpiralResNet: the input has the wrong shape",
                got=tuple(x.shape),
                rule=f"(batch, {2 * self.spans}, x, y)",
            )
        return x[:, -2:] + self.tail(self.trunk(torch.relu(self.head(x))))
