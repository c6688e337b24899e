"""Time segments against the exact sum over a field that evolves while it is read."""

import itertools
import math

import pytest
import torch

from medsr.errors import InputError, UsageError
from medsr.operators.nudft import NUDFT
from medsr.operators.nufft import NUFFT
from medsr.operators.offresonance import OffResonanceNUFFT, TimeSegments, complex_rates

from .test_nufft import points, randn

SHAPE = (20, 24)
TIMES = torch.linspace(2e-3, 27e-3, 300, dtype=torch.float64)


def field():
    """±100 Hz, curved, with a steep corner."""
    x, y = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in SHAPE)
    return 60 * (x[:, None] ** 2 - y) + 40 * torch.exp(-8 * ((x[:, None] - 1) ** 2 + (y - 1) ** 2))


def decay():
    x, y = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in SHAPE)
    return 25 + 10 * x[:, None] * y


@pytest.mark.parametrize("relaxation", [None, decay()])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
def test_largest_error_is_what_was_asked(relaxation, tolerance):
    """min-max: the worst voxel at the worst time, not just the histogram's."""
    segments = TimeSegments(TIMES, field(), relaxation, tolerance=tolerance)
    rates = complex_rates(field(), relaxation).flatten()
    truth = torch.exp(-torch.outer(rates, TIMES.to(torch.complex128)))
    ours = segments.phases.flatten(1).mT @ segments.weights
    assert segments.error <= tolerance
    assert (ours - truth).abs().max() <= 1.1 * tolerance


@pytest.mark.parametrize("relaxation", [None, decay()])
def test_against_the_exact_sum(relaxation):
    k, x, y = points(SHAPE, len(TIMES)), randn(2, *SHAPE), randn(2, len(TIMES))
    segments = TimeSegments(TIMES, field(), relaxation, tolerance=1e-5)
    fast = OffResonanceNUFFT(NUFFT(k, SHAPE, eps=1e-9), segments)
    exact = NUDFT(k, SHAPE, TIMES, complex_rates(field(), relaxation))
    assert (fast(x) - exact(x)).norm() < 1e-5 * exact(x).norm()
    assert (fast.adjoint(y) - exact.adjoint(y)).norm() < 1e-5 * exact.adjoint(y).norm()


def test_more_segments_err_less():
    errors = [TimeSegments(TIMES, field(), segments=count).error for count in (4, 6, 8, 10, 12)]
    assert all(b < a for a, b in itertools.pairwise(errors))


def test_sign_a_positive_field_turns_like_a_positive_gradient():
    """A field that rises along x at g Hz a voxel is, at time t, a shift of k by g n t cycles a field of view."""
    n, g, t = 20, 3.0, 5e-3
    r = torch.arange(n, dtype=torch.float64) - n // 2
    k, x = points((n, n), 40) * 0.8, randn(n, n)
    times = torch.full((40,), t, dtype=torch.float64)
    slope = (g * r)[:, None].expand(n, n)
    shifted = k + torch.tensor([g * n * t, 0.0], dtype=torch.float64)
    fast = OffResonanceNUFFT(NUFFT(k, (n, n), eps=1e-10), TimeSegments(times, slope))
    assert (fast(x) - NUDFT(shifted, (n, n))(x)).abs().max() < 1e-8


def test_uniform_field_and_decay_are_a_phase_and_a_factor():
    f, rate = 35.0, 30.0
    k, x = points(SHAPE, len(TIMES)), randn(*SHAPE)
    segments = TimeSegments(TIMES, torch.full(SHAPE, f), torch.full(SHAPE, rate))
    assert len(segments) == 1
    nufft = NUFFT(k, SHAPE, eps=1e-10)
    factor = torch.exp(-(2j * math.pi * f + rate) * TIMES)
    assert (OffResonanceNUFFT(nufft, segments)(x) - factor * nufft(x)).abs().max() < 1e-8


def test_adjoint():
    operator = OffResonanceNUFFT(
        NUFFT(points(SHAPE, len(TIMES)), SHAPE), TimeSegments(TIMES, field(), decay(), segments=5)
    )
    assert operator.check_adjoint(torch.complex64) < 1e-5
    assert operator.check_adjoint(torch.complex128) < 1e-12


def test_masked_voxels_do_not_ask_for_segments():
    wild = field()
    wild[0, 0] = 1200.0
    mask = torch.ones(SHAPE, dtype=torch.bool)
    mask[0, 0] = False
    assert len(TimeSegments(TIMES, wild, mask=mask)) < len(TimeSegments(TIMES, wild)) / 2


def test_refusals():
    with pytest.raises(InputError, match="Hz"):
        TimeSegments(TIMES, field() * 1000)
    with pytest.raises(InputError):
        TimeSegments(TIMES, field() * float("nan"))
    with pytest.raises(InputError):
        TimeSegments(TIMES, field(), -decay())
    with pytest.raises(InputError):
        TimeSegments(TIMES[None], field())
    with pytest.raises(UsageError):
        TimeSegments(TIMES, field(), segments=0)
    with pytest.raises(UsageError):
        OffResonanceNUFFT(NUFFT(points(SHAPE, 7), SHAPE), TimeSegments(TIMES, field()))
