import pytest
import torch

from medsr.errors import InputError, UsageError
from medsr.operators.coils import CoilSensitivities

from .test_nufft import randn


def test_adjoint_and_gram():
    operator = CoilSensitivities(randn(4, 5, 6))
    assert operator.check_adjoint(torch.complex64) < 1e-5
    assert operator.check_adjoint(torch.complex128) < 1e-12
    x = randn(2, 5, 6, seed=2)
    assert (operator.gram(x) - operator.adjoint(operator(x))).abs().max() < 1e-12


def test_each_coil_sees_its_own_image():
    maps, x = randn(3, 4, 4), randn(2, 4, 4, seed=2)
    y = CoilSensitivities(maps)(x)
    assert y.shape == (2, 3, 4, 4)
    assert torch.equal(y[1, 2], maps[2] * x[1])


def test_refuses_what_are_no_maps():
    with pytest.raises(UsageError):
        CoilSensitivities(torch.ones(3, 4, 4))
    with pytest.raises(InputError):
        CoilSensitivities(torch.full((3, 4, 4), complex("nan")))
