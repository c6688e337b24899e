"""The equations of a whole series against those of its frames."""

import pytest
import torch

from medsr.acquisition.trajectory import cyclic_angles, golden_angles, rotated, variable_density_spiral
from medsr.consistency.cg import conjugate_gradients
from medsr.consistency.series import SeriesGram, static_image
from medsr.errors import UsageError
from medsr.operators.offresonance import TimeSegments
from medsr.operators.sense import sense_frames

N = 20


def case(interleaves=4, frames=5, golden=True):
    leaf = variable_density_spiral(N, 0.22, interleaves, dwell=8e-6)
    angles = golden_angles(frames) if golden else cyclic_angles(interleaves, frames)
    k = torch.from_numpy(rotated(leaf.k, angles))
    g = torch.Generator().manual_seed(1)
    maps = torch.randn(3, N, N, dtype=torch.complex64, generator=g)
    x = torch.randn(frames, N, N, dtype=torch.complex64, generator=g)
    field = torch.linspace(-60, 60, N, dtype=torch.float64).expand(N, N)
    segments = TimeSegments(torch.from_numpy(leaf.times), field, tolerance=1e-3)
    return k, maps, x, segments


@pytest.mark.parametrize("segmented", [False, True])
@pytest.mark.parametrize("interleaves", [1, 4])
def test_products_are_those_of_the_frames(interleaves, segmented):
    k, maps, x, segments = case(interleaves)
    segments = segments if segmented else None
    exact = sense_frames(k, maps, segments=segments)
    for workers in (1, 2):
        system = SeriesGram(k, maps, segments=segments, eps=1e-5, workers=workers)
        y = exact.forward(x)
        for found, expected in ((system.gram(x), exact.adjoint(y)), (system.backproject(y), exact.adjoint(y))):
            assert float((found - expected).norm() / expected.norm()) < 1e-4


def test_threads_change_nothing():
    k, maps, x, _ = case(frames=7)
    one, two = (SeriesGram(k, maps, workers=w).gram(x) for w in (1, 2))
    assert torch.equal(one, two)


def test_repeated_trajectories_are_prepared_once():
    k, maps, x, _ = case(frames=8, golden=False)
    system = SeriesGram(k, maps)
    first = system.gram(x)
    assert len(system._grams) == 4
    assert torch.equal(first, system.gram(x))
    system._room = 1
    system._grams.clear()
    assert torch.equal(first, system.gram(x))


def test_one_trajectory_for_all_is_refused():
    k, maps, _, _ = case()
    with pytest.raises(UsageError, match="trajectories of frames"):
        SeriesGram(k[0], maps)


@pytest.mark.parametrize("segmented", [False, True])
def test_the_static_image_solves_the_sum_of_all_frames(segmented):
    k, maps, x, segments = case(frames=6)
    segments = segments if segmented else None
    exact = sense_frames(k, maps, segments=segments)
    y = exact.forward(x[:1].expand(6, N, N).contiguous())
    b = exact.adjoint(y).sum(0)
    found = static_image(b, k, maps, damping=0.5, segments=segments)
    solved = conjugate_gradients(
        lambda m: exact.gram(m.expand(6, N, N).contiguous()).sum(0), b, damping=0.5, iterations=200, tolerance=1e-6
    ).x
    assert float((found - solved).norm() / solved.norm()) < 2e-3
