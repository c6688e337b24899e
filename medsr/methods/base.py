"""What a method is: a function from a measurement to an estimate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from medsr.acquisition.slices import SliceAcquisition
    from medsr.acquisition.spiral import SpiralAcquisition

Progress = Callable[[float, str], None]
"""Called with the fraction done, in [0, 1], and the stage; raising stops the work."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a method returns.

    data : (x, y, z) float32 on the acquisition's fine grid, on the device of the measurement; of k-space
        (frames, *shape) complex64.
    uncertainty : half width of the interval that the card names, in the image's units; None where a method
        has no calibrated one.
    made_with : of a learned method: "model", "weights" (the file) and "weights_sha256".
    """

    data: Tensor
    uncertainty: Tensor | None = None
    made_with: dict[str, str] = field(default_factory=dict)


class Method(Protocol):
    """``method(y, acquisition, progress)``, `y` (x, y, z) float32 on the acquisition's measured grid."""

    def __call__(self, y: Tensor, acquisition: SliceAcquisition, progress: Progress) -> Estimate: ...


class SeriesMethod(Protocol):
    """``method(acquisition, progress)``: all frames of one slice of a k-space run."""

    def __call__(self, acquisition: SpiralAcquisition, progress: Progress) -> Estimate: ...


def no_progress(fraction: float, stage: str) -> None:
    """A progress callback that does nothing."""
