"""The default: what a 3D network proposes, from several sides, held to what the scan says."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from medsr.acquisition.cells import ISOTROPIC, LAYOUTS, Cells, Layout, plan_cells
from medsr.acquisition.condition import condition_vector
from medsr.acquisition.slices import SAME, SliceAcquisition
from medsr.consistency.projection import Projection
from medsr.consistency.wiener import gain, noise_model, weighted, wiener
from medsr.methods.base import Estimate, Progress
from medsr.methods.spline import spline
from medsr.models.card import card
from medsr.models.tensors import read_tensors, shipped_weights
from medsr.networks.residual3d import ResidualNet3D, local_mean
from medsr.networks.tiles3d import run_tiled
from medsr.operators.interpolation import interpolation_matrix
from medsr.operators.modeproduct import mode_product
from medsr.operators.pointspread import PointSpread, sampling_matrix
from medsr.operators.resolution import Resolution

LEAST = 1e-3
"""Of the scan's 99.5th percentile, added to the size of what is added where the uncertainty is made of it."""


@dataclass(frozen=True)
class View:
    """How one pass looks at the scan.

    order : of the three axes as the network is given them, over that of the layout. flips : which of them are
    reversed. offset : of the samples from the middles of their cells, in voxels of the working grid, for the
    refined axes.
    """

    order: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)
    offset: float = 0.0


@dataclass(frozen=True)
class Views:
    """Which views the consensus is of: `number` in all, by the kinds that are allowed."""

    number: int = 4
    flips: bool = True
    permutations: bool = True
    shifts: bool = False

    def of(self, layout: Layout) -> list[View]:
        """The views, the plain one first, and those after it as unlike each other as can be."""
        orders = [(0, 1, 2)]
        if self.permutations:
            orders = [(0, 1, 2), (1, 2, 0), (2, 0, 1)] if layout is ISOTROPIC else [(0, 1, 2), (1, 0, 2)]
        flips: list[tuple[bool, ...]] = [(False, False, False)]
        if self.flips:
            flips = [(False, False, False), (True, True, True), (True, False, True), (False, True, False)]
            flips += [f for f in itertools.product((False, True), repeat=3) if f not in flips]
        offsets = (0.0, 0.25, -0.25) if self.shifts else (0.0,)
        total = len(orders) * len(flips) * len(offsets)
        found: list[View] = []
        for i in range(total):
            x, y, z = flips[i % len(flips)]
            view = View(orders[i % len(orders)], (x, y, z), offsets[i % len(offsets)])
            if view not in found:
                found.append(view)
        return found[: self.number]


@dataclass(frozen=True, eq=False)
class Working:
    """A scan on its working grid: what the network is given.

    images : (2, x, y, z), the spline estimate and the plain interpolation, over `peak`.
    """

    cells: Cells
    spacing: tuple[float, float, float]
    peak: float
    images: Tensor
    offset: tuple[float, float, float]


@dataclass(frozen=True)
class Parts:
    """Parts that an ablation leaves out; all of them by default."""

    views: Views = field(default_factory=Views)
    projection: bool = True
    confined: bool = True
    cap: bool = True


def consensus(y: Tensor, acquisition: SliceAcquisition, progress: Progress, *, fast: bool = False) -> Estimate:
    """The mean of what a network proposes over several views, explained by the scan.

        x = s + c - A⁺ G² A c,   c = Σ_v c_v / V,   |c_v| ≤ cap,

    `s` the `spline` estimate, ``c_v`` the network's correction to it in view `v` (axes permuted and reversed,
    cells shifted against the samples), interpolated from the working grid. Without noise ``G = 1``: only the null
    space of the acquisition, what the scan leaves open, is the network's, and `x` explains the scan exactly. With
    noise `G` is the gain of the scan's modes (`medsr.consistency.wiener.gain`): the scan decides where it rises
    above its noise, the network where it does not, so that it takes noise away and leaves small lesions their
    contrast. The result explains the scan to within ``σ √N``; where it would not, it is projected. The uncertainty
    is the half width of the interval that the card names,

        u = f(ratio) √( √(w² + s_v²) · rms(x - s) ),

    `w` the half width that the network gives beside its correction, ``s_v`` the spread over the views, ``x - s``
    what the estimate adds to `spline`, in the root mean square over 5³ voxels, because where much is added much is
    wrong, and `f` as calibrated on held-out heads. All of it is ours.

    Parameters
    ----------
    fast : one view.

    Raises
    ------
    WeightsError
        where the weights are missing, or not those on the card.
    """
    return propose(y, acquisition, progress, Parts(Views(1) if fast else Views()))


def propose(y: Tensor, acquisition: SliceAcquisition, progress: Progress, parts: Parts) -> Estimate:
    """`consensus` with parts left out."""
    base = spline(y, acquisition, lambda f, stage: progress(0.05 * f, stage)).data
    about = card("consensus")
    cells = plan_cells(acquisition.measured.spacing, acquisition.fine.spacing, acquisition.psf)
    network, made_with = load_network(cells.layout.name)
    network = network.to(y.device)
    views = parts.views.of(cells.layout)
    mean, square, width = (torch.zeros_like(base) for _ in range(3))
    working = work_on(y, acquisition, cells, views[0].offset)
    for i, view in enumerate(views):

        def part(fraction: float, stage: str, i: int = i) -> None:
            progress(0.05 + 0.89 * (i + fraction) / len(views), stage)

        if i and view.offset != views[i - 1].offset:
            working = work_on(y, acquisition, cells, view.offset)
        correction, half = look(network, working, acquisition, view, part)
        if parts.cap and about.cap is not None:
            correction = correction.clamp(-about.cap, about.cap)
        onto = onto_fine(working, acquisition)
        correction = mode_product(correction, onto) * working.peak
        mean += correction
        square += correction.square()
        width += mode_product(half, onto).clamp_min(0) * working.peak
    progress(0.95, "projection")
    mean /= len(views)
    spread = (square / len(views) - mean.square()).clamp_min(0)
    width = (width.div_(len(views)).square() + spread).sqrt()
    projection = Projection(acquisition.operator)
    x = base + (confined(mean, y, acquisition, projection) if parts.confined else mean)
    if parts.projection:
        x = projection.within(x, y, acquisition.noise * y.numel() ** 0.5)
    size = local_rms(x - base) + LEAST * working.peak
    uncertainty = (width * size).sqrt() * about.weights[cells.layout.name].calibrated(max(acquisition.ratios))
    progress(1.0, "projection")
    return Estimate(x, uncertainty, made_with)


