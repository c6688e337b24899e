"""What each 2D system minimises: the generator's terms and, where one learns beside it, the critic's loss.

An objective is asked twice a step: `generator` for the weighted terms of the network, `critic` for what is
minimised over `critic_parameters`. Weights named as a paper's are the paper's; the others are ours.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medsr.errors import UsageError
from medsr.networks.base import SliceNetwork
from medsr.networks.eusr import EUSR
from medsr.networks.gcn import Collaborator
from medsr.networks.multitask import MultitaskSR
from medsr.training.losses import (
    Adversarial,
    AdversarialLoss,
    charbonnier,
    feature_distance,
    representation_loss,
    score_loss,
)


@dataclass(frozen=True)
class Batch:
    """A training batch.

    low : (B, slices, H, W).
    high : (B, 1, H sh, W sw).
    labels : (B, H sh, W sw) int64 tissue classes, for the multitask system; -100 where there is none.
    finish : what becomes of an image (B n, 1, H sh, W sw) before it is judged: the projection onto the data, so
        that a network learns only what the scan leaves open. Ours; no paper has it.
    """

    low: Tensor
    high: Tensor
    labels: Tensor | None = None
    finish: Callable[[Tensor], Tensor] = lambda image: image


@dataclass(frozen=True)
class Outcome:
    """What the generator made of a batch and what that costs.

    made : (B n, 1, H sh, W sw); n images for each of the batch where there are several passes.
    terms : weighted losses by name; their sum is minimised.
    """

    made: Tensor
    terms: dict[str, Tensor]

    @property
    def loss(self) -> Tensor:
        """The sum of the terms."""
        return torch.stack(list(self.terms.values())).sum()


class Objective(nn.Module, abc.ABC):
    """The losses of one system; modules that learn with the generator, or judge it, are its submodules."""

    @abc.abstractmethod
    def generator(self, network: SliceNetwork, batch: Batch) -> Outcome:
        """The network's terms; gradients reach the network alone."""

    def critic(self, batch: Batch, made: Tensor) -> Tensor | None:
        """The loss of what learns beside the generator, None where nothing does."""
        return None

    def critic_parameters(self) -> list[nn.Parameter]:
        """What `critic` is minimised over."""
        return []


class PixelObjective(Objective):
    """Mean absolute error, or Charbonnier: the pixel-loss stage of every system, and all of some.

    Parameters
    ----------
    epsilon : of Charbonnier, below which an error counts by its square; 0 for the mean absolute error.
    passes : whether all of EUSR's passes train, or the straight one alone (ours).
    """

    def __init__(self, epsilon: float = 0.0, *, passes: bool = False) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.passes = passes

    def generator(self, network: SliceNetwork, batch: Batch) -> Outcome:
        made, high = _made(network, batch, every_pass=self.passes)
        distance = charbonnier(made, high, self.epsilon) if self.epsilon else F.l1_loss(made, high)
        return Outcome(made, {"pixel": distance})


class GCNObjective(Objective):
    """GCN: mean absolute error and ``w ‖Φ(made) - Φ(truth)‖²``; the collaborator's own loss where it learns.

    Ours: the weights, and the second term over ``‖Φ(truth)‖²``, level by level, so that w means the same for
    pixels, for an extractor's features and for a discriminator's.
    """

    def __init__(self, collaborator: Collaborator, pixel: float = 1.0, feature: float = 1.0) -> None:
        super().__init__()
        self.collaborator = collaborator
        self.weights = pixel, feature
        self.game = AdversarialLoss("least_squares")

    def generator(self, network: SliceNetwork, batch: Batch) -> Outcome:
        made = batch.finish(network(batch.low))
        with frozen(self.collaborator):
            features = self.collaborator.features(made)
            distance = feature_distance(features, self.collaborator.features(batch.high), "relative")
        pixel, feature = self.weights
        return Outcome(made, {"pixel": pixel * F.l1_loss(made, batch.high), "feature": feature * distance})

    def critic(self, batch: Batch, made: Tensor) -> Tensor | None:
        if not self.collaborator.learns_with_generator:
            return None
        return self.collaborator.own_loss(batch.high, made, self.game.critic)

    def critic_parameters(self) -> list[nn.Parameter]:
        return list(self.collaborator.parameters()) if self.collaborator.learns_with_generator else []


class MultitaskObjective(Objective):
    """Mean absolute error of the image and cross-entropy of the tissue classes (the weight is ours)."""

    def __init__(self, segmentation: float = 0.01) -> None:
        super().__init__()
        self.weight = segmentation

    def generator(self, network: SliceNetwork, batch: Batch) -> Outcome:
        if not isinstance(network, MultitaskSR) or batch.labels is None:
            raise UsageError("the multitask objective needs the multitask network and labels")
        image, logits = network.forward_tasks(batch.low)
        made = batch.finish(image)
        # a batch of heads has no tissue classes; its entropy is then zero, and its gradient too
        labelled = bool((batch.labels >= 0).any())
        entropy = F.cross_entropy(logits, batch.labels) if labelled else 0 * logits.mean()
        return Outcome(made, {"pixel": F.l1_loss(made, batch.high), "segmentation": self.weight * entropy})


