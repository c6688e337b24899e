"""The inner loops against dense solves."""

import torch

from medsr.consistency.krylov import Directions, Stop, nested_cg, pcg

N = 40


def matrix(seed, size):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(N, N, dtype=torch.complex128, generator=generator)
    return size * a.mH @ a / N


def vector(seed=5):
    return torch.randn(N, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def test_nested_solves_the_whole_whatever_the_split():
    b, damping = vector(), 0.3
    for small in (0.0, 0.05, 1.0):
        few, rest = matrix(1, 1.0), matrix(2, small)
        x, r, steps = nested_cg(
            lambda z, m=few: m @ z, lambda z, m=rest: m @ z, b, damping, Stop(100, 1e-11), precondition=torch.clone
        )
        truth = torch.linalg.solve(few + rest + damping * torch.eye(N, dtype=torch.complex128), b)
        assert (x - truth).norm() < 1e-9 * truth.norm()
        assert (b - (few + rest) @ x - damping * x - r).norm() < 1e-10 * b.norm()
        assert steps < 60


def test_nested_from_a_start():
    few, rest, b = matrix(1, 1.0), matrix(2, 0.05), vector()
    truth = torch.linalg.solve(few + rest + 0.3 * torch.eye(N, dtype=torch.complex128), b)
    x, _, steps = nested_cg(
        lambda z: few @ z, lambda z: rest @ z, b, 0.3, Stop(50, 1e-10), precondition=torch.clone, start=truth
    )
    assert steps == 0 and torch.equal(x, truth)


def test_recycled_directions_save_steps_and_miss_nothing():
    m, b = matrix(3, 1.0), vector(7)
    directions = Directions(b, 12)
    pcg(lambda z: m @ z, vector(6), 0.1, Stop(30, 1e-2), directions=directions)
    directions.seal()
    x, r, steps = pcg(lambda z: m @ z, b, 0.1, Stop(80, 1e-3), directions=directions)
    _, _, alone = pcg(lambda z: m @ z, b, 0.1, Stop(80, 1e-3))
    assert (b - m @ x - 0.1 * x - r).norm() < 1e-10 * b.norm()
    assert r.norm() <= 1e-3 * b.norm()
    assert steps < alone
