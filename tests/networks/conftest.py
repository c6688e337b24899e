"""What the tests of the networks share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from medsr.networks import NETWORKS, Scale, SliceNetwork

SCALES: list[Scale] = [(2, 1), (4, 1), (1, 2), (2, 2), (3, 3), (4, 4)]


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """One seed, and one thread: small convolutions only wait for one another on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def build() -> Callable[..., SliceNetwork]:
    """A compact network whose last convolution is not zero, so that every layer has a say."""

    def make(name: str, scale: Scale, configuration: str = "compact", **options: object) -> SliceNetwork:
        network = NETWORKS[name].build(scale, configuration, seed=3, **options)
        awaken(network)
        return network

    return make


def awaken(network: SliceNetwork) -> None:
    """Gives the convolutions that start at zero a small weight."""
    generator = torch.Generator().manual_seed(5)
    for parameter in network.parameters():
        if not parameter.detach().any():
            parameter.data.normal_(0, 0.05, generator=generator)


@pytest.fixture(params=list(NETWORKS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=SCALES, ids=lambda s: f"x{s[0]}_{s[1]}")
def scale(request: pytest.FixtureRequest) -> Scale:
    return request.param
