"""How well the uncertainty map of `consensus` covers its error: prints coverage and rank correlation.

    python -m pipelines.benchmarks.uncertainty --data FOLDER           on the test heads, as shipped
    python -m pipelines.benchmarks.uncertainty --data FOLDER --val     on the selection heads; the factor to ship

The middle of each head, 144³ voxels. Coverage: the share of voxels above 5 % of the 99.5th percentile whose error
is within the half width. Correlation: Spearman's, of the root mean square over blocks of 5³ voxels, of half width
and error. The factor of a set of weights at a ratio is the conformal one: what its uncertainty has to be
multiplied by, for 90 % of the selection heads' voxels to be covered, every head and setting counting alike.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from medsr.acquisition.cells import plan_cells
from medsr.methods.base import no_progress
from medsr.methods.consensus import consensus
from medsr.models.card import card
from pipelines.benchmarks.consensus import SETTINGS, scan_of
from pipelines.benchmarks.heads import FOREGROUND, choose, load, middle, parser

BLOCK = 5
COVERED = 0.9
RATIOS = np.linspace(0, 20, 20001)
"""Bins of |error| over half width."""


def main() -> None:
    """Prints a row a head and setting, and with `--val` the factors."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS)[:8])
    asked = arguments.parse_args()
    shares: dict[tuple[str, float], list[NDArray[np.float64]]] = {}
    print(f"{'head':12} {'setting':33} coverage  correlation")
    for name in choose(asked):
        head = middle(load(asked.data, name))
        for label in asked.settings:
            scan, acquisition, truth = scan_of(head, SETTINGS[label])
            estimate = consensus(torch.from_numpy(scan), acquisition, no_progress)
            assert estimate.uncertainty is not None
            error = np.abs(estimate.data.numpy() - truth.data)
            width = estimate.uncertainty.numpy()
            inside = truth.data > FOREGROUND * np.percentile(truth.data, 99.5)
            ratio = error[inside] / np.maximum(width[inside], 1e-12)
            layout = plan_cells(
                acquisition.measured.spacing, acquisition.fine.spacing, acquisition.psf
            ).layout.name
            counted = np.histogram(ratio, np.append(RATIOS, np.inf))[0] / ratio.size
            shares.setdefault((layout, round(max(acquisition.ratios), 2)), []).append(counted)
            rank = correlation(error, width, inside)
            print(f"{name:12} {label:33} {np.mean(ratio <= 1):8.3f}  {rank:11.3f}", flush=True)
    if asked.val:
        for (layout, most), found in shares.items():
            now = card("consensus").weights[layout].calibrated(most)
            cumulative = np.cumsum(np.mean(found, axis=0))
            factor = now * RATIOS[np.searchsorted(cumulative, COVERED) + 1]
            print(f"calibration of the {layout} weights at x{most:g}: {factor:.3f} (now {now:.3f})")


def correlation(error: NDArray[np.float32], width: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    """Spearman's, over the blocks that lie inside by half or more."""
    from scipy.stats import spearmanr

    def blocks(x: NDArray[np.float64]) -> NDArray[np.float64]:
        x = x[tuple(slice(0, n // BLOCK * BLOCK) for n in x.shape)]
        a, b, c = (n // BLOCK for n in x.shape)
        return x.reshape(a, BLOCK, b, BLOCK, c, BLOCK).mean((1, 3, 5))

    kept = blocks(inside.astype(np.float64)) >= 0.5
    ours, theirs = (np.sqrt(blocks(np.square(x, dtype=np.float64)))[kept] for x in (width, error))
    return float(spearmanr(ours, theirs).statistic)


if __name__ == "__main__":
    main()
