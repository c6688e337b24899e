"""Where training begins: the prior's table from the spectra of simulated truths."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from medsr.consistency.relative import cosine_modes
from medsr.networks.spiral_prior import FREQUENCIES, TREND, WAVENUMBERS, Axes, SpiralPrior, hats, log_frequency
from medsr.training.spiral.runs import Truth

LEAST = 1e-9
"""Variance of a mode times its cell that is added, so that no logarithm runs away."""
TREND_ORDERS = 4
"""Cosines of half a wave up to this many minus one tell of the trend; those after it of the table."""
PHASE = -3.0
"""Log variance of changes of the phase over that of the magnitude: a choice, for the truths are magnitudes."""


@torch.no_grad()
def fit_moments(network: SpiralPrior, known: Iterable[Truth]) -> None:
    """Sets the trend to, and adds to the table, the mean spectral densities of the relative changes in the truths.

    The table that a network starts with stays in it: room for a response, which is strong where it is and nearly
    nothing in the mean over a head.

    Of each truth ``r_t``: ``u_t = (r_t - r̄) / r̄`` in tissue, 0 elsewhere, its modes over cosines and plane waves,
    their squares averaged over the nodes' hats, over the share of tissue. The whitened modes of a real change
    have a variance of one half, hence the factor 2.
    """
    nodes = len(FREQUENCIES), len(WAVENUMBERS)
    steady, weight = torch.zeros(nodes), torch.zeros(nodes)
    trend, trend_weight = torch.zeros(nodes[1]), torch.zeros(nodes[1])
    early = slice(1, TREND_ORDERS)
    for truth in known:
        frames, shape = truth.series.shape[0], tuple(truth.series.shape[1:])
        axes = Axes.of(frames, truth.tr, shape, truth.spacing)
        rings = hats(axes.wavenumbers.flatten(), WAVENUMBERS)
        seen = (rings.sum(1) > 1).float()  # a small matrix has no modes at the last nodes
        by_ring = (spectrum(truth) * (2 * axes.cell)).flatten(1) @ (
            rings / rings.sum(1, keepdim=True).clamp(min=1)
        ).T
        late = (axes.orders >= TREND_ORDERS).float()
        over_time = hats(log_frequency(axes.frequencies), log_frequency(FREQUENCIES).tolist()) * late
        steady += over_time @ by_ring * seen
        weight += over_time.sum(1, keepdim=True) * seen
        trend += by_ring[early].sum(0) / (frames / (1 + (axes.orders[early] / TREND) ** 4)).sum() * seen
        trend_weight += seen
    table = _filled(
        _filled(steady / weight.clamp(min=1e-6), weight > 0.5).T, weight.T.amax(1, keepdim=True) > 0.5
    ).T
    trend = _filled((trend / trend_weight.clamp(min=1))[None].T, trend_weight[:, None] > 0)[:, 0]
    logs = torch.log(table + LEAST), torch.log(trend + LEAST)
    for part, shift in ((0, 0.0), (1, PHASE)):
        network.table[part] = torch.logaddexp(network.table[part], logs[0] + shift)
        network.trend[part] = logs[1] + shift


def _filled(table: Tensor, seen: Tensor) -> Tensor:
    """Rows that were not seen take the values of the row before, the first ones those of the first that was."""
    rows = list(table.unbind())
    known = [i for i in range(len(rows)) if bool(seen[i].any())]
    for i in range(len(rows)):
        if i not in known:
            rows[i] = rows[max([k for k in known if k < i], default=known[0])]
    return torch.stack(rows)


def spectrum(truth: Truth) -> Tensor:
    """Mean square of the modes of a truth's relative changes, (frames, x, y)."""
    mean = truth.series.mean(0)
    floor = 0.1 * float(torch.quantile(mean.flatten(), 0.99))
    u = torch.where(truth.tissue, (truth.series - mean) / mean.clamp(min=floor), torch.zeros_like(truth.series))
    modes = torch.fft.fft2(cosine_modes(u.to(torch.complex64)), norm="ortho")
    return modes.abs().square() * (math.prod(mean.shape) / float(truth.tissue.sum()))
