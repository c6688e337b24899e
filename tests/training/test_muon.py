"""Steps of Muon are orthogonal, those of AdamW are AdamW's, and both go downhill."""

import torch
from torch import nn

from medsr.training.muon import Muon, kernels_and_rest, orthogonal


def test_singular_values_come_near_one():
    torch.manual_seed(0)
    s = torch.linalg.svdvals(orthogonal(torch.randn(3, 16, 40)))
    assert s.min() > 0.5
    assert s.max() < 1.3


def test_a_tall_matrix_is_done_like_a_wide_one():
    torch.manual_seed(0)
    x = torch.randn(40, 16)
    torch.testing.assert_close(orthogonal(x), orthogonal(x.T).T)


def test_stacked_kernels_are_apart():
    torch.manual_seed(0)
    gradients = torch.randn(2, 8, 4, 3, 3, 3)
    stacked = torch.nn.Parameter(torch.zeros_like(gradients))
    single = torch.nn.Parameter(torch.zeros_like(gradients[0]))
    stacked.grad, single.grad = gradients, gradients[0].clone()
    Muon([{"params": [stacked], "stacked": 1}], 0.1).step()
    Muon([{"params": [single], "stacked": 0}], 0.1).step()
    torch.testing.assert_close(stacked[0], single)


def test_the_rest_is_adamw():
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(5)) for _ in range(2))
    one = Muon([{"params": [ours], "stacked": None}], 0.01, decay=0.1)
    other = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    for _ in range(5):
        gradient = torch.randn(5)
        ours.grad, theirs.grad = gradient, gradient.clone()
        one.step()
        other.step()
    torch.testing.assert_close(ours, theirs)


def test_it_goes_downhill_and_resumes():
    torch.manual_seed(0)
    target = torch.randn(8, 8)

    def run(steps, state=None, start=None):
        p = torch.nn.Parameter(torch.zeros(8, 8) if start is None else start)
        optimizer = Muon([{"params": [p], "stacked": 0}], 0.05)
        if state:
            optimizer.load_state_dict(state)
        for _ in range(steps):
            optimizer.zero_grad()
            ((p - target) ** 2).sum().backward()
            optimizer.step()
        return p.detach(), optimizer.state_dict()

    whole, _ = run(20)
    half, state = run(10)
    resumed, _ = run(10, state, half.clone())
    assert ((whole - target) ** 2).sum() < (target**2).sum()
    torch.testing.assert_close(resumed, whole)


def test_a_convolution_steps_along_an_orthogonal_matrix():
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 5, 3)
    before, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer = Muon(kernels_and_rest(layer.parameters(), 0.0), 0.01)
    layer(torch.rand(1, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    moved = (before - layer.weight.detach()).flatten(1) / (0.01 * 0.2 * 27**0.5)
    assert 0.6 < torch.linalg.svdvals(moved).min() < torch.linalg.svdvals(moved).max() < 1.3
    # Adam's first step is the learning rate along every bias
    torch.testing.assert_close(bias - layer.bias.detach(), 0.01 * layer.bias.grad.sign(), rtol=1e-4, atol=1e-7)


def test_convolutions_descend():
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    x = torch.rand(4, 1, 12, 12)
    optimizer = Muon(kernels_and_rest(layer.parameters(), 1e-4), 0.01)
    losses = []
    for _ in range(60):
        loss = (layer(x) - x.roll(1, 2)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 4


def test_kernels_of_one_shape_go_as_each_would_alone():
    torch.manual_seed(0)
    gradients = [torch.randn(6, 4, 3, 3) for _ in range(3)]
    together, alone = ([torch.nn.Parameter(torch.zeros(6, 4, 3, 3)) for _ in range(3)] for _ in range(2))
    for ps in (together, alone):
        for p, gradient in zip(ps, gradients, strict=True):
            p.grad = gradient.clone()
    Muon([{"params": together, "stacked": 0}], 0.1).step()
    for p in alone:
        Muon([{"params": [p], "stacked": 0}], 0.1).step()
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b)
