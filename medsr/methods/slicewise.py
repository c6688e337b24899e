"""Volumes through a 2D network, slice by slice, and then onto the data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsr.acquisition.slices import SAME, SliceAcquisition
from medsr.consistency.projection import Projection
from medsr.consistency.wiener import noise_model, wiener
from medsr.methods.base import Estimate, Progress
from medsr.models.slices import Weights, load_network, model
from medsr.networks.base import SliceNetwork
from medsr.networks.slices import superresolve_slices, superresolve_through_plane
from medsr.operators.interpolation import interpolation_matrix
from medsr.operators.modeproduct import mode_product
from medsr.operators.pointspread import PointSpread, sampling_matrix

THROUGH, IN_PLANE = (4, 1), (2, 2)
"""Scales that there are weights for: across the slices, and within them."""
BATCH, TILE = 4, 128
"""Slices at a time and pixels along a tile's sides: they bound the memory and change nothing else."""
DENSE = 4
"""Points a voxel at which a B-spline is taken where it is averaged."""
PROPOSED = 0.9
"""Of the progress: when the networks are done."""


def slicewise(y: Tensor, acquisition: SliceAcquisition, progress: Progress, model: str = "fast2d") -> Estimate:
    """``x = f(y) + A⁺ (ŷ - A f(y))``: what a 2D network proposes, projected onto the images that explain the scan.

    One refined axis (thick slices): the network for (4, 1) on the two orthogonal reformats, and the mean of both.
    Two: the network for (2, 2) on the plane that they span. Three: the same on all three planes, the axis across
    each by a cubic B-spline, and the mean.

    Any ratio: the networks give four (or two) samples for one of the scan. Where that is finer than what is
    wanted, it is averaged over the wanted voxels; where it is coarser, a cubic B-spline makes up the rest.

    ``ŷ`` is the scan less its noise (`wiener`). The networks are trained through the projection, so that only
    what the scan leaves open is theirs. The combination is ours, and the same for all networks.

    Parameters
    ----------
    model : a name from `medsr.models.slices`.

    Raises
    ------
    UsageError
        where there is no such model. WeightsError : where its weights are missing, or not those on its card.
    """
    progress(0.0, "weights")
    refined = [a for a, p in enumerate(acquisition.psf) if p is not None]
    weights = weights_for(model, len(refined))
    network = load_network(weights).to(y.device)
    x = propose(network, y, refined, acquisition, lambda f, stage: progress(PROPOSED * f, stage))
    progress(PROPOSED, "projection")
    measured = y if acquisition.noise == 0 else wiener(y, noise_model(y, acquisition.noise))
    x = Projection(acquisition.operator).project(x, measured)
    progress(1.0, "projection")
    return Estimate(x, made_with={"model": model, "weights": weights.file, "weights_sha256": weights.sha256})


def weights_for(name: str, refined: int) -> Weights:
    """The weights of a model for so many refined axes."""
    card, stage = model(name)
    return card.choose(THROUGH if refined == 1 else IN_PLANE, stage)


def propose(
    network: SliceNetwork,
    y: Tensor,
    refined: Sequence[int],
    acquisition: SliceAcquisition,
    progress: Progress,
) -> Tensor:
    """The network's image of the scan `y` on the acquisition's fine grid, not yet projected.

    The network sees the scan over its 99.5th percentile.
    """
    peak = float(np.percentile(y.numpy(force=True), 99.5)) or 1.0
    proposal = _propose(network, (y / peak).numpy(force=True), refined, acquisition, progress)
    return torch.from_numpy(proposal).to(y) * peak


def _propose(
    network: SliceNetwork,
    scan: NDArray[np.float32],
    refined: Sequence[int],
    acquisition: SliceAcquisition,
    progress: Progress,
) -> NDArray[np.float32]:
    if len(refined) == 1:
        grown = superresolve_through_plane(network, scan, refined[0], batch=BATCH, tile=TILE, progress=progress)
        return onto_fine(grown, {refined[0]: network.scale[0]}, acquisition)
    planes = [(a, b) for i, a in enumerate(refined) for b in refined[i + 1 :]]
    total = np.zeros(acquisition.fine.shape, np.float32)
    for turn, plane in enumerate(planes):

        def part(fraction: float, stage: str, turn: int = turn) -> None:
            progress((turn + fraction) / len(planes), stage)

        grown = superresolve_slices(network, scan, plane, batch=BATCH, tile=TILE, progress=part)
        total += onto_fine(grown, dict(zip(plane, network.scale, strict=True)), acquisition)
    return total / np.float32(len(planes))


def onto_fine(
    grown: NDArray[np.float32], factors: dict[int, int], acquisition: SliceAcquisition
) -> NDArray[np.float32]:
    """`grown`, with `factors` times the scan's samples along some axes, on the acquisition's fine grid."""
    fine, measured = acquisition.fine, acquisition.measured
    matrices: list[Tensor | None] = []
    for axis, spread in enumerate(acquisition.psf):
        if spread is None:
            matrices.append(None)
            continue
        samples, between = grown.shape[axis], measured.spacing[axis] / factors.get(axis, 1)
        length, wanted = fine.shape[axis], fine.spacing[axis]
        matrices.append(_to_spacing(samples, between, length, wanted, spread))
    return mode_product(torch.from_numpy(grown), matrices).numpy()


def _to_spacing(samples: int, between: float, length: int, wanted: float, spread: PointSpread) -> Tensor | None:
    """(length, samples) matrix between two grids that share their centre; None where they are the same.

    Coarser voxels see what lies between the finer ones: truncated Fourier space along an encoded axis; else a
    cubic B-spline under the Gaussian by which a voxel of `wanted` mm is wider than one of `between`.
    """
    if samples == length and abs(between / wanted - 1) <= SAME:
        return None
    if wanted <= between * (1 + SAME):
        matrix = interpolation_matrix(3, length, wanted, samples, between)
    elif spread.kind == "kspace":
        matrix = sampling_matrix(PointSpread("kspace", wanted), samples, between, length, wanted)
    else:
        dense, step = length * DENSE, wanted / DENSE
        blur = PointSpread("gaussian", (wanted**2 - between**2 + step**2) ** 0.5)
        matrix = sampling_matrix(blur, dense, step, length, wanted) @ interpolation_matrix(
            3, dense, step, samples, between
        )
    return torch.as_tensor(matrix, dtype=torch.float32)
