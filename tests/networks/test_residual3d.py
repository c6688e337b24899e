"""The 3D network: cells of any size, its halo, tiles, threads."""

import pytest
import torch

from medsr.networks.residual3d import CONDITIONS, ResidualNet3D, cosines, fold, unfold
from medsr.networks.tiles3d import run_tiled

ORDERS = (3, 3, 3)


def network(blocks=1, orders=ORDERS):
    torch.manual_seed(0)
    made = ResidualNet3D(orders, width=16, blocks=blocks, kernels=2)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


@pytest.mark.parametrize("cell", [(2, 2, 2), (3, 3, 3), (2, 2, 4), (2, 3, 1)])
def test_folding_is_undone(cell):
    x = torch.rand(2, 1, 12, 12, 12)
    folded = fold(x, cell)
    assert folded.shape[1] == cell[0] * cell[1] * cell[2]
    assert torch.equal(unfold(folded, cell), x[:, 0])


@pytest.mark.parametrize("cell", [(2, 2, 2), (2, 2, 4), (5, 2, 1)])
def test_cosines_are_orthonormal_and_low_orders_come_first(cell):
    places, basis = cosines(cell, (2, 2, 4))
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)), atol=1e-5, rtol=0)
    assert places[0] == 0
    torch.testing.assert_close(basis[0], torch.full_like(basis[0], basis.shape[1] ** -0.5))


def test_an_untrained_network_changes_nothing():
    made = ResidualNet3D(ORDERS, width=8, blocks=1)
    correction, error = made(torch.rand(1, 2, 8, 8, 8), torch.zeros(CONDITIONS), (2, 2, 2))
    assert (correction == 0).all()
    torch.testing.assert_close(error, torch.full_like(error, 0.02))


@pytest.mark.parametrize("cell", [(2, 2, 2), (3, 3, 3), (2, 2, 3)])
def test_it_sees_no_further_than_its_halo(cell):
    made, sites = network(), 16
    images = torch.rand(1, 2, *(sites * c for c in cell))
    moved = images.clone()
    middle = [sites // 2 * c for c in cell]
    moved[0, 0, middle[0], middle[1], middle[2]] += 1
    with torch.no_grad():
        before, after = (made(x, torch.zeros(CONDITIONS), cell)[0] for x in (images, moved))
    changed = (before - after)[0].abs() > 0
    for axis, size in enumerate(cell):
        reach = int((changed.nonzero()[:, axis] // size - sites // 2).abs().max())
        assert made.halo - 1 <= reach <= made.halo


def test_gradients_reach_every_parameter():
    made = network()
    correction, error = made(torch.rand(2, 2, 6, 6, 6), torch.rand(CONDITIONS), (2, 2, 2))
    (correction.square().mean() + error.mean()).backward()
    assert [n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_expected_error_costs_no_accuracy():
    """Its gradient stops at the trunk."""
    made = network()
    made(torch.rand(2, 2, 6, 6, 6), torch.rand(CONDITIONS), (2, 2, 2))[1].mean().backward()
    assert all(p.grad is None for n, p in made.named_parameters() if n.startswith(("head", "first", "second")))


@pytest.mark.parametrize("cell", [(2, 2, 2), (2, 2, 4)])
def test_tiles_and_threads_change_nothing(cell):
    made = network(orders=(2, 2, 4))
    images = torch.rand(2, 61, 30, 42)
    before = torch.get_num_threads()
    results = []
    try:
        for threads, sites in ((1, 10**9), (2, 10**9), (1, 9000), (2, 9000)):
            torch.set_num_threads(threads)
            results.append(run_tiled(made, images, torch.rand(1).expand(CONDITIONS) * 0 + 0.3, cell, sites=sites))
    finally:
        torch.set_num_threads(before)
    for correction, error in results:
        assert correction.shape == error.shape == (61, 30, 42)
        assert torch.equal(correction, results[0][0])
        assert torch.equal(error, results[0][1])
