"""What makes each system itself."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from medsr.errors import UsageError
from medsr.networks import NETWORKS
from medsr.networks.count import parameters
from medsr.networks.dfrn import DFRN, Fractal, FractalBlock
from medsr.networks.drudn import DRUDN
from medsr.networks.eusr import EUSR, Pass, ladder_of
from medsr.networks.eusr_critics import Discriminator, ScorePredictor
from medsr.networks.fast2d import Fast2D, RepConv
from medsr.networks.gcn import MODES, Collaborator, DenoisingAutoencoder
from medsr.networks.mdcn import MDCN, DualLinkUnit
from medsr.networks.multitask import CLASSES, MultitaskSR
from medsr.networks.patchgan import patch_discriminator
from medsr.networks.scrsr import SCRSR, SplitConcatBlock
from medsr.networks.udgan import MatrixBlock
from medsr.training.losses import AdversarialLoss

# --- GCN


@pytest.mark.parametrize("mode", MODES)
def test_gcn_collaborates_in_every_mode(mode):
    collaborator = Collaborator(mode, channels=4)
    image = torch.rand(2, 1, 32, 32)
    features = collaborator.features(image)
    assert all(f.shape[0] == 2 for f in features)
    assert len(features) == {"identity": 1, "random": 3, "disjoint": 3, "joint": 3, "discriminator": 4}[mode]
    assert collaborator.learns_with_generator == (mode in ("joint", "discriminator"))
    loss = collaborator.own_loss(image, torch.rand(2, 1, 32, 32), AdversarialLoss().critic)
    if mode == "identity":
        assert features[0] is image and loss == 0
    elif mode == "random":
        assert loss == 0
    else:
        loss.backward()
        silent = [n for n, p in collaborator.named_parameters() if p.grad is None or not p.grad.any()]
        assert silent == []


def test_gcn_refuses_an_unknown_mode():
    with pytest.raises(UsageError, match="mode"):
        Collaborator("vgg")


def test_gcn_autoencoder_learns_to_denoise():
    torch.manual_seed(0)
    network = DenoisingAutoencoder(8)
    x = torch.linspace(0, 6, 32)
    clean = (0.5 + 0.3 * torch.sin(x)[:, None] * torch.cos(x)).expand(4, 1, 32, 32)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = F.mse_loss(network(clean + 0.1 * torch.randn_like(clean)), clean)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5
    assert network(torch.rand(1, 1, 15, 21)).shape == (1, 1, 15, 21)


# --- multitask


def test_multitask_has_two_heads_and_runs_one(build):
    network = build("multitask", (4, 1)).eval()
    x = torch.rand(1, 1, 6, 8)
    image, logits = network.forward_tasks(x)
    assert logits.shape == (1, len(CLASSES), 24, 8)
    assert torch.equal(image, network(x))
    bare = network.for_inference()
    assert bare.segmentation is None and parameters(bare) < parameters(network)
    assert torch.equal(bare(x), image)
    with pytest.raises(UsageError, match="segmentation"):
        bare.forward_tasks(x)


def test_segmentation_teaches_the_encoder():
    network = MultitaskSR.compact((2, 2))
    _, logits = network.forward_tasks(torch.rand(1, 1, 6, 6))
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.encoder.parameters())
    assert all(p.grad is None for p in network.up.parameters())


# --- 4PP-EUSR


@pytest.mark.parametrize("scale", [(2, 2), (4, 4), (8, 8)])
def test_eusr_has_the_published_size(scale):
    # colour in and out adds 2 x 9 x 64 weights at the head and 3 x (2 x 9 x 64 + 2) at the tails
    network = EUSR.paper(scale)
    assert network.ladder == ((2, 2), (4, 4), (8, 8))
    assert parameters(network) == 6_291_075
    assert round(parameters(network) / 1e6, 1) == 6.3


def test_eusr_multi_pass():
    assert EUSR.compact((4, 4)).passes() == [
        Pass(((2, 2), (2, 2)), (1, 1)),
        Pass(((4, 4),), (1, 1)),
        Pass(((8, 8),), (2, 2)),
    ]
    assert EUSR.compact((4, 1)).passes()[2] == Pass(((8, 1),), (2, 1))
    assert EUSR.compact((2, 1)).passes() == [
        Pass(((2, 1),), (1, 1)),
        Pass(((4, 1),), (2, 1)),
        Pass(((8, 1),), (4, 1)),
    ]
    assert EUSR.compact((8, 8)).passes()[1] == Pass(((4, 4), (2, 2)), (1, 1))
    assert EUSR.compact((3, 3)).passes() == [Pass(((3, 3),), (1, 1))]
    assert ladder_of((4, 2)) == [(4, 2)]


@pytest.mark.parametrize("scale", [(4, 1), (2, 2), (8, 8), (3, 3)])
def test_eusr_passes_agree_on_the_field_of_view(scale):
    """All ways of an untrained network are interpolations, and differ little on a ramp: none is shifted."""
    network = EUSR.compact(scale)
    ramp = torch.arange(16.0).expand(1, 1, 16, 16) + torch.arange(16.0)[:, None]
    images = network.forward_passes(ramp)
    inner = tuple(slice(5 * s, -5 * s) for s in scale)
    for image in images:
        assert image.shape == network(ramp).shape
        torch.testing.assert_close(image[0, 0][inner], images[0][0, 0][inner], rtol=0, atol=1e-4)


def test_eusr_keeps_one_branch_for_inference():
    network = EUSR.paper((4, 1))
    assert parameters(network.for_inference()) < 0.7 * parameters(network)


def test_discriminator_as_published():
    network = Discriminator.paper((96, 96))
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [32, 32, 64, 64, 128, 128, 256, 256, 512, 512]
    assert [m.stride[0] for m in convolutions] == [1, 2] * 5
    assert [m.out_features for m in network.modules() if isinstance(m, nn.Linear)] == [1024, 1]
    assert Discriminator.compact((33, 64))(torch.rand(2, 1, 33, 64)).shape == (2, 1)


def test_score_predictor_is_a_mobilenet():
    # MobileNetV2 has 2,223,872 parameters below its classifier; one channel instead of three saves 576
    assert parameters(ScorePredictor.paper()) == 2_223_872 - 576 + 1281 * 10
    opinion = ScorePredictor.compact()(torch.rand(3, 1, 40, 48))
    assert opinion.distribution.shape == (3, 10) and opinion.representation.shape == (3, 128)
    torch.testing.assert_close(opinion.distribution.sum(1), torch.ones(3))
    assert ((opinion.score >= 1) & (opinion.score <= 10)).all()


# --- udGAN


def test_matrix_block_links_every_row_to_every_row():
    block = MatrixBlock(4)
    assert sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in block.modules()) == 9 + 1
    # a change in one unit of the first column reaches each mixer of that column, hence all rows
    x = torch.rand(1, 4, 6, 6)
    inputs = []
    hooks = [m.register_forward_pre_hook(lambda _, a: inputs.append(a[0].detach())) for m in block.mixers[0]]
    block(x)
    before = list(inputs)
    inputs.clear()
    block.units[0][1].weight.data.mul_(2)
    block(x)
    assert all(not torch.equal(a, b) for a, b in zip(before, inputs, strict=True))
    for hook in hooks:
        hook.remove()


def test_patch_discriminator_does_not_mix_a_batch():
    network = patch_discriminator(4).eval()
    x = torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(network(x)[-1][1:2], network(x[1:2])[-1], rtol=0, atol=1e-5)


# --- MDCN


def test_dual_link_unit_adds_and_appends():
    unit = DualLinkUnit(12, 4)
    state = torch.rand(2, 12, 5, 5)
    out = unit(state)
    both = unit.body(state)
    assert out.shape == (2, 16, 5, 5)
    assert torch.equal(out[:, :8], state[:, :8])
    assert torch.equal(out[:, 8:12], state[:, 8:] + both[:, :4])
    assert torch.equal(out[:, 12:], both[:, 4:])


def test_mdcn_reuses_the_filters_of_x2():
    two, four, eight = (MDCN.compact((s, 1)) for s in (2, 4, 8))
    assert parameters(two) == parameters(four) == parameters(eight)
    assert (two.recurrences, four.recurrences, eight.recurrences) == (1, 2, 3)
    assert list(two.state_dict()) == list(four.state_dict())
    assert NETWORKS["mdcn"].slices == 3


# --- DRUDN


@pytest.mark.parametrize(("scale", "millions"), [(2, 1.07), (3, 1.45), (4, 1.88)])
def test_drudn_has_the_published_size(scale, millions):
    network = DRUDN.paper((scale, scale))
    # the published counts are of colour images: two more channels in and out
    colour = parameters(network) + 2 * 9 * 64 + 2 * (9 * 64 + 1)
    assert round(colour / 1e6, 2) == millions
    assert abs(parameters(network) / 1e6 - millions) < 0.01


def test_drudn_recursion_costs_no_parameters(build):
    shallow, deep = (DRUDN((2, 2), channels=8, recursions=n, skip=True) for n in (1, 5))
    assert parameters(shallow) == parameters(deep)
    deep.load_state_dict(shallow.state_dict())
    for network in (shallow, deep):
        network.tail.weight.data.fill_(0.1)
    x = torch.rand(1, 1, 6, 6)
    assert not torch.allclose(shallow(x), deep(x))


def test_drudn_treats_both_ends_alike():
    """Kernels that are their own mirror images give mirrored outputs: up and down sampling share the edges."""
    network = DRUDN.paper((3, 2)).eval()
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = (parameter.data + parameter.data.flip(2, 3)) / 2
    x = torch.rand(1, 1, 5, 6)
    with torch.no_grad():
        torch.testing.assert_close(network(x.flip(2, 3)).flip(2, 3), network(x), rtol=0, atol=1e-5)


# --- DFRN


def test_fractal_follows_its_rule():
    fractal = Fractal(3, 3)
    z = torch.rand(1, 3, 6, 6)
    convs = {n: m for n, m in fractal.named_modules() if n.endswith("conv")}
    assert len(convs) == 2**3 - 1

    def two(part, x):
        return (part.second.conv(part.first.conv(x)) + part.conv(x)) / 2

    inner = two(fractal.first, z)
    columns = [fractal.second.second.conv(fractal.second.first.conv(inner)), fractal.second.conv(inner)]
    expected = (columns[0] + columns[1] + fractal.conv(z)) / 3
    torch.testing.assert_close(fractal(z), expected)


def test_global_drop_path_keeps_one_column():
    fractal = Fractal(3, 3)
    z = torch.rand(1, 3, 6, 6)
    torch.testing.assert_close(fractal(z, column=3), fractal.conv(z))
    deepest = z
    for part in (fractal.first.first, fractal.first.second, fractal.second.first, fractal.second.second):
        deepest = part.conv(deepest)
    torch.testing.assert_close(fractal(z, column=1), deepest)
    middle = fractal.second.conv(fractal.first.conv(z))
    torch.testing.assert_close(fractal(z, column=2), middle)


def test_drop_path_is_for_training_only_and_seeded():
    block = FractalBlock(3, 3, 0.5)
    x = torch.rand(1, 3, 6, 6)
    torch.manual_seed(1)
    drawn = [block(x) for _ in range(8)]
    assert any(not torch.equal(drawn[0], d) for d in drawn)
    torch.manual_seed(1)
    assert all(torch.equal(block(x), d) for d in drawn)
    block.eval()
    assert torch.equal(block(x), block(x))


def test_every_join_keeps_an_input():
    block = FractalBlock(2, 3, 1.0)
    for _ in range(10):
        assert block(torch.rand(1, 2, 4, 4)).isfinite().all()
    assert DFRN((2, 2), channels=8, blocks=1, columns=2, drop_path=0.0)(torch.rand(1, 1, 4, 4)).shape[2] == 8


# --- SCRSR


def test_split_concat_block_keeps_one_half():
    block = SplitConcatBlock(6)
    nn.init.dirac_(block.mix.weight)
    nn.init.zeros_(block.mix.bias)
    x = torch.rand(1, 6, 5, 5)
    y = block(x) - x
    torch.testing.assert_close(y[:, :3], x[:, :3])
    torch.testing.assert_close(y[:, 3:], block.body(x[:, 3:]), rtol=0, atol=1e-6)


def test_scrsr_recursions_cost_no_parameters():
    few = SCRSR((2, 2), channels=8, width=12, outer=1, inner=1)
    many = SCRSR((2, 2), channels=8, width=12, outer=3, inner=4)
    assert parameters(few) == parameters(many)
    assert many.period == (2, 2)


@pytest.mark.parametrize("size", [(5, 8), (8, 5), (7, 7), (1, 3)])
def test_scrsr_takes_odd_sizes(size):
    assert SCRSR.compact((4, 1))(torch.rand(1, 1, *size)).shape == (1, 1, 4 * size[0], size[1])


# --- fast2d


@pytest.mark.parametrize("channels", [(8, 8), (5, 8)])
def test_folding_is_exact(channels):
    conv = RepConv(*channels)
    x = torch.randn(2, channels[0], 9, 7)
    torch.testing.assert_close(conv(x), conv.branches(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(conv.fold()(x), conv.branches(x), rtol=0, atol=1e-5)
    conv, x = conv.double(), x.double()
    torch.testing.assert_close(conv.fold()(x), conv.branches(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [(4, 1), (2, 2)])
def test_folded_network_is_plain_and_equal(scale, build):
    network = build("fast2d", scale)
    x = torch.rand(2, 1, 16, 20)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.02 * torch.randn_like(p))  # as if trained
    folded = network.fold()
    assert not any(isinstance(m, RepConv) for m in folded.modules())
    assert 60_000 <= parameters(folded) <= 200_000
    torch.testing.assert_close(folded(x), network(x), rtol=0, atol=1e-5)
    assert any(isinstance(m, RepConv) for m in network.modules())
    assert isinstance(folded, Fast2D) and parameters(folded.fold()) == parameters(folded)


@pytest.mark.parametrize(
    ("scale", "fine", "pack"),
    [((4, 1), 2, (1, 2)), ((4, 1), 4, (1, 4)), ((2, 2), 4, (2, 2)), ((3, 2), 4, (1, 2)), ((1, 2), 2, (2, 1))],
)
@pytest.mark.parametrize("size", [(6, 12), (5, 13), (1, 3)])
def test_packed_pixels_are_unpacked_where_they_were(scale, fine, pack, size):
    """From a head that passes the packed pixels on and a tail that repeats them: each pixel is where it was."""
    network = Fast2D(scale, channels=4, blocks=1, fine=fine)
    assert network.period == pack
    for p in network.parameters():
        p.data.zero_()
    for row, column in product(range(pack[0]), range(pack[1])):
        channel = row * pack[1] + column
        network.head.weight.data[channel, channel, 1, 1] = 1
        network.fuse.weight.data[channel, channel] = 20  # far from zero, where SiLU is the identity
        for r, c in product(range(scale[0]), range(scale[1])):
            at = (row * scale[0] + r) * pack[1] * scale[1] + column * scale[1] + c
            network.tail.weight.data[at, channel, 1, 1] = 1 / 20
    x = 1 + torch.rand(1, 1, *size)
    repeated = x.repeat_interleave(scale[0], 2).repeat_interleave(scale[1], 3)
    torch.testing.assert_close(network.residual(x), repeated, rtol=1e-5, atol=0)


@pytest.mark.parametrize("scale", [(4, 1), (2, 2)])
def test_a_packed_network_sees_no_further_than_its_halo_and_leaves_no_seam(scale):
    from medsr.networks.slices import run_tiled

    network = Fast2D(scale, channels=8, blocks=2, fine=4)
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    network = network.for_inference().eval()
    x = torch.rand(1, 1, 13, 131)
    with torch.no_grad():
        assert torch.equal(run_tiled(network, x, 22), run_tiled(network, x))
        far = x.clone()
        at, halo = 65, network.halo[1]
        far[..., : at - halo] = 0
        far[..., at + halo + 1 :] = 0
        columns = slice(at * scale[1], (at + 1) * scale[1])
        torch.testing.assert_close(network(far)[..., columns], network(x)[..., columns], rtol=0, atol=1e-6)
