"""Fixed scans of the selection subjects, by which training is watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medsr.acquisition.cells import ISOTROPIC, THROUGH, Layout
from medsr.networks.residual3d import ResidualNet3D
from medsr.operators.pointspread import Kind, PointSpread
from medsr.training.degrade import Draw
from medsr.training.patches import Case

Setting = tuple[Layout, tuple[int, int, int], Kind, float]
SETTINGS: dict[str, Setting] = {
    "x2 gaussian": (ISOTROPIC, (2, 2, 2), "gaussian", 0.0),
    "x2 kspace": (ISOTROPIC, (2, 2, 2), "kspace", 0.0),
    "x3 gaussian": (ISOTROPIC, (3, 3, 3), "gaussian", 0.0),
    "x2 gaussian, 2 % noise": (ISOTROPIC, (2, 2, 2), "gaussian", 0.02),
    "x4 gaussian": (THROUGH, (1, 1, 4), "gaussian", 0.0),
    "x3 rf": (THROUGH, (1, 1, 3), "rf", 0.0),
    "x4 gaussian, 2 % noise": (THROUGH, (1, 1, 4), "gaussian", 0.02),
}
SIZE = 72
MARGIN = 6
FOREGROUND = 0.05
RESOLVED = 1.5
"""Axes with a coarser spacing (mm) are left alone."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One scan (1, x, y, z) of a head whose truth is known, with what the network is given."""

    truth: Tensor
    y: Tensor
    made: Draw
    given: dict[str, Tensor]


def make_trials(cases: Sequence[Case], layout: Layout) -> dict[str, list[Trial]]:
    """The middle of each head under each of SETTINGS that `layout` serves."""
    rng = np.random.default_rng(0)
    found: dict[str, list[Trial]] = {}
    for name, (served, wanted, kind, noise) in SETTINGS.items():
        if served is not layout:
            continue
        for case in cases:
            # the first axis of the file, which is truly resolved in all of them, goes last
            data, spacing = case.data.transpose(2, 1, 0), case.spacing[::-1]
            factor = tuple(f if h < RESOLVED else 1 for f, h in zip(wanted, spacing, strict=True))
            size = [min(SIZE, n // 12 * 12) for n in data.shape]
            start = [(n - s) // 2 for n, s in zip(data.shape, size, strict=True)]
            cut = data[tuple(slice(a, a + s) for a, s in zip(start, size, strict=True))]
            truth = torch.from_numpy(np.ascontiguousarray(cut))[None]
            psf = tuple(PointSpread(kind, f * h) if f > 1 else None for f, h in zip(factor, spacing, strict=True))
            made = Draw(tuple(size), spacing, factor, psf, psf, (0.0, 0.0, 0.0), noise, noise)
            y = made.measure(truth, rng)
            found.setdefault(name, []).append(Trial(truth, y, made, made.inputs(y)))
    return found


@torch.no_grad()
def estimates(network: ResidualNet3D, trial: Trial, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """The estimate of a scan by one view, and the half width of its interval."""
    correction, width = network(**{k: v.to(device) for k, v in trial.given.items()}, cell=trial.made.cell)
    x = trial.given["images"][:, 0] + correction.cpu()
    if trial.made.told_noise == 0:
        x = trial.made.projection.project(x, trial.y)
    return x, width.cpu()


def covered(network: ResidualNet3D, trials: dict[str, list[Trial]], device: str = "cpu") -> dict[str, list[float]]:
    """Share of the inner voxels above 5 % of the 99.5th percentile whose error is within the half width."""

    def share(error: Tensor, _: Tensor, width: Tensor) -> Tensor:
        return (error.abs() <= width).float().mean()

    return _scores(network, trials, device, share)


def gains(network: ResidualNet3D, trials: dict[str, list[Trial]], device: str = "cpu") -> dict[str, list[float]]:
    """PSNR gained over `spline`, dB, a head: inner voxels above 5 % of the 99.5th percentile."""

    def gain(error: Tensor, before: Tensor, _: Tensor) -> Tensor:
        return 10 * torch.log10((before**2).mean() / (error**2).mean())

    return _scores(network, trials, device, gain)


def _scores(
    network: ResidualNet3D,
    trials: dict[str, list[Trial]],
    device: str,
    score: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> dict[str, list[float]]:
    """`score` of the errors of the estimate and of the spline estimate, and of the half width, a head."""
    found: dict[str, list[float]] = {}
    inner = (slice(None), *[slice(MARGIN, -MARGIN)] * 3)
    for name, scans in trials.items():
        for trial in scans:
            x, width = estimates(network, trial, device)
            truth = trial.truth[inner]
            kept = truth > FOREGROUND
            error, before = ((e[inner] - truth)[kept] for e in (x, trial.given["images"][:, 0]))
            found.setdefault(name, []).append(round(float(score(error, before, width[inner][kept])), 3))
    return found
