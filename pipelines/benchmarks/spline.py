"""`spline` against plain interpolation and against every scalar ridge: prints the table of the README.

    python -m pipelines.benchmarks.spline --data FOLDER [--heads Colin27]

Scans are simulated with a known acquisition; the reconstruction is told the truth, then (last columns) a slice
profile 20 % too narrow and too wide. The noise is Rician, 2 % of the 99.5th percentile; `spline` is told its
level, and once estimates it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from medsr import Volume, reconstruct
from medsr.acquisition.slices import SliceAcquisition, plan_acquisition
from medsr.methods.interpolation import interpolation_factors
from medsr.operators.modeproduct import mode_product
from medsr.operators.pointspread import PointSpread
from medsr.simulation.lowres import crop_to, simulate_lowres
from pipelines.benchmarks.heads import central_psnr, choose, load, parser

SETTINGS = [("x2", (2, 2, 2), "gaussian"), ("x2", (2, 2, 2), "kspace"), ("x4 through", (1, 1, 4), "gaussian")]
RIDGES = (1e-3, 3e-3, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.5, 1.0)
COLUMNS = ("linear", "bspline", "spline", "auto", "λ=1e-3", "best λ", "at", "x0.8", "x1.2", "residual")


def main() -> None:
    """Prints one row a setting."""
    arguments = parser(__doc__.splitlines()[0]).parse_args()
    print(f"{'head':8} {'ratio':11} {'profile':9} {'noise':>5} " + " ".join(f"{c:>8}" for c in COLUMNS))
    for name in choose(arguments):
        head = load(arguments.data, name)
        for label, ratio, kind in SETTINGS:
            for percent in (0, 2):
                row = [
                    f"{v:8.2f}" if i not in (6, 9) else f"{v:8.3g}"
                    for i, v in enumerate(score(head, ratio, kind, percent))
                ]
                print(f"{name:8} {label:11} {kind:9} {percent:4d}% " + " ".join(row), flush=True)


def score(head: Volume, ratio: tuple[int, ...], kind: str, percent: float) -> list[float]:
    """The figures of one setting, in the order of COLUMNS."""
    spacing = head.grid.spacing
    coarse = [s * r for s, r in zip(spacing, ratio, strict=True)]
    scan = simulate_lowres(head, spacing=coarse, psf=kind, noise=percent)
    sigma = percent / 100 * float(np.percentile(head.data, 99.5))
    acquisition = plan_acquisition(scan, spacing=spacing, psf={"*": kind}, noise=sigma)
    truth = crop_to(head, acquisition.fine).data

    def psnr(method: str, noise: float | None = sigma, **options: object) -> float:
        result = reconstruct(scan, spacing, method=method, psf=kind, noise=noise, **options)  # type: ignore[arg-type]
        return central_psnr(result.volume.data, truth)

    exact = reconstruct(scan, spacing, method="spline", psf=kind, noise=sigma)
    ridges = {ridge: central_psnr(_scalar(scan, acquisition, ridge), truth) for ridge in RIDGES}
    best = max(ridges, key=lambda r: ridges[r])
    wrong = [central_psnr(_told(scan, acquisition, factor), truth) for factor in (0.8, 1.2)]
    residual = exact.figures["residual_over_noise" if percent else "residual_over_data"]
    return [
        psnr("linear"),
        psnr("bspline"),
        central_psnr(exact.volume.data, truth),
        psnr("spline", noise=None),
        ridges[RIDGES[0]],
        ridges[best],
        best,
        *wrong,
        residual,
    ]


def _scalar(scan: Volume, acquisition: SliceAcquisition, ridge: float) -> np.ndarray:
    """B-spline, then ``Aᵀ`` of the residual through one scalar ridge: ``s / (s² + λ)`` a mode."""
    y = torch.from_numpy(scan.data)
    x = mode_product(y, interpolation_factors(acquisition, 3, y))
    modes = acquisition.operator.modes
    u, v = (
        [None if m is None else torch.as_tensor(m, dtype=y.dtype) for m in side] for side in (modes.u, modes.v)
    )
    s = torch.as_tensor(modes.s[0][:, None, None] * modes.s[1][:, None] * modes.s[2], dtype=y.dtype)
    z = mode_product(y - acquisition.operator(x), [None if m is None else m.mT for m in u])
    return (x + mode_product(z * s / (s**2 + ridge), v)).numpy()


def _told(scan: Volume, acquisition: SliceAcquisition, factor: float) -> np.ndarray:
    """`spline` told a point spread `factor` times as wide as the true one."""
    from medsr.methods.base import no_progress
    from medsr.methods.spline import spline

    psf = tuple(None if p is None else PointSpread(p.kind, p.width * factor) for p in acquisition.psf)
    wrong = replace(acquisition, psf=psf)  # type: ignore[arg-type]
    return spline(torch.from_numpy(scan.data), wrong, no_progress).data.numpy()


if __name__ == "__main__":
    main()
