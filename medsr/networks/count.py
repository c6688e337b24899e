"""What a network costs: parameters and multiply-accumulates."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from medsr.networks.base import SliceNetwork


def parameters(network: nn.Module) -> int:
    """Number of trained parameters; what is shared counts once."""
    return sum(p.numel() for p in network.parameters())


def macs(network: SliceNetwork, rows: int, columns: int) -> int:
    """Multiply-accumulates for one image of `rows` x `columns` input pixels.

    Convolutions and matrix products are counted, the fixed filters of an interpolation skip as well; activations
    and sums are not. Nothing is computed: the shapes are followed on the meta device.
    """
    shadow = copy.deepcopy(network).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(torch.empty(1, network.slices, rows, columns, device="meta"))
    return counter.get_total_flops() // 2


def macs_per_output_pixel(network: SliceNetwork, size: int = 64) -> float:
    """Multiply-accumulates for one pixel of the output, on a square image of `size` input pixels."""
    return macs(network, size, size) / (size * size * math.prod(network.scale))
