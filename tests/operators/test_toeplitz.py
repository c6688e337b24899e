"""The Toeplitz gram against forward and adjoint, above all at the borders."""

import pytest
import torch

from medsr.errors import UsageError
from medsr.operators.nudft import NUDFT
from medsr.operators.nufft import NUFFT
from medsr.operators.toeplitz import ToeplitzGram, direct_is_cheaper, embedding

from .test_nufft import points, randn

SHAPES = [(16,), (15, 20), (32, 32), (6, 7, 8)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.complex64, 1e-5), (torch.complex128, 1e-10)])
def test_equals_forward_then_adjoint(shape, dtype, bound):
    k, x = points(shape, 300), randn(2, 3, *shape)
    weights = torch.rand(300, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    exact = NUDFT(k, shape)
    truth = exact.adjoint(weights * exact(x))
    gram = ToeplitzGram(k, shape, weights, eps=1e-6 if dtype == torch.complex64 else 1e-12)
    assert (gram(x.to(dtype)) - truth).norm() <= bound * truth.norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_right_at_the_borders(shape):
    """A point in each corner, seen in all corners: the farthest lags there are."""
    k = points(shape, 100)
    nufft, gram = NUFFT(k, shape, eps=1e-12), ToeplitzGram(k, shape, eps=1e-12)
    for place in ((0,) * len(shape), (-1,) * len(shape)):
        x = torch.zeros(shape, dtype=torch.complex128)
        x[place] = 1
        assert (gram(x) - nufft.gram(x)).abs().max() < 1e-11


@pytest.mark.parametrize("shape", SHAPES)
def test_adjoint(shape):
    k = points(shape, 50)
    for weights in (None, randn(50)):
        gram = ToeplitzGram(k, shape, weights)
        assert gram.check_adjoint(torch.complex64) < 1e-5
        assert gram.check_adjoint(torch.complex128) < 1e-12


def test_complex_weights_and_gradient():
    k, x, weights = points((9, 8), 60), randn(9, 8).requires_grad_(), randn(60)
    exact, gram = NUDFT(k, (9, 8)), ToeplitzGram(k, (9, 8), weights, eps=1e-12)
    assert (gram(x) - exact.adjoint(weights * exact(x))).abs().max() < 1e-10
    assert torch.autograd.gradcheck(gram, (x,))


def test_repeats_bit_for_bit():
    k, x = points((30, 30), 400), randn(30, 30, dtype=torch.complex64)
    assert torch.equal(ToeplitzGram(k, (30, 30))(x), ToeplitzGram(k, (30, 30))(x))


def test_embedding_holds_every_lag():
    for n in range(1, 200):
        (g,) = embedding((n,))
        assert g >= 2 * n - 1


def test_few_samples_go_direct_many_go_toeplitz():
    assert direct_is_cheaper(915, (96, 96), eps=1e-3)
    assert not direct_is_cheaper(20 * 915, (96, 96), eps=1e-6)
    assert direct_is_cheaper(915, (96, 96), eps=1e-3, segments=6)


def test_one_weight_a_sample():
    with pytest.raises(UsageError):
        ToeplitzGram(points((8, 8), 20), (8, 8), torch.ones(19))
