"""Where training begins: the prior's table from the spectra of simulated truths."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from medsr.consistency.relative import cosine_modes
from medsr.networks.spiral_prior import FREQUENCIES, TREND, WAVENUMBERS, Axes, SpiralPrior, hats, log_frequency
from medsr.training.spiral.runs import TrainingRun

LEAST = 1e-9
"""Variance of a mode times its cell that is added, so that no logarithm runs away."""
TREND_ORDERS = 4
"""Cosines of half a wave up to this many minus one tell of the trend; those after it of the table."""
PHASE = -3.0
"""Log variance of changes of the phase over that of the magnitude: a choice, for the truths are magnitudes."""


@torch.no_grad()
def fit_moments(network: SpiralPrior, runs: Sequence[TrainingRun]) -> None:
    """Sets table and trend to the mean spectral densities of the relative changes in the truths of `runs`.

    Of each truth ``r_t``: ``u_t = (r_t - r̄) / r̄`` in tissue, 0 elsewhere, its modes over cosines and plane waves,
    their squares averaged over the nodes' hats, over the share of tissue. The whitened modes of a real change
    have a variance of one half, hence the factor 2.
    """
    steady, weight = (torch.zeros(len(FREQUENCIES), len(WAVENUMBERS)) for _ in range(2))
    trend = torch.zeros(len(WAVENUMBERS))
    for run in runs:
        a = run.acquisition
        axes = Axes.of(a.frames, a.tr or 1.0, a.shape, a.spacing)
        power = spectrum(run) * (2 * axes.cell)
        rings = hats(axes.wavenumbers.flatten(), WAVENUMBERS)
        by_ring = power.flatten(1) @ (rings / rings.sum(1, keepdim=True)).T
        over_time = hats(log_frequency(axes.frequencies), log_frequency(FREQUENCIES).tolist())
        late = (axes.orders >= TREND_ORDERS).float()
        steady += (over_time * late) @ by_ring
        weight += (over_time * late).sum(1, keepdim=True)
        low = 1 / (1 + (axes.orders / TREND) ** 4) * a.frames
        early = slice(1, TREND_ORDERS)
        trend += by_ring[early].sum(0) / low[early].sum()
    table = steady / weight.clamp(min=1e-6)
    seen = weight[:, 0] > 0.5
    first = int(torch.nonzero(seen)[0])
    table[:first] = table[first]  # below the slowest wave of the runs
    for i in range(first, len(table)):
        if not seen[i]:
            table[i] = table[i - 1]
    logs = torch.log(table + LEAST), torch.log(trend / len(runs) + LEAST)
    for part, shift in ((0, 0.0), (1, PHASE)):
        network.table[part], network.trend[part] = logs[0] + shift, logs[1] + shift


def spectrum(run: TrainingRun) -> Tensor:
    """Mean square of the modes of a truth's relative changes, (frames, x, y)."""
    mean = run.truth.mean(0)
    floor = 0.1 * float(torch.quantile(mean.flatten(), 0.99))
    u = torch.where(run.tissue, (run.truth - mean) / mean.clamp(min=floor), torch.zeros_like(run.truth))
    modes = torch.fft.fft2(cosine_modes(u.to(torch.complex64)), norm="ortho")
    return modes.abs().square() * (math.prod(mean.shape) / float(run.tissue.sum()))