def confined(x: Tensor, y: Tensor, acquisition: SliceAcquisition, projection: Projection) -> Tensor:
    """``x - A⁺ G² A x`` (fine shape): what the scan `y` leaves open of a correction.

    Of the powers 1, 2 and 4 of the gain, 2 keeps as much of a lesion's contrast on the selection heads as `spline`
    (1 too), at 0.02 dB less than 4.
    """
    if acquisition.noise == 0:
        return projection.null_space(x)
    gains = gain(y, noise_model(y, acquisition.noise))
    return x - projection.pseudo_inverse(weighted(acquisition.operator(x), gains**2))


def local_rms(x: Tensor) -> Tensor:
    """(x, y, z): the root mean square over 5³ voxels, over those that there are at the border."""
    return local_mean(x.square()[None, None])[0, 0].sqrt()


def work_on(y: Tensor, acquisition: SliceAcquisition, cells: Cells, offset: float = 0.0) -> Working:
    """The scan on its working grid, its samples `offset` voxels from the middles of their cells."""
    grid, measured = cells.grid(acquisition.measured), acquisition.measured
    off = tuple(offset * h if f > 1 else 0.0 for f, h in zip(cells.factor, grid.spacing, strict=True))
    operator = Resolution(grid.shape, grid.spacing, measured.shape, measured.spacing, acquisition.psf, off)
    up = [
        None if p is None else torch.as_tensor(interpolation_matrix(3, n, h, m, d, o), dtype=y.dtype).to(y.device)
        for p, n, h, m, d, o in zip(
            acquisition.psf, grid.shape, grid.spacing, measured.shape, measured.spacing, off, strict=True
        )
    ]
    peak = float(np.percentile(y.numpy(force=True), 99.5)) or 1.0
    clean = y if acquisition.noise == 0 else wiener(y, noise_model(y, acquisition.noise))
    estimate = Projection(operator).project(mode_product(clean, up), clean)
    images = torch.stack([estimate, mode_product(y, up)]) / peak
    return Working(cells, grid.spacing, peak, images, (off[0], off[1], off[2]))


def look(
    network: ResidualNet3D, working: Working, acquisition: SliceAcquisition, view: View, progress: Progress
) -> tuple[Tensor, Tensor]:
    """Correction and half width of its interval (x, y, z) on the working grid, over the peak, in one view."""
    turn = tuple(working.cells.turn[place] for place in view.order)
    flips = [i for i, reversed_ in enumerate(view.flips) if reversed_]
    images = working.images.permute(0, *(a + 1 for a in turn)).flip([i + 1 for i in flips])
    # reversing an axis reverses the offset too
    sign = [-1.0 if reversed_ else 1.0 for reversed_ in view.flips]
    condition = condition_vector(
        [acquisition.measured.spacing[a] for a in turn],
        [working.spacing[a] for a in turn],
        [acquisition.psf[a] for a in turn],
        acquisition.noise / working.peak,
        [s * working.offset[a] for s, a in zip(sign, turn, strict=True)],
    ).to(images.device)
    cell = [working.cells.cell[a] for a in turn]
    both = run_tiled(network, images, condition, cell, progress=lambda f: progress(f, "network"))
    back = [turn.index(a) for a in range(3)]
    correction, half = (x.flip(flips).permute(back) for x in both)
    return correction, half


def onto_fine(working: Working, acquisition: SliceAcquisition) -> list[Tensor | None]:
    """One matrix an axis from the working grid to the fine one; None where they are the same.

    A cubic B-spline, or truncated Fourier space where the working grid is the finer one.
    """
    fine, grid = acquisition.fine, working.cells.grid(acquisition.measured)
    matrices: list[Tensor | None] = []
    for n, h, m, d, o in zip(fine.shape, fine.spacing, grid.shape, grid.spacing, working.offset, strict=True):
        if n == m and abs(h / d - 1) <= SAME and o == 0:
            matrices.append(None)
            continue
        if h > d * (1 + SAME):
            matrix = sampling_matrix(PointSpread("kspace", h), m, d, n, h, o)
        else:
            matrix = interpolation_matrix(3, n, h, m, d, -o)
        matrices.append(torch.as_tensor(matrix, dtype=working.images.dtype, device=working.images.device))
    return matrices


@lru_cache(maxsize=4)
def load_network(layout: str) -> tuple[ResidualNet3D, dict[str, str]]:
    """The network of a layout (`medsr.acquisition.cells`), ready to be used, and what its file is.

    Raises
    ------
    WeightsError
        where the weights are missing, or not those on the card.
    """
    weights = card("consensus").weights[layout]
    tensors, about = read_tensors(shipped_weights(weights.file), weights.sha256)
    network = ResidualNet3D(LAYOUTS[layout].orders, **json.loads(about["configuration"]))
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False), {"weights": weights.file, "weights_sha256": weights.sha256}
