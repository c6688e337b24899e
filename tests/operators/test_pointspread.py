"""Point spreads: normalised, as wide as they say, true to their analytic transforms."""

import numpy as np
import pytest

from medsr.errors import UsageError
from medsr.operators.pointspread import KINDS, PointSpread, sampling_matrix

PROFILES = ["gaussian", "boxcar", "rf", "kspace"]


@pytest.mark.parametrize("kind", PROFILES)
@pytest.mark.parametrize(
    ("n", "h", "m", "d", "width"), [(64, 1, 16, 4, 4), (60, 0.9, 17, 3.2, 2.5), (33, 1, 5, 6.5, 8)]
)
def test_weights_sum_to_one(kind, n, h, m, d, width):
    matrix = sampling_matrix(PointSpread(kind, width), n, h, m, d)
    assert matrix.shape == (m, n)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("kind", ["gaussian", "boxcar", "rf"])
def test_full_width_at_half_maximum_is_the_slice_thickness(kind):
    h, width = 0.05, 4.0
    row = sampling_matrix(PointSpread(kind, width), 401, h, 1, 4.0)[0]
    inside = np.flatnonzero(row >= row.max() / 2)
    assert (inside[-1] - inside[0] + 1) * h == pytest.approx(width, abs=2 * h)


def test_gaussian_against_its_transform():
    h, width = 0.1, 4.0
    row = sampling_matrix(PointSpread("gaussian", width), 801, h, 1, 4.0)[0]
    x = (np.arange(801) - 400) * h
    sigma2 = (width**2 - h**2) / (8 * np.log(2))
    for f in (0.05, 0.1, 0.2):
        assert np.sum(row * np.cos(2 * np.pi * f * x)) == pytest.approx(
            np.exp(-2 * np.pi**2 * sigma2 * f**2), abs=1e-9
        )


def test_boxcar_of_a_whole_ratio_is_the_mean():
    matrix = sampling_matrix(PointSpread("boxcar", 4), 16, 1, 4, 4)
    np.testing.assert_allclose(matrix, np.kron(np.eye(4), np.full((1, 4), 0.25)), atol=1e-12)


def test_boxcar_with_a_gap_leaves_the_gap_out():
    matrix = sampling_matrix(PointSpread("boxcar", 2), 16, 1, 4, 4)
    np.testing.assert_allclose(matrix, np.kron(np.eye(4), [[0, 0.5, 0.5, 0]]), atol=1e-12)


def test_rf_profile_is_flat_inside_with_soft_edges():
    row = sampling_matrix(PointSpread("rf", 4.0), 401, 0.05, 1, 4.0)[0]
    x = (np.arange(401) - 200) * 0.05
    inside = row[np.abs(x) < 0.5]
    assert np.ptp(inside) < 0.05 * row.max()
    edge = (x > 1.0) & (x < 3.0)
    assert row[edge].max() > 0.85 * row.max()
    assert row[edge].min() < 0.2 * row.max()


@pytest.mark.parametrize(("n", "m"), [(64, 32), (64, 16), (63, 21), (60, 25)])
def test_kspace_keeps_low_frequencies_and_nothing_above(n, m):
    d = n / m
    matrix = sampling_matrix(PointSpread("kspace", d), n, 1.0, m, d)
    voxels, samples = np.arange(n) - (n - 1) / 2, (np.arange(m) - (m - 1) / 2) * d
    for k in range(1, n // 2):
        got = matrix @ np.cos(2 * np.pi * k * voxels / n + 0.3)
        if k < m / 2:
            np.testing.assert_allclose(got, np.cos(2 * np.pi * k * samples / n + 0.3), atol=1e-10)
        elif k > m / 2:
            np.testing.assert_allclose(got, 0, atol=1e-10)


@pytest.mark.parametrize("kind", ["gaussian", "boxcar", "rf", "kspace"])
def test_centre_of_mass_sits_at_the_sample(kind):
    n, h, m, d = 240, 0.5, 12, 10.0
    for offset in (0.0, 1.7, -2.3):
        matrix = sampling_matrix(PointSpread(kind, d), n, h, m, d, offset)
        ramp = (np.arange(n) - (n - 1) / 2) * h
        if kind == "kspace":
            ramp = np.sin(2 * np.pi * ramp / (n * h))
        want = (np.arange(m) - (m - 1) / 2) * d + offset
        if kind == "kspace":
            want = np.sin(2 * np.pi * want / (n * h))
        tolerance = 0.05 if kind == "boxcar" else 1e-6 if kind == "kspace" else 0.01
        np.testing.assert_allclose((matrix @ ramp)[3:-3], want[3:-3], atol=tolerance)


def test_identity_takes_voxels():
    np.testing.assert_allclose(sampling_matrix(PointSpread("identity", 1), 7, 1, 7, 1), np.eye(7), atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "width"), [("sinc", 1.0), ("gaussian", 0.0), ("gaussian", float("nan")), ("rf", -1)]
)
def test_bad_point_spreads_are_refused(kind, width):
    with pytest.raises(UsageError):
        PointSpread(kind, width)


def test_kinds_are_the_documented_ones():
    assert KINDS == ("identity", "gaussian", "boxcar", "rf", "kspace")
