"""Random acquisitions: what a scan of a training patch might have been. Drawing is apart from applying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medsr.acquisition.condition import condition_vector, phase_maps
from medsr.consistency.projection import Projection
from medsr.consistency.wiener import noise_model, wiener
from medsr.operators.interpolation import interpolation_matrix
from medsr.operators.modeproduct import mode_product
from medsr.operators.pointspread import Kind, PointSpread
from medsr.operators.resolution import Resolution

KINDS: tuple[Kind, ...] = ("gaussian", "kspace", "boxcar", "rf")
KIND_ODDS = (0.45, 0.35, 0.1, 0.1)


@dataclass(frozen=True)
class Draw:
    """One random acquisition of a patch on a grid of `spacing` (mm).

    assumed : the point spreads that the reconstruction is told; wrong in some draws, as in life.
    noise, told_noise : over the scan's 99.5th percentile; Rician.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    samples: tuple[int, ...]
    between: tuple[float, ...]
    true: tuple[PointSpread | None, ...]
    assumed: tuple[PointSpread | None, ...]
    offset: tuple[float, ...]
    noise: float
    told_noise: float

    def _operator(self, psf: Sequence[PointSpread | None]) -> Resolution:
        return Resolution(self.shape, self.spacing, self.samples, self.between, psf, self.offset)

    @cached_property
    def operator(self) -> Resolution:
        """The acquisition as the reconstruction is told of it."""
        return self._operator(self.assumed)

    @cached_property
    def projection(self) -> Projection:
        return Projection(self.operator)

    def measure(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """The scan of the patch `x` (x, y, z)."""
        y: Tensor = self._operator(self.true)(x)
        if self.noise:
            real, imaginary = (torch.from_numpy(rng.standard_normal(y.shape, np.float32)) for _ in range(2))
            y = torch.hypot(y + self.noise * real, self.noise * imaginary)
        return y

    def inputs(self, y: Tensor) -> dict[str, Tensor]:
        """What the network sees of the scan `y`: images, phases, condition."""
        up = [
            None if p is None else torch.as_tensor(interpolation_matrix(3, n, h, m, d, o), dtype=y.dtype)
            for p, n, h, m, d, o in zip(
                self.assumed, self.shape, self.spacing, self.samples, self.between, self.offset, strict=True
            )
        ]
        clean = wiener(y, noise_model(y, self.told_noise)) if self.told_noise else y
        spline = self.projection.project(mode_product(clean, up), clean)
        return {
            "images": torch.stack([spline, mode_product(y, up)]),
            "phases": phase_maps(self.shape, self.spacing, self.between, self.samples, self.assumed, self.offset),
            "condition": condition_vector(self.between, self.spacing, self.assumed, self.told_noise),
        }


def draw(
    rng: np.random.Generator, shape: Sequence[int], spacing: Sequence[float], axes: Sequence[int], **odds: Any
) -> Draw:
    """A random acquisition that refines some of `axes` (those along which the patch is truly resolved).

    odds : `through` (one axis only), `clean` (no noise), `most_noise`, `wrong` (a width that is not the true
        one), `greatest` (ratio); `hardness` in [0, 1] scales the odds of noise and of wrong widths.
    """
    hardness = odds.get("hardness", 1.0)
    through = odds.get("through", 0.5)
    greatest = odds.get("greatest", 6.0)
    if rng.random() < through:
        ratio = {int(rng.choice(axes)): _ratio(rng, 4.0, 1.5, greatest)}
    elif rng.random() < 0.85:
        same = _ratio(rng, 2.0, 1.2, min(greatest, 4.0))
        ratio = dict.fromkeys(axes, same)
    else:
        ratio = {a: float(rng.uniform(1.2, min(greatest, 4.0))) for a in axes}
    shared: Kind = rng.choice(KINDS, p=KIND_ODDS)
    factor = float(rng.choice([1.0, rng.uniform(0.6, 1.3)], p=[0.6, 0.4]))
    error = float(rng.uniform(0.8, 1.25)) if rng.random() < hardness * odds.get("wrong", 0.15) else 1.0
    true: list[PointSpread | None] = []
    assumed: list[PointSpread | None] = []
    samples, between, offset = [], [], []
    for axis, (n, h) in enumerate(zip(shape, spacing, strict=True)):
        if axis not in ratio:
            true.append(None)
            assumed.append(None)
            samples.append(n)
            between.append(h)
            offset.append(0.0)
            continue
        d = ratio[axis] * h
        m = max(2, int(np.floor(n * h / d + 0.5)))
        kind = shared if len(ratio) == 1 or rng.random() < 0.9 else rng.choice(KINDS, p=KIND_ODDS)
        width = d * (1.0 if kind == "kspace" else factor)
        true.append(PointSpread(kind, width))
        assumed.append(PointSpread(kind, width * (1.0 if kind == "kspace" else error)))
        samples.append(m)
        between.append(d)
        offset.append(float(rng.uniform(-0.5, 0.5) * d) if rng.random() < 0.5 else 0.0)
    clean = rng.random() >= hardness * (1 - odds.get("clean", 0.45))
    noise = 0.0 if clean else float(rng.uniform(0.0, odds.get("most_noise", 0.04)))
    return Draw(
        tuple(shape),
        tuple(spacing),
        tuple(samples),
        tuple(between),
        tuple(true),
        tuple(assumed),
        tuple(offset),
        noise,
        noise * float(rng.uniform(0.8, 1.25)),
    )


def _ratio(rng: np.random.Generator, usual: float, least: float, greatest: float) -> float:
    return usual if rng.random() < 0.35 and usual <= greatest else float(rng.uniform(least, greatest))
