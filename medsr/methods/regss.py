"""Regularly spaced shifting, as released: one network on shifted copies of the scan, and their mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsr.acquisition.slices import SAME, SliceAcquisition
from medsr.errors import UsageError
from medsr.methods.base import Estimate, Progress
from medsr.models.card import card
from medsr.models.tensors import read_tensors, shipped_weights
from medsr.networks.srcnn3d import SRCNN3D, run_tiled
from medsr.operators.interpolation import interpolation_matrix
from medsr.operators.modeproduct import mode_product

SHIFTS = tuple(range(0, 139, 3))
"""The paper's 47, in voxels of the scan."""


def regss(
    y: Tensor,
    acquisition: SliceAcquisition,
    progress: Progress,
    *,
    aligned: bool = True,
    shifts: Sequence[int] = SHIFTS,
) -> Estimate:
    """``x = 1/K Σ_k T_{-zk} f(B T_k y)``, z the ratio: the mean over circular shifts of the scan.

    ``T_k`` shifts by k voxels along every refined axis at once, `B` interpolates by a cubic spline, `f` is
    SRCNN3D on the image over its maximum. K. Thurnhofer-Hemsi et al., Neurocomputing 398:314-327 (2020), doi
    10.1016/j.neucom.2019.05.107. Ours: the weights; axes that keep their spacing are not shifted; nothing is
    divided by the maximum of a result; and `aligned`. There is no data projection in the paper and none here: the
    result promises nothing about the scan.

    Parameters
    ----------
    aligned : whether the interpolation knows that a sample lies in the middle of its voxel. The released code
        (`scipy.ndimage.zoom`) puts the middles of the outer voxels of both grids onto each other instead, which
        moves the image by up to (z - 1) / 2 fine voxels towards the ends; the shifts then average that away,
        which is most of what they bring. With the alignment right they change nothing but the border.
    shifts : ``(0,)`` is one pass.

    Raises
    ------
    UsageError
        where a ratio is not whole. WeightsError : where the weights are missing, or not those on the card.
    """
    factors = whole_ratios(acquisition)
    network, made_with = load_network()
    total: Tensor | None = None
    for weight, image in passes(network.to(y.device), y, factors, progress, aligned=aligned, shifts=shifts):
        total = image.mul_(weight) if total is None else total.add_(image, alpha=weight)
    assert total is not None
    progress(1.0, "network")
    return Estimate(total, made_with=made_with)


def passes(
    network: SRCNN3D,
    y: Tensor,
    factors: Sequence[int],
    progress: Progress,
    *,
    aligned: bool = True,
    shifts: Sequence[int] = SHIFTS,
    box: Sequence[range] | None = None,
) -> Iterator[tuple[float, Tensor]]:
    """What the network makes of each shifted scan, shifted back, and its share of the mean.

    A circular shift by as many voxels as an axis has is none: shifts that are the same along all axes are
    computed once and weigh as many times. Outside a `box` of fine voxels, where one is given, there is zero.
    """
    refined = [a for a, z in enumerate(factors) if z > 1]
    distinct = Counter(tuple(k % y.shape[a] for a in refined) for k in shifts)
    peak = float(y.max())
    peak = peak if peak > 0 else 1.0
    up = [
        None if z == 1 else torch.as_tensor(_interpolation(m, z, aligned), dtype=y.dtype, device=y.device)
        for m, z in zip(y.shape, factors, strict=True)
    ]
    for i, (shift, times) in enumerate(distinct.items()):

        def part(fraction: float, i: int = i) -> None:
            progress((i + fraction) / len(distinct), "network")

        image = mode_product((y / peak).roll(shift, refined), up)
        there = [s * factors[a] for s, a in zip(shift, refined, strict=True)]
        wanted = None if box is None else _moved(box, image.shape, dict(zip(refined, there, strict=True)))
        made = run_tiled(network, image, progress=part, wanted=wanted)
        yield times / len(shifts), made.roll([-s for s in there], refined) * peak


def _moved(box: Sequence[range], shape: Sequence[int], shift: Mapping[int, int]) -> tuple[list[range], ...]:
    """Where the ranges of a box lie after a circular shift of some axes: in two parts where they wrap around."""
    found = []
    for axis, (part, n) in enumerate(zip(box, shape, strict=True)):
        start = (part.start + shift.get(axis, 0)) % n
        stop = start + len(part)
        found.append([range(start, min(stop, n)), *([range(stop - n)] if stop > n else [])])
    return tuple(found)


def whole_ratios(acquisition: SliceAcquisition) -> tuple[int, int, int]:
    """Fine voxels a sample, along each axis; 1 where it keeps its samples."""
    ratios = acquisition.ratios
    whole = [max(1, round(r)) for r in ratios]
    lengths = [z * m for z, m in zip(whole, acquisition.measured.shape, strict=True)]
    if lengths != list(acquisition.fine.shape) or any(
        abs(r / z - 1) > SAME for r, z in zip(ratios, whole, strict=True)
    ):
        finer = [
            s / (max(2, z) if r > 1 + SAME else 1)
            for s, z, r in zip(acquisition.measured.spacing, whole, ratios, strict=True)
        ]
        raise UsageError(
            "regss refines by whole numbers only",
            got="ratios " + " x ".join(f"{r:.4g}" for r in ratios),
            hint=f"choose --spacing {','.join(f'{s:.6g}' for s in finer)}, or another --method",
        )
    return whole[0], whole[1], whole[2]


def _interpolation(m: int, z: int, aligned: bool) -> NDArray[np.float64]:
    """(z m, m) matrix of a cubic B-spline."""
    if aligned:
        return interpolation_matrix(3, z * m, 1.0, m, float(z))
    # end points onto end points: `scipy.ndimage.zoom` by z
    return interpolation_matrix(3, z * m, (m - 1) / (z * m - 1), m, 1.0)


@lru_cache(maxsize=1)
def load_network() -> tuple[SRCNN3D, dict[str, str]]:
    """The network, ready to be used, and what its file is.

    Raises
    ------
    WeightsError
        where the weights are missing, or not those on the card.
    """
    weights = card("regss").weights["x2"]
    tensors, _ = read_tensors(shipped_weights(weights.file), weights.sha256)
    network = SRCNN3D()
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False), {"weights": weights.file, "weights_sha256": weights.sha256}
