"""The non-uniform FFT: against the exact sum, analytic truths, its adjoint, its errors."""

import builtins
import math

import pytest
import torch

from medsr.errors import InputError, MedsrError, UsageError
from medsr.operators.nudft import NUDFT
from medsr.operators.nufft import NUFFT

BACKENDS = ["finufft", "torch"]
SHAPES = [(48,), (33, 40), (10, 13, 12)]


def points(shape, samples=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    k = torch.rand(samples, len(shape), dtype=torch.float64, generator=generator) - 0.5
    return k * torch.tensor(shape)


def randn(*shape, dtype=torch.complex128, seed=1):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "eps", "bound"), [
    (torch.complex64, 1e-6, 2e-5), (torch.complex128, 1e-6, 2e-5), (torch.complex128, 1e-12, 1e-11),
    (torch.complex64, 1e-3, 3e-3),
])  # fmt: skip
def test_agrees_with_the_exact_sum(backend, shape, dtype, eps, bound):
    k = points(shape)
    exact, fast = NUDFT(k, shape), NUFFT(k, shape, eps=eps, backend=backend)
    x, y = randn(2, 3, *shape), randn(2, 3, len(k))
    for ours, truth in ((fast(x.to(dtype)), exact(x)), (fast.adjoint(y.to(dtype)), exact.adjoint(y))):
        assert ours.dtype == dtype
        assert (ours - truth).norm() <= bound * truth.norm()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", [1e-2, 1e-6])
def test_adjoint(backend, shape, eps):
    operator = NUFFT(points(shape), shape, eps=eps, backend=backend)
    assert operator.check_adjoint(torch.complex64) < 1e-5
    assert operator.check_adjoint(torch.complex128) < 1e-12


@pytest.mark.parametrize("shape", SHAPES)
def test_exact_sum_is_its_own_adjoint_pair(shape):
    assert NUDFT(points(shape), shape).check_adjoint(torch.complex128) < 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
def test_gaussian(backend):
    """The transform of a Gaussian of standard deviation s voxels is a Gaussian of n/(2πs) cycles."""
    n, s = 64, 4.0
    r = torch.arange(n, dtype=torch.float64) - n // 2
    x = torch.exp(-(r[:, None] ** 2 + r**2) / (2 * s**2)).to(torch.complex128)
    k = points((n, n)) * 0.3
    truth = 2 * math.pi * s**2 / n * torch.exp(-2 * (math.pi * s / n) ** 2 * k.square().sum(1))
    assert (NUFFT(k, (n, n), eps=1e-9, backend=backend)(x) - truth).abs().max() < 1e-8 * truth.max()


@pytest.mark.parametrize("backend", BACKENDS)
def test_shifted_point(backend):
    """A point is a plane wave whose phase is zero where the point is at voxel n//2; axes keep their order."""
    shape, place = (15, 20), (4, 13)
    x = torch.zeros(shape, dtype=torch.complex128)
    x[place] = 1.0
    k = points(shape)
    turns = k[:, 0] * (place[0] - 7) / 15 + k[:, 1] * (place[1] - 10) / 20
    truth = torch.polar(torch.full_like(turns, 1 / math.sqrt(300)), -2 * math.pi * turns)
    assert (NUFFT(k, shape, eps=1e-10, backend=backend)(x) - truth).abs().max() < 1e-9


@pytest.mark.parametrize("backend", BACKENDS)
def test_unitary_on_a_full_grid(backend):
    axes = [torch.arange(n, dtype=torch.float64) - n // 2 for n in (12, 9)]
    operator = NUFFT(torch.cartesian_prod(*axes), (12, 9), eps=1e-10, backend=backend)
    x = randn(12, 9)
    assert (operator.gram(x) - x).abs().max() < 1e-8
    expected = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(x), norm="ortho"))
    assert (operator(x).reshape(12, 9) - expected).abs().max() < 1e-8


@pytest.mark.parametrize("backend", BACKENDS)
def test_repeats_bit_for_bit(backend):
    k, x, y = points((40, 40), 900), randn(5, 40, 40, dtype=torch.complex64), randn(5, 900, dtype=torch.complex64)
    first, second = (NUFFT(k, (40, 40), backend=backend) for _ in range(2))
    assert torch.equal(first(x), second(x))
    assert torch.equal(first.adjoint(y), second.adjoint(y))
    assert torch.equal(first.adjoint(y), first.adjoint(y))


def test_backward_is_the_adjoint():
    operator = NUFFT(points((12, 14), 50), (12, 14), eps=1e-10)
    x = randn(12, 14).requires_grad_()
    y = randn(50)
    operator(x).backward(y)
    assert (x.grad - operator.adjoint(y)).abs().max() < 1e-12
    assert torch.autograd.gradcheck(operator, (x,)) and torch.autograd.gradgradcheck(operator, (x,))


def test_many_images_at_once_equal_one_by_one():
    operator = NUFFT(points((16, 16), 60), (16, 16), eps=1e-9)
    x = randn(2, 70, 16, 16)
    each = torch.stack([torch.stack([operator(z) for z in row]) for row in x])
    assert (operator(x) - each).abs().max() < 1e-12
    assert operator(x[:0]).shape == (0, 70, 60)


def test_missing_finufft_names_the_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "finufft":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MedsrError, match=r"pip install medsr\[kspace\]"):
        NUFFT(points((8, 8)), (8, 8))(randn(8, 8))


@pytest.mark.parametrize(("k", "error"), [
    (torch.zeros(5, 3), UsageError),
    (torch.zeros(5, 2, dtype=torch.complex64), UsageError),
    (torch.full((5, 2), float("nan")), InputError),
    (torch.full((5, 2), 9.0), InputError),
    (torch.zeros(2, 5, 2), UsageError),
])  # fmt: skip
def test_bad_trajectories(k, error):
    with pytest.raises(error):
        NUFFT(k, (16, 16))


def test_bad_options():
    for options in ({"eps": 0.0}, {"eps": 1.0}, {"backend": "numpy"}):
        with pytest.raises(UsageError):
            NUFFT(points((8, 8)), (8, 8), **options)
    with pytest.raises(UsageError, match="complex"):
        NUFFT(points((8, 8)), (8, 8))(torch.zeros(8, 8))


@pytest.mark.gpu
def test_on_cuda_as_on_the_cpu():
    shape = (48, 40)
    k, x = points(shape, 500), randn(3, *shape, dtype=torch.complex64)
    operator = NUFFT(k, shape)
    there = operator(x.cuda()).cpu()
    assert (there - operator(x)).norm() < 2e-5 * there.norm()
    assert operator.adjoint(operator(x.cuda())).device.type == "cuda"
