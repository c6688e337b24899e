"""The fast road for frames against the general one, and what it promises."""

import math

import pytest
import torch

from medsr.consistency.cg import conjugate_gradients
from medsr.consistency.precondition import CirculantPreconditioner, principal_maps
from medsr.consistency.tikhonov import Tikhonov, tikhonov_sense
from medsr.errors import InputError, UsageError
from medsr.operators.offresonance import TimeSegments
from medsr.operators.sense import sense_frames

N, COILS, SAMPLES, FRAMES = 16, 8, 100, 3


def coil_maps(coils=COILS):
    """Smooth, of unit root sum of squares; few mixtures hold most of them."""
    r = (torch.arange(N, dtype=torch.float64) - N / 2) / N
    angle = 2 * math.pi * torch.arange(coils, dtype=torch.float64)[:, None, None] / coils
    dx, dy = r[:, None] - 0.9 * torch.cos(angle), r - 0.9 * torch.sin(angle)
    maps = torch.polar(1 / torch.sqrt(dx**2 + dy**2 + 0.05), torch.atan2(dx, dy))
    return maps / maps.abs().square().sum(0).sqrt()


def case(dtype=torch.complex128, samples=SAMPLES):
    t = torch.linspace(0, 1, samples, dtype=torch.float64)
    turn = 2 * math.pi * 3 * t + 2.4 * torch.arange(FRAMES)[:, None]
    k = torch.stack([torch.cos(turn), torch.sin(turn)], -1) * (N / 2 * t**1.3)[:, None]
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(FRAMES, COILS, samples, dtype=torch.complex128, generator=generator)
    return y.to(dtype), k, coil_maps().to(dtype)


def converged(y, k, maps, damping, segments=None):
    operator = sense_frames(k, maps, segments=segments, eps=1e-10)
    return conjugate_gradients(
        operator.gram, operator.adjoint(y), damping=damping, iterations=300, tolerance=1e-9
    ).x


@pytest.mark.parametrize("preconditioner", ["auto", "none", "circulant", "coils"])
@pytest.mark.parametrize("samples", [SAMPLES, 20 * SAMPLES])  # through the samples, and by Toeplitz
def test_solves_the_equations_of_all_coils(preconditioner, samples):
    y, k, maps = case(samples=samples)
    damping = 1e-3 * samples
    how = Tikhonov(damping, tolerance=1e-8, iterations=200, eps=1e-8, preconditioner=preconditioner)
    solution, truth = tikhonov_sense(y, k, maps, how), converged(y, k, maps, damping)
    assert (solution.x - truth).norm() < 1e-5 * truth.norm()
    assert bool((solution.residual <= 1e-8).all())


@pytest.mark.parametrize("preconditioner", ["circulant", "coils"])
def test_off_resonance(preconditioner):
    y, k, maps = case()
    field = torch.linspace(-40, 40, N, dtype=torch.float64)[:, None].expand(N, N)
    segments = TimeSegments(torch.linspace(0, 0.02, SAMPLES, dtype=torch.float64), field, tolerance=1e-3)
    how = Tikhonov(0.2, tolerance=1e-6, iterations=200, eps=1e-6, preconditioner=preconditioner)
    truth = converged(y[:1], k[:1], maps, 0.2, segments)
    x = tikhonov_sense(y[:1], k[:1], maps, how, segments=segments).x
    assert (x - truth).norm() < 1e-4 * truth.norm()


def test_default_accuracy_is_single_precision_at_a_thousandth():
    y, k, maps = case()
    truth = converged(y, k, maps, 0.05)
    how = Tikhonov(0.05, tolerance=1e-5)
    x = tikhonov_sense(y.to(torch.complex64), k, maps.to(torch.complex64), how).x
    assert x.dtype == torch.complex64
    assert (x - truth).norm() < 5e-3 * truth.norm()


def test_preconditioners_save_steps():
    y, k, maps = case()
    steps = {
        name: int(tikhonov_sense(y, k, maps, Tikhonov(0.05, tolerance=1e-6, preconditioner=name)).iterations.sum())
        for name in ("none", "circulant", "coils")
    }
    assert steps["coils"] < steps["circulant"] < steps["none"]


