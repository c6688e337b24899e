"""Relative changes of a series: the map from modes, and the solve."""

import math

import pytest
import torch
from scipy.fft import dct

from medsr.consistency.relative import RelativeChanges, cosine_modes, cosine_series, parts, posterior

FRAMES, SHAPE = 10, (8, 6)


def even(seed, dtype=torch.float64):
    """Positive, even in the spatial frequency."""
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(FRAMES, *SHAPE, generator=g, dtype=dtype) + 0.1
    return x + torch.roll(torch.flip(x, (1, 2)), (1, 1), (1, 2))


def changes(dtype=torch.complex128):
    g = torch.Generator().manual_seed(5)
    size = torch.randn(SHAPE, generator=g, dtype=dtype)
    weights = torch.rand(FRAMES, *SHAPE, generator=g, dtype=dtype.to_real()) + 0.5
    return RelativeChanges(size, even(1).to(weights), even(2).to(weights), weights)


def real_inner(x, y):
    return float((x.conj() * y).real.sum())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.complex64, 1e-5), (torch.complex128, 1e-12)])
def test_the_adjoint_is_one_over_the_reals(dtype, tolerance):
    s = changes(dtype)
    g = torch.Generator().manual_seed(0)
    for _ in range(5):
        v, x = (torch.randn(FRAMES, *SHAPE, generator=g, dtype=dtype) for _ in range(2))
        sv = s.forward(v)
        gap = real_inner(sv, x) - real_inner(v, s.adjoint(x))
        assert abs(gap) < tolerance * float(sv.norm() * x.norm())


def test_the_cosine_transform_is_scipys():
    x = torch.randn(FRAMES, *SHAPE, dtype=torch.complex128)
    expected = dct(torch.view_as_real(x).numpy(), axis=0, norm="ortho")
    assert torch.allclose(torch.view_as_real(cosine_modes(x)), torch.from_numpy(expected), atol=1e-12)
    assert torch.allclose(cosine_series(cosine_modes(x)), x, atol=1e-12)


def test_parts_act_on_the_real_and_the_imaginary_image():
    image = torch.randn(FRAMES, *SHAPE, dtype=torch.complex128)
    a, b = even(3), even(4)

    def filtered(x, weights):
        return torch.fft.ifftn(torch.fft.fftn(x, dim=(1, 2)) * weights, dim=(1, 2)).real

    result = torch.fft.ifftn(parts(torch.fft.fftn(image, dim=(1, 2)), a, b), dim=(1, 2))
    assert torch.allclose(result.real, filtered(image.real, a), atol=1e-12)
    assert torch.allclose(result.imag, filtered(image.imag, b), atol=1e-12)


def test_where_every_mode_is_seen_alone_the_solve_is_wieners():
    """A the identity, X and w one: ``v = √P r̂ / (P + σ²)``, real and imaginary part each with its own P."""
    re, im = even(1), even(2)
    s = RelativeChanges(torch.ones(SHAPE, dtype=torch.complex128), re, im, torch.ones(FRAMES, *SHAPE))
    x, noise = torch.randn(FRAMES, *SHAPE, dtype=torch.complex128), 0.7
    v = posterior(lambda z: z, s, x, noise, torch.ones(SHAPE, dtype=torch.float64), iterations=40)
    seen = torch.fft.fftn(cosine_modes(x), dim=(1, 2), norm="ortho")
    expected = parts(seen, re / (re**2 + noise**2), im / (im**2 + noise**2))
    assert torch.allclose(v, expected, atol=1e-9)
    # the preconditioner is the inverse here: one step is enough
    once = posterior(lambda z: z, s, x, noise, torch.ones(SHAPE, dtype=torch.float64), iterations=1)
    assert torch.allclose(once, expected, atol=1e-9)


def test_a_response_is_found_at_every_amplitude():
    """The solve is linear: twice the change is found twice as large."""
    s = changes()
    x = torch.randn(FRAMES, *SHAPE, dtype=torch.complex128)
    average = torch.full(SHAPE, 0.5, dtype=torch.float64)
    one, two = (posterior(lambda z: z, s, k * x, 0.3, average, iterations=60) for k in (1.0, 2.0))
    assert torch.allclose(two, 2 * one, atol=1e-7)


def test_autograd_reaches_the_prior():
    re = even(1).requires_grad_()
    s = RelativeChanges(torch.ones(SHAPE, dtype=torch.complex128), re, even(2), torch.ones(FRAMES, *SHAPE))
    x = torch.randn(FRAMES, *SHAPE, dtype=torch.complex128)
    v = posterior(lambda z: z, s, x, 0.7, torch.ones(SHAPE, dtype=torch.float64), iterations=3)
    s.forward(v).abs().square().sum().backward()
    assert re.grad is not None and bool(torch.isfinite(re.grad).all()) and float(re.grad.abs().max()) > 0
    assert math.isfinite(float(re.grad.sum()))
