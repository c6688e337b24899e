"""The working grid: every sample of the scan cut into the same number of voxels."""

import numpy as np
import pytest

from medsr.acquisition.cells import ISOTROPIC, THROUGH, plan_cells
from medsr.operators.pointspread import PointSpread
from tests.conftest import GRIDS


def spread(axes):
    return [PointSpread("gaussian", 2.0) if a in axes else None for a in range(3)]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_refined_axis_is_given_last(axis):
    measured = [1.0, 1.0, 1.0]
    measured[axis] = 4.0
    cells = plan_cells(measured, (1, 1, 1), spread([axis]))
    assert cells.layout is THROUGH
    assert cells.turn[2] == axis
    assert cells.factor[axis] == 4
    assert cells.cell[axis] == 4
    assert sorted(cells.factor) == [1, 1, 4]
    assert sorted(cells.cell) == [2, 2, 4]


@pytest.mark.parametrize(("ratio", "factor"), [(1.2, 2), (2, 2), (2.2, 2), (2.4, 3), (3.3, 3), (6, 3)])
def test_whole_factors_near_the_ratio(ratio, factor):
    cells = plan_cells([ratio] * 3, (1, 1, 1), spread([0, 1, 2]))
    assert cells.layout is ISOTROPIC
    assert cells.factor == (factor,) * 3


def test_two_refined_axes_leave_the_third():
    cells = plan_cells((2.0, 1.0, 2.0), (1, 1, 1), spread([0, 2]))
    assert cells.layout is ISOTROPIC
    assert cells.factor == (2, 1, 2)
    assert cells.cell == (2, 2, 2)


@pytest.mark.parametrize("name", GRIDS)
def test_the_working_grid_shares_the_field_of_view(name):
    grid = GRIDS[name]
    fine = [s / 2 for s in grid.spacing]
    working = plan_cells(grid.spacing, fine, spread([0, 1, 2])).grid(grid)
    assert working.shape == tuple(2 * n for n in grid.shape)
    np.testing.assert_allclose(working.centre, grid.centre, atol=1e-9)
    np.testing.assert_allclose(working.field_of_view, grid.field_of_view, atol=1e-9)
    # a cell's middle is its sample
    np.testing.assert_allclose(working.to_world([0.5, 0.5, 0.5]), grid.to_world([0, 0, 0]), atol=1e-9)
