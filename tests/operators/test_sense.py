"""SENSE: both forms of the gram, with and without off-resonance, frames in threads."""

import pytest
import torch

from medsr.errors import UsageError
from medsr.operators.nudft import NUDFT
from medsr.operators.offresonance import TimeSegments, complex_rates
from medsr.operators.sense import Frames, Sense, sense_frames

from .test_nufft import points, randn

SHAPE = (18, 21)
SAMPLES = 150
TIMES = torch.linspace(0, 20e-3, SAMPLES, dtype=torch.float64)


def field():
    return torch.linspace(-50, 50, SHAPE[0], dtype=torch.float64)[:, None] * torch.linspace(0.2, 1, SHAPE[1])


def case(off_resonance, coils=20):
    segments = TimeSegments(TIMES, field(), tolerance=1e-7) if off_resonance else None
    return points(SHAPE, SAMPLES), randn(coils, *SHAPE), segments


def exact_gram(k, maps, off_resonance, x):
    times, rates = (TIMES, complex_rates(field())) if off_resonance else (None, None)
    exact = NUDFT(k, SHAPE, times, rates)
    return (maps.conj() * exact.adjoint(exact(maps * x.unsqueeze(-3)))).sum(-3)


@pytest.mark.parametrize("off_resonance", [False, True])
@pytest.mark.parametrize("form", ["direct", "toeplitz"])
@pytest.mark.parametrize(("dtype", "eps", "bound"), [
    (torch.complex64, 1e-6, 1e-5), (torch.complex128, 1e-10, 1e-6), (torch.complex64, 1e-3, 2e-3),
])  # fmt: skip
def test_gram_against_the_exact_sum(off_resonance, form, dtype, eps, bound):
    k, maps, segments = case(off_resonance)
    operator = Sense(k, maps.to(dtype), segments=segments, eps=eps, form=form)
    x = randn(2, *SHAPE, seed=5)
    truth = exact_gram(k, maps, off_resonance, x)
    gram = operator.gram(x.to(dtype))
    assert gram.dtype == dtype
    assert (gram - truth).norm() <= bound * truth.norm()
    assert (operator.adjoint(operator(x.to(dtype))) - truth).norm() <= 2 * bound * truth.norm()


@pytest.mark.parametrize("off_resonance", [False, True])
@pytest.mark.parametrize("form", ["direct", "toeplitz"])
def test_adjoint_and_symmetry(off_resonance, form):
    k, maps, segments = case(off_resonance, coils=3)
    for dtype, bound in ((torch.complex64, 1e-5), (torch.complex128, 1e-12)):
        operator = Sense(k, maps.to(dtype), segments=segments, form=form)
        assert operator.check_adjoint(dtype) < bound
        assert operator.normal.check_adjoint(dtype) < bound


@pytest.mark.parametrize("off_resonance", [False, True])
def test_backprojection_of_the_gram_is_the_adjoint(off_resonance):
    k, maps, segments = case(off_resonance)
    operator = Sense(k, maps, segments=segments, eps=1e-9, form="direct")
    y = randn(len(maps), SAMPLES, seed=6)
    assert (operator.normal.backproject(y) - operator.adjoint(y)).norm() < 1e-7 * operator.adjoint(y).norm()


def test_frames_are_each_their_own():
    k = torch.stack([points(SHAPE, SAMPLES, seed) for seed in range(4)])
    maps, x = randn(5, *SHAPE), randn(4, *SHAPE, seed=7)
    # one frame's work space must not leak into the next one's: they touch different points
    frames = sense_frames(k, maps, eps=1e-3, form="direct")
    y, gram = frames(x), frames.gram(x)
    for t in range(4):
        alone = Sense(k[t], maps, eps=1e-3, form="direct")
        assert torch.equal(y[t], alone(x[t]))
        assert torch.equal(gram[t], alone.gram(x[t]))
    assert frames.check_adjoint(torch.complex128) < 1e-12


def test_threads_change_nothing():
    k = torch.stack([points(SHAPE, SAMPLES, seed) for seed in range(6)])
    maps, x = randn(5, *SHAPE, dtype=torch.complex64), randn(2, 6, *SHAPE, dtype=torch.complex64)
    one, three = (sense_frames(k, maps, eps=1e-4, workers=workers) for workers in (1, 3))
    assert torch.equal(one(x), three(x))
    assert torch.equal(one.adjoint(one(x)), three.adjoint(one(x)))
    assert torch.equal(one.gram(x), three.gram(x))


def test_poisoned_frame_does_not_spoil_the_next():
    k, maps, _ = case(False)
    operator = Sense(k, maps, eps=1e-4, form="direct")
    x = randn(*SHAPE)
    before = operator.gram(x)
    operator.gram(torch.full_like(x, complex("nan")))
    assert torch.equal(operator.gram(x), before)


def test_gradients_pass_the_gram_and_three_dimensions_work():
    shape = (3, 4, 2)
    k, maps = points(shape, 20), randn(2, *shape)
    x = randn(*shape).requires_grad_()
    for form in ("direct", "toeplitz"):
        operator = Sense(k, maps, eps=1e-8, form=form)
        assert torch.autograd.gradcheck(operator.gram, (x,))
    exact = NUDFT(k, shape)
    truth = (maps.conj() * exact.adjoint(exact(maps * x))).sum(0)
    assert (Sense(k, maps, eps=1e-8, form="direct").gram(x) - truth).abs().max() < 1e-6


def test_refusals():
    k, maps, _ = case(False, coils=2)
    with pytest.raises(UsageError):
        Sense(k, maps, form="dense")
    with pytest.raises(UsageError):
        sense_frames(k, maps)
    with pytest.raises(UsageError):
        Frames([])
    with pytest.raises(UsageError):
        Frames([Sense(k, maps), Sense(k[:9], maps)])
