"""The best that is done here without learning: B-spline, then the projection onto the data."""

from __future__ import annotations

from torch import Tensor

from medsr.acquisition.slices import SliceAcquisition
from medsr.consistency.projection import Projection
from medsr.consistency.wiener import noise_model, wiener
from medsr.methods.base import Estimate, Progress
from medsr.methods.interpolation import interpolation_factors
from medsr.operators.modeproduct import mode_product, mode_product_by_rows


def spline(y: Tensor, acquisition: SliceAcquisition, progress: Progress) -> Estimate:
    """Interpolating cubic B-spline ``B``, then the projection, under the acquisition `A`.

    ``ŷ = W y`` is the measurement less its noise (`wiener`; ŷ = y without noise), and

        x = B ŷ + A⁺ (ŷ - A B ŷ),

    the image nearest to the spline's that explains ŷ. ``A B`` is a product of small matrices too, so the
    residual is computed on the measured grid and the fine grid is written once. The combination is ours.
    """
    progress(0.0, "noise")
    measured = y if acquisition.noise == 0 else wiener(y, noise_model(y, acquisition.noise))
    up = interpolation_factors(acquisition, 3, y)
    there_and_back = [
        None if a is None or b is None else a @ b for a, b in zip(acquisition.operator.factors(y), up, strict=True)
    ]
    residual = measured - mode_product(measured, there_and_back)
    filtered, v = Projection(acquisition.operator).filtered_modes(residual)
    return Estimate(mode_product_by_rows([(measured, up), (filtered, v)], progress))
