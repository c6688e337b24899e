"""Geometry: what a grid says of its voxels, and what it refuses."""

import numpy as np
import pytest

from medsr.errors import GeometryError
from medsr.volume import Grid, Volume
from tests.conftest import oblique_affine


def test_resampled_shares_axes_centre_and_edges(grid):
    for factor in (0.5, 0.25, 2.0):
        new = grid.resampled([s * factor for s in grid.spacing])
        np.testing.assert_allclose(new.spacing, [s * factor for s in grid.spacing], rtol=1e-12)
        np.testing.assert_allclose(new.direction, grid.direction, atol=1e-12)
        np.testing.assert_allclose(new.centre, grid.centre, atol=1e-9)
    half = grid.resampled([s / 2 for s in grid.spacing])
    np.testing.assert_allclose(half.to_world((-0.5, -0.5, -0.5)), grid.to_world((-0.5, -0.5, -0.5)), atol=1e-9)
    assert half.shape == tuple(2 * n for n in grid.shape)


def test_real_ratio_keeps_spacing_exact_and_rounds_the_count():
    grid = Grid((10, 10, 10), oblique_affine((1.0, 1.0, 3.7)))
    new = grid.resampled((1.0, 1.0, 1.0))
    assert new.shape == (10, 10, 37)
    assert new.resampled((1.0, 1.0, 3.7)).shape == (10, 10, 10)
    np.testing.assert_allclose(new.centre, grid.centre, atol=1e-9)


def test_world_coordinates_of_corners(grid):
    corners = grid.corners()
    last = np.array(grid.shape) - 1
    np.testing.assert_allclose(corners[0], grid.affine[:3, 3])
    np.testing.assert_allclose(corners[-1], (grid.affine @ [*last, 1])[:3])


@pytest.mark.parametrize(
    ("affine", "match"),
    [
        (np.diag([1.0, 1, 0, 1]), "singular"),
        (np.diag([1.0, np.nan, 1, 1]), "finite"),
        (np.diag([1.0, np.inf, 1, 1]), "finite"),
        (np.eye(3), "finite 4 x 4"),
        (np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "sheared"),
        (np.diag([1e9, 1, 1, 1.0]), "absurd"),
    ],
)
def test_bad_affines_are_refused(affine, match):
    with pytest.raises(GeometryError, match=match):
        Grid((2, 2, 2), affine)


def test_an_array_has_to_fit():
    grid = Grid((2, 3, 4), np.eye(4))
    assert Volume(np.zeros((5, 2, 3, 4), np.float32), grid).frames == 5
    for shape in [(2, 3, 5), (3, 4), (1, 1, 2, 3, 4)]:
        with pytest.raises(GeometryError, match="does not fit"):
            Volume(np.zeros(shape, np.float32), grid)


def test_affine_cannot_be_changed():
    grid = Grid((2, 2, 2), np.eye(4))
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 2
