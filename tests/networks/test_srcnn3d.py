"""SRCNN3D: its size, what it starts as, tiles and threads."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from medsr.networks.srcnn3d import HALO, SRCNN3D, run_tiled


def network() -> SRCNN3D:
    torch.manual_seed(0)
    made = SRCNN3D()
    made.start_at_input()
    for parameter in made.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    return made.eval().requires_grad_(False)


def test_the_papers_number_of_parameters() -> None:
    assert sum(p.numel() for p in SRCNN3D().parameters()) == 52_801


def test_it_is_three_convolutions() -> None:
    """However their sums are ordered, with and without gradients."""
    made, x = network(), torch.rand(2, 1, 17, 16, 15)
    expected = functional.relu(functional.conv3d(x, made.first.weight, made.first.bias))
    expected = functional.relu(functional.conv3d(expected, made.second.weight, made.second.bias))
    expected = functional.conv3d(expected, made.third.weight, made.third.bias)
    assert expected.shape == (2, 1, 17 - 2 * HALO, 16 - 2 * HALO, 15 - 2 * HALO)
    torch.testing.assert_close(made(x), expected, atol=1e-5, rtol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(made(x), expected, atol=1e-5, rtol=1e-5)


def test_the_fast_gradient_is_the_gradient() -> None:
    made, x = network().double().requires_grad_(True), torch.rand(2, 1, 11, 10, 9, dtype=torch.float64)
    weight = torch.rand(2, 64, 3, 2, 1, dtype=torch.float64)
    fast = torch.autograd.grad((made._first(x) * weight).sum(), list(made.first.parameters()))
    plain = torch.autograd.grad((made.first(x) * weight).sum(), list(made.first.parameters()))
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


def test_training_starts_near_the_input() -> None:
    torch.manual_seed(0)
    made = SRCNN3D()
    made.start_at_input()
    x = torch.rand(1, 1, 16, 16, 16)
    inner = x[..., HALO:-HALO, HALO:-HALO, HALO:-HALO]
    assert (made(x) - inner).square().mean() < 0.1 * (inner - inner.mean()).square().mean()


def test_tiles_change_nothing() -> None:
    made, image = network(), torch.rand(21, 13, 18)
    whole = run_tiled(made, image)
    assert whole.shape == image.shape
    for tile in (5, 8, 20):
        torch.testing.assert_close(run_tiled(made, image, tile=tile), whole, atol=1e-6, rtol=1e-6)


def test_threads_change_nothing() -> None:
    made, image = network(), torch.rand(40, 24, 30)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(run_tiled(made, image, tile=16))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_an_error_in_progress_ends_the_run() -> None:
    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tiled(network(), torch.rand(20, 20, 20), tile=8, progress=stop)
