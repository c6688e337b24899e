"""Losses against their formulas, targets against known distortions, objectives by one step of each."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from medsr.errors import UsageError
from medsr.networks import NETWORKS
from medsr.networks.eusr_critics import Discriminator, Opinion, ScorePredictor
from medsr.networks.gcn import MODES, Collaborator
from medsr.networks.patchgan import patch_discriminator
from medsr.training.losses import (
    AdversarialLoss,
    charbonnier,
    earth_mover,
    feature_distance,
    representation_loss,
    score_loss,
)
from medsr.training.objectives import (
    AdversarialObjective,
    Batch,
    EUSRObjective,
    GCNObjective,
    MultitaskObjective,
    PixelObjective,
)
from medsr.training.scores import (
    aesthetic_target,
    gmsd,
    noise_level,
    score_distribution,
    sharpness,
    subjective_target,
)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_charbonnier():
    x, y = torch.tensor([0.0, 3.0]), torch.tensor([0.0, 0.0])
    expected = (0.5 + math.sqrt(9 + 0.25)) / 2
    assert charbonnier(x, y, 0.5).item() == pytest.approx(expected, rel=1e-6)
    flat = torch.zeros(3, requires_grad=True)
    charbonnier(flat, torch.zeros(3)).backward()
    assert torch.equal(flat.grad, torch.zeros(3))


def test_feature_distance_moves_the_made_side_only():
    made, truth = torch.rand(2, 3, requires_grad=True), torch.rand(2, 3, requires_grad=True)
    loss = feature_distance([made, made], [truth, truth - 1])
    expected = ((made - truth) ** 2).mean() / 2 + ((made - truth + 1) ** 2).mean() / 2
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert made.grad.any() and truth.grad is None
    torch.testing.assert_close(
        feature_distance([3 * made], [3 * truth], "relative"), ((made - truth) ** 2).mean() / (truth**2).mean()
    )


def test_least_squares_game():
    game = AdversarialLoss("least_squares")
    real, fake = torch.tensor([[0.8], [1.2]]), torch.tensor([[0.1], [-0.3]])
    assert game.critic(real, fake).item() == pytest.approx(((0.04 + 0.04) / 2 + (0.01 + 0.09) / 2) / 2, rel=1e-5)
    assert game.generator(real, fake).item() == pytest.approx((0.81 + 1.69) / 2, rel=1e-5)


def test_bce_game():
    game = AdversarialLoss("bce")
    real, fake = torch.tensor([[2.0]]), torch.tensor([[-1.0]])
    expected = (F.softplus(torch.tensor(-2.0)) + F.softplus(torch.tensor(-1.0))) / 2
    assert game.critic(real, fake).item() == pytest.approx(expected.item(), rel=1e-5)
    assert game.generator(real, fake).item() == pytest.approx(F.softplus(torch.tensor(1.0)).item(), rel=1e-5)


def test_relativistic_game_depends_on_the_difference_alone():
    game = AdversarialLoss("relativistic")
    real, fake = torch.randn(4, 1), torch.randn(4, 1)
    torch.testing.assert_close(game.critic(real, fake), game.critic(real + 5, fake + 5))
    torch.testing.assert_close(game.critic(real, fake), game.generator(fake, real))
    up, down = real - fake.mean(), fake - real.mean()
    torch.testing.assert_close(game.critic(real, fake), (F.softplus(-up).mean() + F.softplus(down).mean()) / 2)


def test_earth_mover_of_two_certainties():
    sure = torch.eye(10)
    assert earth_mover(sure[:3], sure[:3]).item() == pytest.approx(0, abs=1e-5)
    # k bins apart: the cumulative sums differ by one in k of ten places
    assert earth_mover(sure[:1], sure[4:5]).item() == pytest.approx(math.sqrt(0.4), rel=1e-5)


def test_score_loss_has_a_margin():
    def opinion(score):
        return Opinion(torch.eye(10)[score - 1 : score], torch.full((1, 4), float(score)))

    assert score_loss(opinion(5), opinion(5)).item() == pytest.approx(5 - 0.8 * 5)
    assert score_loss(opinion(9), opinion(5)).item() == 0
    assert representation_loss(opinion(3), opinion(5)).item() == pytest.approx(4)


def _slice():
    """Something like a slice: smooth regions with sharp edges, (1, 1, 96, 96)."""
    axis = torch.linspace(-1, 1, 96)
    x, y = axis[:, None], axis[None]
    image = 0.4 * (x**2 / 0.8 + y**2 / 0.6 < 1).float() + 0.3 * ((x - 0.1) ** 2 + y**2 < 0.2).float()
    image += 0.25 * ((x + 0.4) ** 2 + (y - 0.3) ** 2 < 0.02).float() + 0.03 * torch.sin(9 * x) * torch.cos(7 * y)
    return image[None, None]


def _blur(image, times):
    for _ in range(times):
        image = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return image


def _score(distribution):
    return (distribution @ torch.arange(1.0, 11.0)).item()


def test_a_distribution_has_its_score():
    distribution = score_distribution(torch.tensor([3.0, 5.5, 8.0]))
    torch.testing.assert_close(distribution.sum(1), torch.ones(3))
    torch.testing.assert_close(
        distribution @ torch.arange(1.0, 11.0), torch.tensor([3.0, 5.5, 8.0]), atol=0.1, rtol=0
    )


def test_gmsd_of_equal_and_of_unlike_images():
    image = _slice()
    assert gmsd(image, image).item() == pytest.approx(0, abs=1e-6)
    assert gmsd(image, image + 0.2).item() == pytest.approx(0, abs=1e-6)  # gradients alone count
    c = 170 / 255**2
    # half of the picture a ramp against flat ground: similarity 1 on one half, c / (g² + c) on the other
    ramp = torch.zeros(1, 1, 64, 64)
    ramp[..., 32:] = torch.arange(32.0) * 0.05
    value = gmsd(ramp, torch.zeros_like(ramp)).item()
    similarity = c / ((0.2) ** 2 + c)  # 0.05 a pixel is 0.1 a pixel after the reduction, 0.2 by Prewitt
    assert value == pytest.approx((1 - similarity) / 2, rel=0.05)


@pytest.mark.parametrize("index", ["gmsd", "ssim"])
def test_the_subjective_target_falls_with_the_distortion(index):
    image = _slice()
    blurred = [_score(subjective_target(_blur(image, n), image, index)) for n in (0, 1, 3, 8)]
    assert blurred[0] > 9 and blurred == sorted(blurred, reverse=True) and blurred[0] - blurred[-1] > 1.5
    noisy = [_score(subjective_target(image + s * torch.randn_like(image), image, index)) for s in (0, 0.03, 0.1)]
    assert noisy == sorted(noisy, reverse=True)


def test_the_aesthetic_target_wants_sharp_and_clean():
    image = _slice()
    blurred = [_score(aesthetic_target(_blur(image, n))) for n in (0, 1, 3, 8)]
    assert blurred == sorted(blurred, reverse=True) and blurred[0] - blurred[-1] > 1
    noisy = [_score(aesthetic_target(image + s * torch.randn_like(image))) for s in (0, 0.05, 0.15)]
    assert noisy == sorted(noisy, reverse=True) and noisy[0] - noisy[-1] > 1
    assert torch.isfinite(aesthetic_target(torch.zeros(2, 1, 32, 32))).all()


def test_noise_level_is_that_of_the_noise():
    ramp = torch.linspace(0, 1, 200).expand(1, 1, 200, 200)
    noisy = ramp + 0.05 * torch.randn_like(ramp)
    assert noise_level(noisy).item() * noisy.std().item() == pytest.approx(0.05, rel=0.05)
    assert noise_level(ramp).item() == pytest.approx(0, abs=1e-4)


def test_sharpness_is_within_its_range():
    assert sharpness(torch.zeros(1, 1, 20, 20)).item() == 0
    checks = (torch.arange(40)[:, None] + torch.arange(40)) % 2
    assert sharpness(checks[None, None].float()).item() > 0.85
    ramp = torch.arange(200.0).expand(1, 1, 200, 200) + torch.arange(200.0)[:, None]
    assert sharpness(ramp).item() < 0.05


# --- objectives


def _batch(network, labels=False):
    """A slice and its 2 x 2 means."""
    high = _slice()[..., :64, :64].repeat(2, 1, 1, 1)
    # no flat ground, on which an absolute error has kinks that a step jumps over
    high = high + 0.2 * torch.rand(high.shape, generator=torch.Generator().manual_seed(4))
    low = F.avg_pool2d(high, network.scale).repeat(1, network.slices, 1, 1)
    return Batch(low, high, (high[:, 0] > 0.3).long() if labels else None)


def _objectives():
    yield "pixel", "drudn", PixelObjective()
    yield "charbonnier", "fast2d", PixelObjective(epsilon=1e-3)
    for mode in MODES:
        yield f"gcn {mode}", "gcn", GCNObjective(Collaborator(mode, 4))
    yield "multitask", "multitask", MultitaskObjective()
    yield "udgan", "udgan", AdversarialObjective(patch_discriminator(4), Collaborator("disjoint", 4))
    yield "mdcn", "mdcn", AdversarialObjective(patch_discriminator(4), Collaborator("disjoint", 4), "relativistic")
    yield (
        "eusr",
        "eusr",
        EUSRObjective(Discriminator.compact((64, 64)), ScorePredictor.compact(), ScorePredictor.compact()),
    )


@pytest.mark.parametrize("which", range(10))
def test_one_step_lowers_each_objective(which):
    _, name, objective = list(_objectives())[which]
    network = NETWORKS[name].build((2, 2), seed=1)
    network.eval()  # drop-path rests
    batch = _batch(network, labels=name == "multitask")
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    before = objective.generator(network, batch)
    assert before.loss.item() == pytest.approx(sum(t.item() for t in before.terms.values()), rel=1e-5)
    before.loss.backward()
    assert all(p.grad is None for p in objective.parameters())  # the generator's step moves the generator alone
    optimiser.step()
    after = objective.generator(network, batch)
    assert after.loss.item() < before.loss.item()


@pytest.mark.parametrize("which", range(10))
def test_one_step_lowers_each_critics_loss(which):
    _, name, objective = list(_objectives())[which]
    network = NETWORKS[name].build((2, 2), seed=1).eval()
    batch = _batch(network, labels=name == "multitask")
    made = objective.generator(network, batch).made
    torch.manual_seed(2)
    loss = objective.critic(batch, made)
    if loss is None:
        assert objective.critic_parameters() == []
        return
    loss.backward()
    assert all(p.grad is None for p in network.parameters())
    assert all(p.grad is not None for p in objective.critic_parameters())
    torch.optim.SGD(objective.critic_parameters(), lr=1e-3).step()
    torch.manual_seed(2)
    assert objective.critic(batch, made).item() < loss.item()


def test_the_paper_weights_of_4pp():
    objective = EUSRObjective(Discriminator.compact((64, 64)), ScorePredictor.compact(), ScorePredictor.compact())
    network = NETWORKS["eusr"].build((2, 2))
    batch = _batch(network)
    outcome = objective.generator(network, batch)
    assert outcome.made.shape[0] == 3 * batch.high.shape[0]
    errors = [F.l1_loss(image, batch.high) for image in network.forward_passes(batch.low)]
    torch.testing.assert_close(outcome.terms["pixel"], 0.05 * 255 * torch.stack(errors).mean())
    assert set(outcome.terms) == {
        "pixel",
        "adversarial",
        "subjective score",
        "subjective representation",
        "aesthetic score",
        "aesthetic representation",
    }


def test_a_predictor_learns_its_target():
    predictor = ScorePredictor.compact()
    image = _slice()
    images = torch.cat([_blur(image, n) for n in (0, 1, 3, 8)])
    target = subjective_target(images, image.repeat(4, 1, 1, 1))
    optimiser = torch.optim.Adam(predictor.parameters(), 2e-3)
    losses = []
    for _ in range(25):
        loss = earth_mover(predictor(images).distribution, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_objectives_refuse_other_networks():
    drudn = NETWORKS["drudn"].build((2, 2))
    with pytest.raises(UsageError, match="multitask"):
        MultitaskObjective().generator(drudn, _batch(drudn, labels=True))
    multitask = NETWORKS["multitask"].build((2, 2))
    with pytest.raises(UsageError, match="labels"):
        MultitaskObjective().generator(multitask, _batch(multitask))
    critics = nn.Identity(), nn.Identity(), nn.Identity()
    with pytest.raises(UsageError, match="EUSR"):
        EUSRObjective(*critics).generator(drudn, _batch(drudn))
