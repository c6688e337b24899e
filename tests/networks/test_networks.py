"""What holds for every 2D network."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from medsr.errors import UsageError
from medsr.models.slices import models
from medsr.networks import NETWORKS, architecture
from medsr.networks.count import macs, macs_per_output_pixel, parameters
from medsr.networks.slices import run_tiled
from medsr.operators.base import ShapeError

PARAMETERS = {
    # of the networks as they are trained, at x4 through-plane; the published figures are in the papers' own tests
    ("gcn", "compact"): 231_822,
    ("gcn", "paper"): 1_376_788,
    ("multitask", "compact"): 246_309,
    ("multitask", "paper"): 1_433_403,
    ("eusr", "compact"): 248_883,
    ("eusr", "paper"): 4_961_667,
    ("udgan", "compact"): 282_121,
    ("udgan", "paper"): 3_769_601,
    ("mdcn", "compact"): 164_641,
    ("mdcn", "paper"): 4_877_121,
    ("drudn", "compact"): 167_122,
    ("drudn", "paper"): 1_185_482,
    ("drudn", "once"): 167_122,
    ("dfrn", "compact"): 241_057,
    ("dfrn", "paper"): 2_401_537,
    ("scrsr", "compact"): 196_233,
    ("scrsr", "paper"): 1_100_297,
    ("scrsr", "once"): 196_233,
    ("fast2d", "compact"): 965_234,
}


def test_shape_at_every_scale(name, scale, build):
    network = build(name, scale)
    x = torch.rand(2, network.slices, 7, 10)
    assert network(x).shape == (2, 1, 7 * scale[0], 10 * scale[1])
    assert network.eval()(x).isfinite().all()


@pytest.mark.parametrize("key", PARAMETERS, ids="-".join)
def test_parameter_counts(key):
    assert parameters(NETWORKS[key[0]].build((4, 1), key[1])) == PARAMETERS[key]


def test_every_configuration_has_a_snapshot():
    assert set(PARAMETERS) == {(a.name, c) for a in NETWORKS.values() for c in a.configurations}


def test_what_is_shipped_is_small(name, scale):
    shipped = NETWORKS[name].build(scale, inference=True)
    assert parameters(shipped) <= (200_000 if name == "fast2d" else 400_000)
    if name != "fast2d":
        assert parameters(NETWORKS[name].build(scale)) <= 400_000


@pytest.mark.parametrize("key", PARAMETERS, ids="-".join)
def test_one_step_of_every_configuration(key):
    """The paper's sizes are built and stepped too, not only counted."""
    network = NETWORKS[key[0]].build((2, 2), key[1], seed=0)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    x = torch.rand(1, network.slices, 8, 8)
    y = torch.rand(1, 1, 16, 16)
    before = F.mse_loss(network(x), y)
    before.backward()
    optimiser.step()
    assert all(p.isfinite().all() for p in network.parameters())
    network.eval()
    assert F.mse_loss(network(x), y) < before


def test_gradients_reach_every_parameter(name, scale, build):
    network = build(name, scale).eval()  # drop-path rests
    x = torch.rand(1, network.slices, 8, 8)
    if name == "multitask":
        image, logits = network.forward_tasks(x)
        loss = image.square().mean() + logits.square().mean()
    elif name == "eusr":
        loss = torch.stack([image.square().mean() for image in network.forward_passes(x)]).sum()
    else:
        loss = network(x).square().mean()
    loss.backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_forward_is_deterministic(name, build):
    network = build(name, (4, 1)).eval()
    x = torch.rand(3, network.slices, 12, 9)
    assert torch.equal(network(x), network(x))
    again = build(name, (4, 1)).eval()
    assert torch.equal(network(x), again(x))


def test_the_halo_is_what_a_pixel_looks_at(name, build):
    _check_halo(name, (4, 1), build)


@pytest.mark.slow
def test_the_halo_at_any_scale(name, scale, build):
    _check_halo(name, scale, build)