def test_threads_and_repeats_change_no_bit():
    y, k, maps = case(torch.complex64)
    for warm in (False, True):
        how = Tikhonov(0.05, warm=warm)
        first = tikhonov_sense(y, k, maps, how).x
        for workers in (1, 3):
            assert torch.equal(tikhonov_sense(y, k, maps, how, workers=workers).x, first)


def test_warm_start_needs_fewer_steps_and_ends_at_the_same_place():
    y, k, maps = case()
    y, k = y[:1].expand(FRAMES, -1, -1), k[:1].expand(FRAMES, -1, -1)
    cold, warm = (tikhonov_sense(y, k, maps, Tikhonov(0.05, tolerance=1e-7, warm=w)) for w in (False, True))
    assert warm.iterations[1:].sum() == 0 < cold.iterations[1:].sum()
    assert (cold.x - warm.x).norm() < 1e-5 * cold.x.norm()


def test_watch_sees_every_step_and_zero_data_give_zero():
    y, k, maps = case()
    seen = []
    how = Tikhonov(0.05, iterations=3, tolerance=0.0, preconditioner="circulant")
    solution = tikhonov_sense(y, k, maps, how, watch=lambda t, i, x: seen.append((t, i)))
    assert seen == [(t, i) for t in range(FRAMES) for i in (1, 2, 3)]
    assert solution.iterations.tolist() == [3, 3, 3]
    nothing = tikhonov_sense(0 * y, k[0], maps, how)
    assert not nothing.x.any() and nothing.residual.tolist() == [0, 0, 0]


def test_outside_the_maps_stays_zero():
    y, k, maps = case()
    maps = maps.clone()
    maps[:, :5] = 0
    for preconditioner in ("circulant", "coils"):
        x = tikhonov_sense(y, k, maps, Tikhonov(0.05, tolerance=1e-7, preconditioner=preconditioner)).x
        assert not x[:, :5].any() and x[:, 5:].any()


def test_principal_maps_and_circulant():
    maps = coil_maps(16)
    few, rest = principal_maps(maps, 1e-2)
    assert len(few) <= 8 and len(few) + len(rest) == 16
    assert few.abs().square().sum() >= (1 - 1e-2) * maps.abs().square().sum()
    together = torch.cat([few, rest]).abs().square().sum(0)
    assert torch.allclose(together, maps.abs().square().sum(0))
    _, k, _ = case()
    circulant = CirculantPreconditioner(maps)
    spectrum = circulant.spectrum(k[0], 0.1)
    x, y = (torch.randn(N, N, dtype=torch.complex128, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    gap = torch.vdot(y.flatten(), circulant.apply(x, spectrum).flatten()) - torch.vdot(
        circulant.apply(y, spectrum).flatten(), x.flatten()
    )
    assert gap.abs() < 1e-10
    # the diagonal of AᴴA in Fourier space, at one frequency, against its definition
    operator = sense_frames(k[:1].round(), maps, eps=1e-10)
    r = torch.arange(N, dtype=torch.float64) - N // 2
    phase = 2 * math.pi * (2 * r[:, None] - r) / N
    wave = torch.polar(torch.full_like(phase, 1 / N), phase)
    seen = float(operator(wave[None]).norm() ** 2)
    assert abs(float(circulant.spectrum(k[0], 1e-3)[2, -1]) ** -2 - 1e-3 - seen) < 1e-6 * max(seen, 1)


def test_refusals():
    y, k, maps = case()
    for bad in ({"damping": 0.0}, {"damping": 0.1, "preconditioner": "jacobi"}, {"damping": 0.1, "tolerance": -1}):
        with pytest.raises(UsageError):
            tikhonov_sense(y, k, maps, Tikhonov(**bad))
    for arguments in ((y[0], k, maps), (y.real, k, maps), (y, k[:2], maps), (y[:, :3], k, maps)):
        with pytest.raises(UsageError):
            tikhonov_sense(*arguments, Tikhonov(0.1))
    y[1, 0, 0] = complex("nan")
    with pytest.raises(InputError, match="frame 1"):
        tikhonov_sense(y, k, maps, Tikhonov(0.1))
