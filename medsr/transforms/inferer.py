"""The 2D networks on volumes as a MONAI inferer: for MONAI's evaluators, engines and bundles."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from medsr.errors import InputError, UsageError
from medsr.networks.base import SliceNetwork
from medsr.networks.slices import BATCH, superresolve_slices, superresolve_through_plane


class SliceSuperResolutionInferer(Inferer):
    """Volumes (B, 1, x, y, z) through a `SliceNetwork`, in batches and tiles that change nothing.

    MONAI's `SliceInferer` and `SlidingWindowInferer` blend overlapping windows; here tiles have the network's halo
    around them and are cropped, so that the result is that of the whole slice, to the bit on a CPU. Nothing is
    scaled, and nothing is projected: see `SuperResolveSlices` for the whole of the method.

    Parameters
    ----------
    axis : across thick slices, for a network of scale (n, 1): both orthogonal reformats, and their mean.
    plane : or the two axes of the plane, for any other network.
    batch, tile, workers : as for `medsr.networks.slices.superresolve_slices`.

    Raises
    ------
    UsageError
        unless one of `axis` and `plane` is given.
    """

    def __init__(
        self,
        axis: int | None = None,
        plane: tuple[int, int] | None = None,
        batch: int = BATCH,
        tile: int | None = None,
        workers: int | None = None,
    ) -> None:
        super().__init__()
        if (axis is None) == (plane is None):
            raise UsageError("give the axis across the slices or the plane", got=f"axis {axis}, plane {plane}")
        self.axis, self.plane = axis, plane
        self.how: dict[str, Any] = {"batch": batch, "tile": tile, "workers": workers}

    def __call__(self, inputs: Tensor, network: SliceNetwork, *args: Any, **kwargs: Any) -> Tensor:
        """(B, 1, x, y, z) to (B, 1, ...) on the finer grid.

        Raises
        ------
        InputError
            where the input has another shape. UsageError : where the network does not fit the axis.
        """
        if inputs.ndim != 5 or inputs.shape[1] != 1:
            raise InputError("not a batch of volumes", got=tuple(inputs.shape), rule="(B, 1, x, y, z)")
        made = []
        for volume in inputs[:, 0].float().cpu().numpy():
            if self.plane is not None:
                made.append(superresolve_slices(network, volume, self.plane, **self.how))
            elif self.axis is not None:
                made.append(superresolve_through_plane(network, volume, self.axis, **self.how))
        return torch.stack([torch.from_numpy(x) for x in made])[:, None].to(inputs.device)
