"""What a reconstructed run is judged by in training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medsr.training.spiral.runs import TrainingRun


@dataclass(frozen=True)
class Weights:
    """bias : of the squared relative error of the mean response. kspace : of the misfit over the noise."""

    bias: float = 25.0
    kspace: float = 0.1


def temporal_error(x: Tensor, run: TrainingRun) -> Tensor:
    """Squared error of the deviations from the temporal means over those of the truth, in tissue."""
    found, there = x[:, run.tissue], run.truth[:, run.tissue]
    found, there = found - found.mean(0), there - there.mean(0)
    return (found - there).square().sum() / there.square().sum()


def response_error(x: Tensor, run: TrainingRun) -> Tensor:
    """Mean response of active voxels over the true one, less 1; 0 for a run without a task."""
    if run.estimator is None:
        return x.new_zeros(())
    found = run.estimator @ x[:, run.active]
    return found.mean() / (run.estimator @ run.truth[:, run.active]).mean() - 1


def image_loss(x: Tensor, run: TrainingRun, weights: Weights) -> Tensor:
    """``log(temporal error) + w · (response error)²`` of magnitudes x (frames, x, y).

    The logarithm, so that an easy run counts as much as a hard one. The mean image is left out: no weight moves
    it. The second term is ours, against what image error alone rewards: a run without its response.
    """
    return torch.log(temporal_error(x, run)) + weights.bias * response_error(x, run).square()
