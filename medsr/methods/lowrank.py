"""Locally low rank: what changes over time in a neighbourhood is a few courses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from medsr.acquisition.spiral import SpiralAcquisition
from medsr.consistency.krylov import Stop, pcg
from medsr.consistency.precondition import CirculantPreconditioner
from medsr.consistency.series import SeriesGram
from medsr.methods.base import Estimate, Progress
from medsr.methods.stretches import mean_of, part_of, stretches


@dataclass(frozen=True)
class LowRankSettings:
    """threshold : singular values of a block's deviations that are taken away, over the noise's in that block.
    coupling : ρ of the splitting, over the samples' density.
    block : voxels along each side of a neighbourhood.
    rounds, steps : of splitting, and of conjugate gradients in each.
    static : regularisation of the mean image, as a share of the samples' density.
    """

    threshold: float = 0.1
    coupling: float = 0.1
    block: int = 8
    rounds: int = 8
    steps: int = 3
    static: float = 1e-3


TUNED = LowRankSettings()


def lowrank(acquisition: SpiralAcquisition, progress: Progress, settings: LowRankSettings = TUNED) -> Estimate:
    """``x = m + d``, m the image of all frames and ``min_d ½ Σ_t ‖A_t (m + d_t) - y_t‖² + λ Σ_b ‖P_b d‖_*``.

    ``P_b d`` is the matrix (voxels, frames) of block b, its nuclear norm the sum of its singular values. Solved by
    splitting (ADMM): conjugate gradients over all frames for the data, soft singular values for the blocks, which
    are shifted from round to round so that no border shows. λ is `threshold` times the largest singular value
    that white noise of the density-weighted data has in a block. Long runs are solved in overlapping stretches of
    at most 512 frames.

    Trzasko and Manduca, Proc ISMRM 19:4371 (2011); Zhang, Pauly and Levesque, Magn Reson Med 73:655 (2015),
    doi:10.1002/mrm.25161. The mean apart, as in Otazo, Candès and Sodickson, Magn Reson Med 73:1125 (2015),
    doi:10.1002/mrm.25240; the scale of λ is ours.
    """
    a, s = acquisition, settings
    progress(0.0, "mean image")
    mean = mean_of(a, s.static)
    out = torch.zeros(a.frames, *a.shape, dtype=a.maps.dtype)
    for some, fade in stretches(a.frames):

        def round_done(share: float, first: int = some.start, length: int = len(fade)) -> None:
            progress(min(1.0, 0.1 + 0.9 * (first + length * share) / a.frames), "low rank")

        x = _deviations(part_of(a, some), mean, s, round_done).add_(mean)
        out[some] += a.within_reach(x) * fade.reshape(-1, *(1 for _ in a.shape))
    return Estimate(out)


def _deviations(a: SpiralAcquisition, mean: Tensor, s: LowRankSettings, done: Callable[[float], None]) -> Tensor:
    density = a.samples / math.prod(a.shape)
    system = SeriesGram(a.trajectories, a.maps, segments=a.segments, workers=a.workers)
    b = system.backproject(a.kspace)
    b -= system.gram(mean.expand(a.frames, *a.shape))
    rho = s.coupling * density
    # noise of Aᴴn in a voxel over ρ: what the blocks are handed where the data say nothing else
    spread = (a.noise or 1e-3 * float(a.kspace.abs().square().mean().sqrt())) * math.sqrt(density) / rho
    voxels = s.block ** len(a.shape)
    cut = s.threshold * spread * (math.sqrt(voxels) + math.sqrt(a.frames)) * math.sqrt(0.5)
    circulant = CirculantPreconditioner(a.maps)
    average = circulant.spectrum(a.trajectories.flatten(0, 1), 0.0) ** -2 / a.frames
    inverse = (average + rho).rsqrt()

    def precondition(r: Tensor) -> Tensor:
        return circulant.apply(r, inverse.square())

    d = torch.zeros_like(b)
    z, dual = torch.zeros_like(b), torch.zeros_like(b)
    for number in range(s.rounds):
        d, _, _ = pcg(
            system.gram, b + rho * (z - dual), rho, Stop(s.steps, 1e-4), precondition=precondition, start=d
        )
        shift = [(number * 3 + 5 * axis) % s.block for axis in range(len(a.shape))]
        z = soft_blocks(d + dual, cut, s.block, shift)
        dual += d - z
        done((number + 1) / s.rounds)
    return z


def soft_blocks(x: Tensor, cut: float, block: int, shift: list[int]) -> Tensor:
    """Singular values of each block's matrix (voxels, frames) lessened by `cut`, none below zero.

    x : (frames, *shape) complex; the blocks' corner is moved by `shift` voxels, and they wrap around.
    """
    frames, shape = x.shape[0], x.shape[1:]
    dims = tuple(range(1, x.ndim))
    moved = torch.roll(x, [-v for v in shift], dims)
    pads = [(-n) % block for n in shape]
    padded = x.new_zeros(frames, *(n + p for n, p in zip(shape, pads, strict=True)))
    padded[(slice(None), *(slice(0, n) for n in shape))] = moved
    split = [frames]
    for n in padded.shape[1:]:
        split += [n // block, block]
    counts, sides = list(range(1, 2 * len(shape), 2)), list(range(2, 2 * len(shape) + 1, 2))
    blocks = padded.reshape(split).permute(*counts, *sides, 0)
    matrices = blocks.reshape(-1, block ** len(shape), frames)
    out = torch.empty_like(matrices)
    for i, matrix in enumerate(matrices):  # through the small Gram matrix: voxels are fewer than frames
        values, vectors = torch.linalg.eigh((matrix @ matrix.mH).to(torch.complex128))
        root = values.clamp(min=0).sqrt()
        gain = torch.where(root > cut, 1 - cut / root.clamp(min=1e-30), torch.zeros_like(root))
        out[i] = ((vectors * gain) @ vectors.mH).to(x.dtype) @ matrix
    back = out.reshape(blocks.shape)
    order = [2 * len(shape)]
    for axis in range(len(shape)):
        order += [axis, len(shape) + axis]
    restored = back.permute(*order).reshape(padded.shape)[(slice(None), *(slice(0, n) for n in shape))]
    return torch.roll(restored, shift, dims)
