"""Spirals: within the gradient limits, dense enough, rotated and delayed as said."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsr.acquisition.trajectory import (
    GAMMA,
    GOLDEN_ANGLE,
    GradientLimits,
    cyclic_angles,
    delayed,
    density_weights,
    golden_angles,
    gradients,
    rotated,
    slew_rates,
    variable_density_spiral,
)
from medsr.errors import UsageError


@pytest.mark.parametrize("matrix", [96, 128])
@pytest.mark.parametrize("fov", [0.192, 0.22])
@pytest.mark.parametrize("density", [1.0, 3.5])
@pytest.mark.parametrize("limits", [GradientLimits(), GradientLimits(22e-3, 120.0)])
def test_limits_are_kept_and_used(matrix, fov, density, limits):
    spiral = variable_density_spiral(matrix, fov, 20, density, limits, dwell=2e-6)
    g = np.linalg.norm(gradients(spiral.k, spiral.dwell, fov), axis=-1)
    s = np.linalg.norm(slew_rates(spiral.k, spiral.dwell, fov), axis=-1)
    assert g.max() <= limits.gradient
    assert s.max() <= limits.slew
    # minimum time: one of the limits binds everywhere
    binds = np.maximum(g[1:] / limits.gradient, s / limits.slew)
    assert np.percentile(binds, 2) > 0.98
    assert g[0] < 0.05 * limits.gradient  # it starts from rest


@settings(max_examples=25, deadline=None)
@given(
    matrix=st.sampled_from([32, 48, 64, 96]),
    interleaves=st.integers(1, 32),
    density=st.floats(1, 8),
    gradient=st.floats(5e-3, 80e-3),
    slew=st.floats(20, 200),
)
def test_limits_are_kept_whatever_the_design(matrix, interleaves, density, gradient, slew):
    spiral = variable_density_spiral(matrix, 0.2, interleaves, density, GradientLimits(gradient, slew), dwell=4e-6)
    assert np.linalg.norm(gradients(spiral.k, spiral.dwell, 0.2), axis=-1).max() <= gradient
    assert np.linalg.norm(slew_rates(spiral.k, spiral.dwell, 0.2), axis=-1).max() <= slew
    assert np.hypot(*spiral.k.T).max() <= matrix / 2


def test_a_spiral_reaches_the_edge_and_leaves_no_gap():
    spiral = variable_density_spiral(96, 0.22, 20, 3.5, dwell=2e-6)
    r = np.hypot(*spiral.k.T)
    assert r[0] == 0 and (np.diff(r) > 0).all()
    assert 47.9 < r[-1] <= 48
    # the radius gained in 1/20 turn is the distance between neighbouring interleaves
    angle = np.unwrap(np.arctan2(spiral.k[1:, 1], spiral.k[1:, 0]))
    gap = np.interp(angle[:-200] + 2 * math.pi / 20, angle, r[1:]) - r[1:-200]
    assert gap.max() <= 1.001
    assert gap[:10].max() == pytest.approx(1 / 3.5, rel=0.02)


def test_samples_lie_close_enough_along_the_path():
    spiral = variable_density_spiral(128, 0.22)
    assert np.linalg.norm(np.diff(spiral.k, axis=0), axis=-1).max() < 1.6


def test_weights_add_up_to_the_disc():
    spiral = variable_density_spiral(96)
    assert density_weights(spiral).sum() * 20 == pytest.approx(math.pi * 48**2, rel=2e-3)


def test_weights_integrate_a_gaussian():
    spiral = variable_density_spiral(96)
    r2 = (spiral.k**2).sum(-1)
    assert 20 * (density_weights(spiral) * np.exp(-r2 / 200)).sum() == pytest.approx(200 * math.pi, rel=1e-3)


def test_rotations():
    assert np.allclose(cyclic_angles(4), [0, math.pi / 2, math.pi, 3 * math.pi / 2])
    assert cyclic_angles(4, 6)[5] == pytest.approx(math.pi / 2)
    golden = golden_angles(3)
    assert golden[1] == pytest.approx(math.radians(137.50776405)) == pytest.approx(GOLDEN_ANGLE)
    assert golden[2] == pytest.approx(math.radians(275.0155281))
    k = np.array([[1.0, 0.0], [0.0, 2.0]])
    assert np.allclose(rotated(k, math.pi / 2), [[[0, 1], [-2, 0]]])


def test_golden_angles_leave_no_large_gap():
    gaps = np.diff(np.sort(np.append(golden_angles(20), 2 * math.pi)))
    assert gaps.max() < 2 * 2 * math.pi / 20


def test_delay_is_that_of_each_axis():
    t = np.arange(200) * 4e-6
    k = np.stack([np.sin(2e3 * t) ** 2, 40 * t**2 * 1e6], axis=-1)
    lagged = delayed(k, t, (2e-6, -3e-6))
    assert np.allclose(lagged[5:-1, 0], np.sin(2e3 * (t[5:-1] - 2e-6)) ** 2, atol=1e-7)
    assert np.allclose(lagged[5:-1, 1], 40e6 * (t[5:-1] + 3e-6) ** 2, atol=1e-9)
    assert np.array_equal(delayed(k, t, 0.0), k)
    many = np.stack([k, 2 * k])
    assert np.allclose(delayed(many, t, 1e-6)[1], 2 * delayed(k, t, 1e-6))


def test_delay_of_a_spiral_is_undone_by_its_opposite():
    spiral = variable_density_spiral(96)
    there = delayed(spiral.k, spiral.times, (2e-6, 1e-6))
    assert np.abs(there - spiral.k).max() > 0.5
    back = delayed(there, spiral.times, (-2e-6, -1e-6))
    assert np.abs(back - spiral.k)[2:-3].max() < 2e-3


@pytest.mark.parametrize(
    "wrong",
    [
        {"matrix": 0},
        {"fov": -0.2},
        {"fov": math.nan},
        {"interleaves": 0},
        {"centre_density": 0.5},
        {"dwell": 0.0},
        {"limits": GradientLimits(0.0, 150)},
    ],
)
def test_absurd_designs_are_refused(wrong):
    with pytest.raises(UsageError):
        variable_density_spiral(**wrong)


def test_absurd_delays_are_refused():
    spiral = variable_density_spiral(48)
    with pytest.raises(UsageError, match="absurd"):
        delayed(spiral.k, spiral.times, math.nan)
    with pytest.raises(UsageError, match="do not fit"):
        delayed(spiral.k, spiral.times[:-1], 1e-6)


def test_gamma_is_the_proton_s():
    assert pytest.approx(42.577e6, rel=1e-4) == GAMMA
