"""Fixtures and builders that several tests share."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from medsr.volume import Grid


def oblique_affine(
    spacing: tuple[float, float, float], flip: tuple[int, int, int] = (1, 1, 1)
) -> NDArray[np.float64]:
    """A turned, flipped, shifted affine."""
    a, b = 0.3, -0.2
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing) * np.array(flip)
    affine[:3, 3] = (11.0, -23.5, 4.25)
    return affine


GRIDS = {
    "plain": Grid((12, 14, 10), np.diag([1.0, 1.0, 1.0, 1.0])),
    "thick": Grid((12, 14, 6), np.diag([1.0, 1.0, 4.0, 1.0])),
    "oblique thick": Grid((12, 13, 6), oblique_affine((0.9, 0.9, 3.6))),
    "flipped": Grid((11, 14, 6), oblique_affine((0.9, 0.9, 3.6), (-1, 1, -1))),
    "left-handed": Grid((11, 14, 6), oblique_affine((0.9, 0.9, 3.6), (-1, 1, 1))),
    "sagittal": Grid((6, 14, 12), np.array([[4.0, 0, 0, -9], [0, 0, -1.0, 30], [0, 1.0, 0, 2], [0, 0, 0, 1]])),
}


@pytest.fixture(params=list(GRIDS), ids=list(GRIDS))
def grid(request: pytest.FixtureRequest) -> Grid:
    """Grids as scanners give them."""
    return GRIDS[request.param]


def smooth_head(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    """A positive image with edges and texture, zero at the border; the same shape, the same image."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = np.sqrt(sum((a / w) ** 2 for a, w in zip(axes, (0.8, 0.85, 0.75), strict=True)))
    image = 60.0 * (radius < 1) + 40.0 * (radius < 0.7)
    for _ in range(12):
        centre, size = rng.uniform(-0.5, 0.5, 3), rng.uniform(0.08, 0.25)
        image += (
            rng.uniform(-30, 30)
            * np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / size**2)
            * (radius < 1)
        )
    return image.clip(0).astype(np.float32)
