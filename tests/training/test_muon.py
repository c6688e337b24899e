"""Steps of Muon are orthogonal, those of AdamW are AdamW's, and both go downhill."""

import torch

from medsr.training.muon import Muon, orthogonal


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
