"""A checkpoint brings training back to the step: the next step is the same as without a stop."""

from copy import deepcopy

import torch

from medsr.training import checkpoint


def step(network, optimizer):
    optimizer.zero_grad()
    network(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()


def test_resumes_to_the_same_weights(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    average = deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    step(network, optimizer)
    checkpoint.save(tmp_path / "c.safetensors", network, average, optimizer, {"step": 1, "log": []})
    step(network, optimizer)

    other = torch.nn.Linear(3, 2)
    fresh = torch.optim.AdamW(other.parameters(), lr=0.1)
    state = checkpoint.load(tmp_path / "c.safetensors", other, deepcopy(other), fresh)
    step(other, fresh)
    assert state == {"step": 1, "log": []}
    assert torch.equal(network.weight, other.weight)
    assert not list(tmp_path.glob("*.partial"))
