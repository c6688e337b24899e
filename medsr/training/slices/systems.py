"""From a recipe to what is trained: the network and its objective, stage by stage."""

from __future__ import annotations

from torch import nn

from medsr.errors import UsageError
from medsr.networks import architecture
from medsr.networks.base import SliceNetwork
from medsr.networks.eusr_critics import Discriminator, ScorePredictor
from medsr.networks.gcn import Collaborator
from medsr.networks.patchgan import patch_discriminator
from medsr.training.losses import Adversarial
from medsr.training.objectives import (
    AdversarialObjective,
    EUSRObjective,
    GCNObjective,
    MultitaskObjective,
    Objective,
    PixelObjective,
)
from medsr.training.slices.recipe import SliceRecipe

CRITIC_CHANNELS = 16
"""Of the first level of extractors and patch discriminators."""
CHARBONNIER = 1e-3
"""Error below which Charbonnier's counts by its square, where a recipe does not say."""


def build_network(recipe: SliceRecipe) -> SliceNetwork:
    """The network of a recipe, freshly initialised from its seed."""
    return architecture(recipe.network).build(recipe.scale, recipe.configuration, recipe.slices, seed=recipe.seed)


def build_objective(recipe: SliceRecipe) -> Objective:
    """What the recipe's stage minimises.

    The pixel stage is the mean absolute error (Charbonnier for udGAN and the own network), for the multitask
    system with the cross-entropy of its tissue classes. The final stage of the perceptual four:

    gcn : features of a collaborator in `options.mode`.
    eusr : 4PP-EUSR's six terms over its passes.
    udgan, mdcn : pixels, features and a game; MDCN's is the relativistic one.

    Options are the keyword arguments of the objective (its weights), and `mode` for GCN.

    Raises
    ------
    UsageError
        where the network has no such stage, or an option is not one.
    """
    options = dict(recipe.options)
    try:
        if recipe.stage == "pixel":
            if recipe.network == "multitask" and options.get("segmentation", 1) != 0:
                return MultitaskObjective(**options)
            options.pop("segmentation", None)
            epsilon = CHARBONNIER if recipe.network in ("udgan", "fast2d") else 0.0
            return PixelObjective(**{"epsilon": epsilon, **options})
        return _final(recipe, options)
    except TypeError as error:
        raise UsageError(f"an option of {recipe.name} is not one", got=str(error)) from None


def _final(recipe: SliceRecipe, options: dict[str, object]) -> Objective:
    if recipe.network == "gcn":
        mode = options.pop("mode", "joint")
        return GCNObjective(Collaborator(mode, CRITIC_CHANNELS), **options)  # type: ignore[arg-type]
    if recipe.network == "eusr":
        discriminator = Discriminator.compact(recipe.fine)
        return EUSRObjective(discriminator, ScorePredictor.compact(), ScorePredictor.compact(), **options)  # type: ignore[arg-type]
    if recipe.network in ("udgan", "mdcn"):
        kind: Adversarial = "relativistic" if recipe.network == "mdcn" else "least_squares"
        return AdversarialObjective(
            patch_discriminator(CRITIC_CHANNELS),
            Collaborator("disjoint", CRITIC_CHANNELS),
            kind,
            **options,  # type: ignore[arg-type]
        )
    raise UsageError(f"{recipe.network} has no final stage", rule="gcn, eusr, udgan and mdcn have one")


def needs_tissues(objective: Objective) -> bool:
    """Whether the objective wants tissue classes."""
    return isinstance(objective, MultitaskObjective)


def prepared_modules(objective: Objective) -> dict[str, nn.Module]:
    """What has to be trained before the objective means something: fixed extractors and score predictors."""
    if isinstance(objective, (GCNObjective, AdversarialObjective)) and objective.collaborator.autoencoder:
        return {"autoencoder": objective.collaborator.autoencoder}
    if isinstance(objective, EUSRObjective):
        return dict(objective.predictors.items())
    return {}
