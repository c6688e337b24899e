"""Random acquisitions: what a scan of a training patch might have been. Drawing is apart from applying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from medsr.acquisition.cells import THROUGH, UNREFINED, Layout
from medsr.acquisition.condition import condition_vector
from medsr.consistency.projection import Projection
from medsr.consistency.wiener import noise_model, wiener
from medsr.operators.interpolation import interpolation_matrix
from medsr.operators.modeproduct import mode_product
from medsr.operators.pointspread import Kind, PointSpread
from medsr.operators.resolution import Resolution

KINDS: tuple[Kind, ...] = ("gaussian", "kspace", "boxcar", "rf")
KIND_ODDS = (0.45, 0.35, 0.1, 0.1)
USUAL = {"through-plane": 4, "isotropic": 2}
"""The factor that is drawn more often than the others."""


@dataclass(frozen=True)
class Odds:
    """How often what is drawn.

    usual : the usual factor. clean : no noise. most_noise : its greatest standard deviation, over the scan's
    99.5th percentile. wrong : a width that is not the true one. shifted : cells that are not centred on
    the samples. hardness : scales the odds of noise, wrong widths and shifts.
    """

    usual: float = 0.4
    clean: float = 0.45
    most_noise: float = 0.04
    wrong: float = 0.15
    shifted: float = 0.2
    hardness: float = 1.0


@dataclass(frozen=True)
class Draw:
    """One random acquisition of a patch of `shape` voxels of `spacing` (mm).

    factor : voxels a sample, 1 along axes that keep theirs.
    assumed : the point spreads that the reconstruction is told; wrong in some draws, as in life.
    offset : of the samples from the middles of their cells, mm.
    noise, told_noise : over the scan's 99.5th percentile; Rician.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    factor: tuple[int, ...]
    true: tuple[PointSpread | None, ...]
    assumed: tuple[PointSpread | None, ...]
    offset: tuple[float, ...]
    noise: float
    told_noise: float

    @property
    def samples(self) -> tuple[int, ...]:
        """Of the scan, an axis."""
        return tuple(n // f for n, f in zip(self.shape, self.factor, strict=True))

    @property
    def between(self) -> tuple[float, ...]:
        """Distance between the scan's samples, mm."""
        return tuple(h * f for h, f in zip(self.spacing, self.factor, strict=True))

    @property
    def cell(self) -> tuple[int, ...]:
        """Voxels a cell."""
        return tuple(f if f > 1 else UNREFINED for f in self.factor)

    def _operator(self, psf: Sequence[PointSpread | None]) -> Resolution:
        return Resolution(self.shape, self.spacing, self.samples, self.between, psf, self.offset)

    @cached_property
    def projection(self) -> Projection:
        """Onto what explains the scan, as the reconstruction is told of it."""
        return Projection(self._operator(self.assumed))

    def measure(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """The scans of the patches `x` (batch, x, y, z)."""
        y: Tensor = self._operator(self.true)(x)
        if self.noise:
            real, imaginary = (torch.from_numpy(rng.standard_normal(y.shape, np.float32)) for _ in range(2))
            y = torch.hypot(y + self.noise * real, self.noise * imaginary)
        return y

    def inputs(self, y: Tensor) -> dict[str, Tensor]:
        """What the network sees of the scans `y` (batch, x, y, z): images and condition."""
        up = [
            None if p is None else torch.as_tensor(interpolation_matrix(3, n, h, m, d, o), dtype=y.dtype)
            for p, n, h, m, d, o in zip(
                self.assumed, self.shape, self.spacing, self.samples, self.between, self.offset, strict=True
            )
        ]
        clean = torch.stack([wiener(s, noise_model(s, self.told_noise)) for s in y]) if self.told_noise else y
        spline = self.projection.project(mode_product(clean, up), clean)
        return {
            "images": torch.stack([spline, mode_product(y, up)], dim=1),
            "condition": condition_vector(self.between, self.spacing, self.assumed, self.told_noise, self.offset),
        }


def draw(
    rng: np.random.Generator,
    layout: Layout,
    spacing: Sequence[float],
    resolved: Sequence[int],
    most: Sequence[int],
    cells: int,
    odds: Odds,
) -> Draw:
    """A random acquisition for the weights of `layout`, of a patch of about `cells` cells along each axis.

    resolved : axes along which the data are truly resolved, the only ones to refine; for one refined axis it
        is the last.
    most : voxels that there are, an axis.
    """
    if layout is THROUGH:
        refined, factors = [2], range(2, layout.factors[2] + 1)
    else:
        refined, factors = list(resolved), range(2, layout.factors[0] + 1)
        if len(refined) == 3 and rng.random() < 0.1:
            refined.remove(int(rng.integers(3)))
    usual = USUAL[layout.name]
    shared = usual if rng.random() < odds.usual else int(rng.choice(factors))
    factor = [1, 1, 1]
    for axis in refined:
        factor[axis] = shared if rng.random() < 0.9 else int(rng.choice(factors))
    kind: Kind = rng.choice(KINDS, p=KIND_ODDS)
    wide = float(rng.choice([1.0, rng.uniform(0.6, 1.3)], p=[0.6, 0.4]))
    error = float(rng.uniform(0.8, 1.25)) if rng.random() < odds.hardness * odds.wrong else 1.0
    away = rng.random() < odds.hardness * odds.shifted
    offset = [0.0, 0.0, 0.0]
    true: list[PointSpread | None] = [None] * 3
    assumed: list[PointSpread | None] = [None] * 3
    for axis in refined:
        offset[axis] = float(rng.uniform(-0.5, 0.5)) * spacing[axis] * away
        own = kind if rng.random() < 0.9 else rng.choice(KINDS, p=KIND_ODDS)
        between = factor[axis] * spacing[axis]
        exact = own == "kspace"
        true[axis] = PointSpread(own, between * (1.0 if exact else wide))
        assumed[axis] = PointSpread(own, between * (1.0 if exact else wide * error))
    shape = []
    for f, n in zip(factor, most, strict=True):
        size = f if f > 1 else UNREFINED
        shape.append(size * max(1, min(cells, n // size)))
    clean = rng.random() >= odds.hardness * (1 - odds.clean)
    noise = 0.0 if clean else float(rng.uniform(0.0, odds.most_noise))
    told = noise * float(rng.uniform(0.8, 1.25))
    return Draw(
        tuple(shape), tuple(spacing), tuple(factor), tuple(true), tuple(assumed), tuple(offset), noise, told
    )
