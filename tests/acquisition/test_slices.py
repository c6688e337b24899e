"""From a header to an acquisition: what is read, what is assumed, what is refused."""

import numpy as np
import pytest

from medsr.acquisition.slices import plan_acquisition
from medsr.errors import UsageError
from medsr.volume import Grid, ScanFacts, Volume
from tests.conftest import oblique_affine


def volume(spacing, shape=(24, 26, 12), **facts):
    data = np.random.default_rng(0).uniform(50, 60, shape).astype(np.float32)
    return Volume(data, Grid(shape, oblique_affine(spacing)), ScanFacts(**facts))


def test_thick_slices_go_to_the_in_plane_spacing():
    plan = plan_acquisition(volume((0.9, 0.9, 4.5)))
    assert plan.target.spacing == pytest.approx((0.9, 0.9, 0.9))
    assert plan.target.shape == (24, 26, 60)
    assert plan.psf[:2] == (None, None)
    assert (plan.psf[2].kind, plan.psf[2].width) == ("gaussian", pytest.approx(4.5))
    assert any("assumed equal to the spacing" in text for text in plan.assumptions)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_thick_axis_may_be_any(axis):
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 5.0
    plan = plan_acquisition(volume(tuple(spacing)))
    assert [p is None for p in plan.psf] == [a != axis for a in range(3)]


def test_near_isotropic_goes_to_half():
    plan = plan_acquisition(volume((1.0, 1.1, 1.2)))
    assert plan.target.spacing == pytest.approx((0.5, 0.55, 0.6))
    assert {p.kind for p in plan.psf} == {"kspace"}


def test_the_header_is_believed():
    plan = plan_acquisition(volume((1, 1, 5), slice_thickness=4.0, acquisition_type="2D", slice_axis=2))
    assert plan.psf[2].width == 4.0
    assert any("gap of 1 mm" in text for text in plan.assumptions)
    encoded = plan_acquisition(volume((1, 1, 3), acquisition_type="3D"))
    assert (encoded.psf[2].kind, encoded.psf[2].width) == ("kspace", pytest.approx(3))


def test_options_win():
    plan = plan_acquisition(
        volume((1, 1, 5), slice_thickness=4.0),
        spacing=(0.5, 0.5, 1),
        slice_thickness=6,
        psf={"*": "rf", "x": "boxcar"},
    )
    assert [p.kind for p in plan.psf] == ["boxcar", "rf", "rf"]
    assert plan.psf[2].width == 6
    assert any("overlap of 1 mm" in text for text in plan.assumptions)


def test_a_coarser_target_in_plane_is_reconstructed_finer_then_reduced():
    plan = plan_acquisition(volume((0.7, 0.7, 4.0)), spacing=(1, 1, 1))
    assert plan.fine.spacing == pytest.approx((0.7, 0.7, 1.0))
    assert plan.target.spacing == pytest.approx((1, 1, 1))
    assert plan.reduction.in_shape == plan.fine.shape
    assert plan.reduction.out_shape == plan.target.shape


def test_noise_as_given_and_as_estimated():
    assert plan_acquisition(volume((1, 1, 4)), noise=2.5).noise == 2.5
    assert plan_acquisition(volume((1, 1, 4), (40, 40, 20))).noise == pytest.approx(10 / np.sqrt(12), rel=0.2)


@pytest.mark.parametrize(
    ("spacing", "options", "match"),
    [
        ((1, 1, 4), {"spacing": (1, 1, 4)}, "nothing to do"),
        ((1, 1, 4), {"spacing": (2, 2, 4)}, "nothing to do"),
        ((1, 1, 4), {"spacing": (1, 1, 0.1)}, "too fine"),
        ((1, 1, 4), {"spacing": (1, 1, float("nan"))}, "not a length"),
        ((1, 3, 4), {}, "--spacing"),
        ((1, 1, 4), {"slice_thickness": 80}, "slice thickness"),
        ((1, 1, 1), {"slice_thickness": 2}, "no slices"),
        ((1, 1, 4), {"psf": {"z": "sinc"}}, "point spread"),
    ],
)
def test_odd_cases_are_explained(spacing, options, match):
    with pytest.raises(UsageError, match=match):
        plan_acquisition(volume(spacing), **options)


def test_one_slice_is_not_refined():
    with pytest.raises(UsageError, match="one slice"):
        plan_acquisition(volume((1, 1, 5), (24, 26, 1)))
    plan = plan_acquisition(volume((1, 1, 5), (24, 26, 1)), spacing=(0.5, 0.5, 5))
    assert plan.target.shape == (48, 52, 1)


def test_the_operator_fits_the_grids(grid):
    data = np.random.default_rng(0).uniform(50, 60, grid.shape).astype(np.float32)
    plan = plan_acquisition(Volume(data, grid))
    assert plan.operator.in_shape == plan.fine.shape
    assert plan.operator.out_shape == grid.shape
