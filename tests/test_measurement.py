"""KSpace: arrays that fit one another, whitening, selection."""

import numpy as np
import pytest

from medsr.errors import InputError
from medsr.measurement import KSpace
from medsr.volume import Grid


def scan(slices=2, frames=3, coils=2, samples=40, **changes):
    rng = np.random.default_rng(0)
    data = (rng.standard_normal((slices, frames, coils, samples)) + 0j).astype(np.complex64)
    values = {
        "data": data,
        "trajectory": rng.standard_normal((frames, samples, 2)).astype(np.float32),
        "times": np.arange(samples) * 1e-6,
        "grid": Grid((8, 8, slices), np.diag([3.0, 3, 4, 1])),
    }
    return KSpace(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": np.zeros((2, 3, 40), np.complex64)}, "wrong shape"),
        ({"data": np.zeros((2, 3, 0, 40), np.complex64)}, "wrong shape"),
        ({"trajectory": np.zeros((4, 40, 2), np.float32)}, "trajectory does not fit"),
        ({"trajectory": np.zeros((3, 40, 1), np.float32)}, "trajectory does not fit"),
        ({"times": np.zeros(3)}, "sample times"),
        ({"readouts": 7}, "sample times"),
        ({"noise": np.eye(3, dtype=complex)}, "noise covariance"),
        ({"grid": Grid((8, 8, 5), np.eye(4))}, "slices"),
        ({"interleaf": np.zeros((2, 3, 4), np.int64)}, "interleaf"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        scan(**changes)


def test_calibration_must_be_of_the_same_coils():
    with pytest.raises(InputError, match="calibration"):
        scan(calibration=scan(coils=3))


def test_whitening_makes_the_noise_white_and_keeps_its_level():
    rng = np.random.default_rng(1)
    mix = np.array([[2, 0, 0], [1 + 1j, 1, 0], [0.5j, -0.3, 0.7]])
    white = (rng.standard_normal((3, 20000)) + 1j * rng.standard_normal((3, 20000))) / np.sqrt(2)
    psi = mix @ mix.conj().T
    noisy = scan(1, 1, 3, 20000, data=(mix @ white)[None, None].astype(np.complex64), noise=psi).prewhitened()
    level = np.trace(psi).real / 3
    y = noisy.data[0, 0]
    assert np.allclose(y @ y.conj().T / y.shape[1], level * np.eye(3), atol=0.04 * level)
    assert np.allclose(noisy.noise, level * np.eye(3))
    assert np.allclose(noisy.prewhitened().data, noisy.data, atol=1e-5)


def test_without_a_noise_scan_nothing_changes():
    one = scan()
    assert one.prewhitened() is one


@pytest.mark.parametrize("psi", [np.ones((2, 2)), np.zeros((2, 2)), np.diag([1.0, 0.0]), np.full((2, 2), np.nan)])
def test_a_dead_or_doubled_coil_is_refused(psi):
    with pytest.raises(InputError, match="singular"):
        scan(noise=psi.astype(complex)).prewhitened()


def test_selection_keeps_slices_where_they_lie():
    one = scan(slices=5)
    part = one.select(slice(1, 5, 2), slice(1, 3))
    assert np.array_equal(part.data, one.data[1:5:2, 1:3])
    for s in range(2):
        assert np.allclose(part.grid.to_world([2, 3, s]), one.grid.to_world([2, 3, 1 + 2 * s]))
    single = one.select(slice(3, 4))
    assert np.allclose(single.grid.to_world([0, 0, 0]), one.grid.to_world([0, 0, 3]))
    assert single.grid.spacing == one.grid.spacing
    with pytest.raises(InputError, match="backwards"):
        one.select(slice(None, None, -1))


def test_regrouping_refuses_what_it_cannot_fill():
    with pytest.raises(InputError, match="that many readouts"):
        scan().regrouped(9)