def _check_halo(name, scale, build):
    """With positive weights nothing cancels, so the gradient shows exactly what an output depends on."""
    network = build(name, scale).eval().double()
    for parameter in network.parameters():
        positive = parameter.data.ndim > 1
        parameter.data.fill_(1 / parameter[0].numel() if positive else 0.0)
    for module in network.modules():
        if isinstance(module, nn.PReLU):
            module.weight.data.fill_(1.0)
    assert _seen(network) == network.halo


def _seen(network):
    seen = []
    for axis in (0, 1):
        middle = -(-network.halo[axis] // 2) * 2 + 2
        far = 0
        for phase in range(network.period[axis]):
            # what lies beside does not matter along this axis, so the image is narrow
            shape = [1, network.slices, 4, 4]
            shape[2 + axis] = 2 * middle + 3
            x = torch.full(shape, 0.5, dtype=torch.float64, requires_grad=True)
            at, s = middle + phase, network.scale[axis]
            network(x).narrow(2 + axis, at * s, s).sum().backward()
            touched = x.grad.sum((0, 1)).abs().sum(1 - axis).nonzero().flatten()
            far = max(far, at - int(touched.min()), int(touched.max()) - at)
        seen.append(far)
    return tuple(seen)


def test_tiles_and_batches_change_nothing(name, build):
    """Bit for bit, on the form of the network that runs."""
    network = build(name, (4, 1)).for_inference().eval()
    x = torch.rand(2, network.slices, 13, 58)
    with torch.no_grad():
        whole = run_tiled(network, x)
        tiled = run_tiled(network, x, 23)
        one_by_one = torch.cat([run_tiled(network, x[i : i + 1]) for i in range(2)])
    assert torch.equal(tiled, whole)
    assert torch.equal(one_by_one, whole)


@pytest.mark.slow
def test_tiles_leave_no_seam_at_any_scale(name, scale, build):
    network = build(name, scale).for_inference().eval()
    x = torch.rand(1, network.slices, 21, 75)
    with torch.no_grad():
        assert torch.equal(run_tiled(network, x, 17), run_tiled(network, x))


def test_a_smaller_halo_would_leave_a_seam(build):
    """The test above can fail."""
    network = build("drudn", (2, 2)).eval()
    x = torch.rand(1, 1, 12, 40)
    with torch.no_grad():
        whole, cut = network(x), network(x[..., :20])
    assert (whole[..., :40] - cut).abs().max() > 1e-4


@pytest.mark.parametrize("slices", [1, 3, 5])
def test_neighbouring_slices(name, slices, build):
    if name == "eusr" and slices > 1:
        with pytest.raises(UsageError, match="one slice"):
            build(name, (4, 1), slices=slices)
        return
    network = build(name, (4, 1), slices=slices).eval()
    x = torch.rand(1, slices, 9, 9)
    y = network(x)
    for other in range(slices):
        moved = x.clone()
        moved[:, other] += 0.1
        assert not torch.allclose(network(moved), y, atol=1e-6)


def test_starts_from_an_aligned_interpolation(name, scale):
    """A ramp stays the same ramp in the field of view: no half-voxel shift anywhere."""
    network = NETWORKS[name].build(scale)
    network.start_at_skip()
    rows, columns = torch.arange(12.0), torch.arange(14.0)
    low = (0.3 * rows[:, None] - 0.2 * columns + 1).expand(1, network.slices, 12, 14)
    fine = [(torch.arange(n * s) + 0.5) / s - 0.5 for n, s in zip((12, 14), scale, strict=True)]
    expected = 0.3 * fine[0][:, None] - 0.2 * fine[1] + 1
    inner = tuple(slice(2 * s, -2 * s) for s in scale)
    torch.testing.assert_close(network(low)[0, 0][inner], expected[inner], rtol=0, atol=1e-5)


def test_inference_form_is_the_same_function(name, build):
    scale = (4, 1)
    network = build(name, scale).eval()
    bare = network.for_inference()
    x = torch.rand(1, network.slices, 9, 11)
    torch.testing.assert_close(bare(x), network(x), rtol=0, atol=1e-5)
    fresh = NETWORKS[name].build(scale, inference=True)
    fresh.load_state_dict(bare.state_dict())
    torch.testing.assert_close(fresh(x), network(x), rtol=0, atol=1e-5)
    assert bare.halo == network.halo


def test_macs_of_a_known_network():
    """Fast2D, convolutions on pixels of four columns or on those of the scan; the interpolation's taps."""
    c = 46
    packed = 9 * 4 * c + 9 * 9 * c * c + 2 * c * c + 9 * c * 16 + 16 * 5
    network = NETWORKS["fast2d"].build((4, 1), inference=True)
    assert macs(network, 10, 12) == packed * 30
    assert macs_per_output_pixel(network) == packed / 16
    c = 32
    coarse = 9 * c + 12 * 9 * c * c + 2 * c * c + 9 * c * 4 + 4 * 25
    assert macs(NETWORKS["fast2d"].build((2, 2), inference=True), 10, 12) == coarse * 120


def test_recursion_counts_each_time():
    drudn = NETWORKS["drudn"].build((2, 2), "paper")
    coarse = 9 * 64 + 12 * 6 * 64 * 64 * 36 + 9 * 64 * 64 + 64 * 64 * 36 + 4 * 9 * 64
    assert macs(drudn, 8, 8) == coarse * 64


def test_fast2d_is_cheap():
    """A tenth of the best of the others on the selection subjects."""
    gains = {
        c.name: w.gain_db for c in models().values() for w in c.weights if w.scale == (4, 1) and w.stage == "pixel"
    }
    best = max((n for n in gains if n != "fast2d"), key=gains.get)
    fast = macs_per_output_pixel(NETWORKS["fast2d"].build((4, 1), slices=3, inference=True))
    assert fast <= 0.1 * macs_per_output_pixel(NETWORKS[best].build((4, 1), inference=True))


@pytest.mark.parametrize("scale", [(1, 1), (0, 2), (9, 1), (-2, 2)])
def test_impossible_scales_are_refused(name, scale):
    assert not NETWORKS[name].supports(scale)
    with pytest.raises(UsageError, match="scale"):
        NETWORKS[name].build(scale)


@pytest.mark.parametrize("scale", [(5, 1), (6, 1), (7, 1), (8, 1), (1, 6), (4, 2), (8, 8)])
def test_thick_slices_and_uneven_scales(name, scale, build):
    if not NETWORKS[name].supports(scale):
        assert name == "mdcn" and scale in [(6, 1), (1, 6), (4, 2)]  # no single step makes these
        return
    network = build(name, scale).eval()
    assert network(torch.rand(1, network.slices, 3, 4)).shape == (1, 1, 3 * scale[0], 4 * scale[1])


def test_wrong_input_is_named(name, build):
    network = build(name, (2, 2))
    with pytest.raises(ShapeError, match="batch"):
        network(torch.rand(1, network.slices + 1, 8, 8))
    with pytest.raises(ShapeError):
        network(torch.rand(8, 8))


def test_the_registry_answers():
    assert architecture("drudn").network.__name__ == "DRUDN"
    assert (4, 1) in architecture("mdcn").scales and (4, 2) not in architecture("mdcn").scales
    with pytest.raises(UsageError, match="unknown network"):
        architecture("vdsr")
    with pytest.raises(UsageError, match="configuration"):
        architecture("drudn").build((2, 2), "huge")
    with pytest.raises(UsageError, match="odd"):
        architecture("drudn").build((2, 2), slices=2)
    assert all(a.network.__doc__ and math.prod(a.scales[0]) > 1 for a in NETWORKS.values())


def test_a_seed_leaves_the_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    NETWORKS["gcn"].build((2, 2), seed=7)
    assert torch.equal(torch.rand(1), expected)