class AdversarialObjective(Objective):
    """Charbonnier on pixels and on features, and an adversarial term: udGAN's, and MDCN's perceptual version.

    The weights 10, 1, 1e-5 and the least-squares game are those of udGAN's siblings (see `udgan`). Ours: the
    features are those of a collaborator trained on MR; MDCN's perceptual version uses the relativistic game.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        collaborator: Collaborator,
        kind: Adversarial = "least_squares",
        pixel: float = 10.0,
        feature: float = 1.0,
        adversarial: float = 1e-5,
    ) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.collaborator = collaborator
        self.game = AdversarialLoss(kind)
        self.weights = pixel, feature, adversarial

    def generator(self, network: SliceNetwork, batch: Batch) -> Outcome:
        made = batch.finish(network(batch.low))
        pixel, feature, adversarial = self.weights
        with frozen(self.discriminator, self.collaborator):
            features = self.collaborator.features(made)
            distance = feature_distance(features, self.collaborator.features(batch.high), "charbonnier")
            game = self.game.generator(self._judge(batch.high), self._judge(made))
        return Outcome(
            made,
            {
                "pixel": pixel * charbonnier(made, batch.high),
                "feature": feature * distance,
                "adversarial": adversarial * game,
            },
        )

    def critic(self, batch: Batch, made: Tensor) -> Tensor | None:
        return self.game.critic(self._judge(batch.high), self._judge(made.detach()))

    def critic_parameters(self) -> list[nn.Parameter]:
        return list(self.discriminator.parameters())

    def _judge(self, image: Tensor) -> Tensor:
        return self.discriminator(image)[-1]


class EUSRObjective(Objective):
    """4PP-EUSR: the mean over its passes of six terms.

    0.05 mean absolute error of images of 0 to 255 (these are of about 0 to 1, so 255 times as much), 0.1
    adversarial, and for each of the two predictors 0.01 score and 0.1 representation (all the paper's). The
    predictors are fixed.

    Parameters
    ----------
    discriminator : of images (B, 1, H, W) to logits (B, 1).
    subjective, aesthetic : score predictors.
    passes : whether all passes train, or the straight one alone: the control of what they are worth (ours).
    """

    def __init__(
        self,
        discriminator: nn.Module,
        subjective: nn.Module,
        aesthetic: nn.Module,
        *,
        pixel: float = 0.05 * 255,
        adversarial: float = 0.1,
        score: float = 0.01,
        representation: float = 0.1,
        passes: bool = True,
    ) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.predictors = nn.ModuleDict({"subjective": subjective, "aesthetic": aesthetic})
        self.game = AdversarialLoss("bce")
        self.weights = pixel, adversarial, score, representation
        self.passes = passes

    def generator(self, network: SliceNetwork, batch: Batch) -> Outcome:
        if not isinstance(network, EUSR):
            raise UsageError("the 4PP objective needs EUSR", got=type(network).__name__)
        made, high = _made(network, batch, every_pass=self.passes)
        pixel, adversarial, score, representation = self.weights
        terms = {"pixel": pixel * F.l1_loss(made, high)}
        with frozen(self.discriminator, self.predictors):
            fake = self.discriminator(made)
            terms["adversarial"] = adversarial * self.game.generator(fake, fake)
            for name, predictor in self.predictors.items():
                of_made, of_truth = predictor(made), predictor(high)
                terms[f"{name} score"] = score * score_loss(of_made, of_truth)
                terms[f"{name} representation"] = representation * representation_loss(of_made, of_truth)
        return Outcome(made, terms)

    def critic(self, batch: Batch, made: Tensor) -> Tensor | None:
        return self.game.critic(self.discriminator(batch.high), self.discriminator(made.detach()))

    def critic_parameters(self) -> list[nn.Parameter]:
        return list(self.discriminator.parameters())


def _made(network: SliceNetwork, batch: Batch, *, every_pass: bool) -> tuple[Tensor, Tensor]:
    """The finished images of one pass, or of all of EUSR's, and the truth as often.

    All passes have as many images, so the mean over their union is the mean over the passes.
    """
    if not every_pass:
        return batch.finish(network(batch.low)), batch.high
    if not isinstance(network, EUSR):
        raise UsageError("passes are EUSR's", got=type(network).__name__)
    images = network.forward_passes(batch.low)
    return batch.finish(torch.cat(images)), batch.high.repeat(len(images), 1, 1, 1)


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Gradients pass through the modules but do not reach their parameters."""
    parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)
