"""SRCNN3D: three convolutions that sharpen an interpolated volume.

C.-H. Pham, A. Ducournau, R. Fablet, F. Rousseau, "Brain MRI super-resolution using deep 3D convolutional
networks", IEEE ISBI 2017, 197-200; as released with the shifting paper (K. Thurnhofer-Hemsi, E. López-Rubio,
E. Domínguez, R. M. Luque-Baena, N. Roé-Vellvé, "Deep learning-based super-resolution of 3D magnetic resonance
images by regularly spaced shifting", Neurocomputing 398:314-327 (2020), doi 10.1016/j.neucom.2019.05.107).

The papers': the layers (9³ 1->64, ReLU, 1³ 64->32, ReLU, 5³ 32->1; 52,801 parameters), the input (the volume over
its maximum, interpolated onto the fine grid by a cubic spline), and that the output is the image, not a correction
to the input. Ours: no padding inside, so that the image is continued by its outermost voxels, once, before the
network; the initial weights; the order of the sums (see `forward`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

from medsr.networks.slices import windows

HALO = 6
"""Voxels that an output voxel sees on each side of its own: 4 by the first convolution, 2 by the last."""
TILE = 48
"""Voxels along the sides of a tile: its features take about 100 MB."""
MOST = 4
"""Tiles side by side, whatever the threads: they bound the memory."""


class SRCNN3D(nn.Module):
    """(B, 1, x, y, z), interpolated, over the maximum, to (B, 1, x - 12, y - 12, z - 12)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(1, 64, 9)
        self.second = nn.Conv3d(64, 32, 1)
        self.third = nn.Conv3d(32, 1, 5)

    def start_at_input(self) -> None:
        """Weights from which training starts: what is not negative goes through one channel as it is.

        The paper starts at random, and spends most of its training on learning the image itself.
        """
        with torch.no_grad():
            for layer, damping in ((self.first, 1.0), (self.second, 1.0), (self.third, 0.1)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                layer.weight *= damping
                layer.weight[0] = 0
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            self.second.weight[:, 0] = 0
            self.third.weight[:, 0] = 0
            self.first.weight[0, 0, 4, 4, 4] = 1
            self.second.weight[0, 0] = 1
            self.third.weight[0, 0, 2, 2, 2] = 1

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self._first(x) if torch.is_grad_enabled() else self.first(x), inplace=True)
        x = functional.relu(self.second(x), inplace=True)
        # the taps along the first axis as channels, added up after: of a single output channel the CPU makes
        # sixteen, and the last convolution would take as long as the first
        taps = functional.conv3d(x, self.third.weight[0].transpose(0, 1)[:, :, None])
        n = taps.shape[2] - 4
        total = taps[:, 0:1, 0:n]
        for i in range(1, 5):
            total = total + taps[:, i : i + 1, i : i + n]
        return total + self.third.bias.view(1, 1, 1, 1, 1)  # type: ignore[union-attr] # it has one

    def _first(self, x: Tensor) -> Tensor:
        """The first convolution, the taps along two axes as channels: its gradient takes a seventh of the time."""
        b = x.shape[0]
        taps = x[:, 0].unfold(1, 9, 1).unfold(2, 9, 1).permute(0, 1, 4, 5, 2, 3)
        _, n, _, _, m, length = taps.shape
        planes = taps.reshape(b * n, 81, m, length)
        made = functional.conv2d(planes, self.first.weight[:, 0].reshape(64, 81, 1, 9), self.first.bias)
        return made.unflatten(0, (b, n)).transpose(1, 2)


@torch.inference_mode()
def run_tiled(
    network: SRCNN3D,
    image: Tensor,
    tile: int = TILE,
    progress: Callable[[float], None] | None = None,
    wanted: tuple[Sequence[range], ...] | None = None,
) -> Tensor:
    """What the network makes of (x, y, z): the same shape. `tile` changes nothing but the memory.

    Where only some voxels are wanted, ranges along each axis, the others are left at zero.

    On the CPU every tile runs on one thread, several side by side: how torch shares a convolution among threads
    can change its last bit.
    """
    padded = functional.pad(image[None, None], [HALO] * 6, mode="replicate")
    out = torch.empty_like(image) if wanted is None else torch.zeros_like(image)
    parts = wanted or tuple([range(n)] for n in image.shape)
    tiles = list(
        product(
            *(
                [(r.start + w.first, r.start + w.last) for r in ranges for w in windows(len(r), tile, 0)]
                for ranges in parts
            )
        )
    )

    def work(place: tuple[tuple[int, int], ...]) -> None:
        read = padded[(slice(None), slice(None), *(slice(first, last + 2 * HALO) for first, last in place))]
        with torch.inference_mode():
            out[tuple(slice(first, last) for first, last in place)] = network(read)[0, 0]

    side_by_side = min(MOST, torch.get_num_threads()) if image.device.type == "cpu" else 1
    with ThreadPoolExecutor(side_by_side, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for done, _ in enumerate(pool.map(work, tiles), 1):
                if progress is not None:
                    progress(done / len(tiles))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return out
