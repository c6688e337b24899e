"""Report data for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.models.card import card
from medsr.report.data import ReportData
from medsr.volume import Grid


def oblique(spacing: tuple[float, float, float], degrees: float) -> NDArray[np.float64]:
    """An affine turned about the patient's long axis, its first axis towards the left."""
    a = np.radians(degrees)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[-np.cos(a), -np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]]) * spacing
    affine[:3, 3] = (11.0, -23.5, 4.25)
    return affine


def head(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A bright ellipsoid with stripes across and around, zero at the border."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    inside = (x / 0.8) ** 2 + (y / 0.9) ** 2 + (z / 0.85) ** 2 < 1
    return (inside * (60 + 25 * np.sin(9 * x + 2 * z) + 15 * np.cos(14 * z - 5 * y))).astype(np.float32)


def report_data(**changes: Any) -> ReportData:
    """A small oblique, flipped scan with thick slices and a result, with all maps."""
    scan_grid = Grid((24, 30, 7), oblique((1.0, 1.0, 4.0), 17))
    grid = scan_grid.resampled([1, 1, 1])
    image = head(grid.shape)
    rng = np.random.default_rng(1)
    everything: dict[str, Any] = {
        "image": image,
        "grid": grid,
        "scan": image.reshape(24, 30, 7, 4).mean(axis=-1),
        "scan_grid": scan_grid,
        "name": "scan.nii.gz",
        "method": "spline",
        "residual": rng.normal(0, 2, scan_grid.shape).astype(np.float32),
        "uncertainty": np.abs(rng.normal(0, 3, grid.shape)).astype(np.float32),
        "acquisition": {
            "point_spread": {"x": "kept", "y": "kept", "z": "gaussian 4 mm"},
            "noise": 2.0,
            "assumptions": ["slice thickness 4 mm, by the header"],
        },
        "figures": {"residual_over_data": 0.03125, "negative_voxels": 1234, "residual_over_noise": 0.987},
        "timings": {"read": 0.25, "reconstruct": 1.5},
        "card": card("spline"),
    }
    return ReportData(**{**everything, **changes})
