"""Whether a result keeps what its method's card promises."""

from __future__ import annotations

from collections.abc import Mapping

from medsr.models.card import Card
from medsr.result import Flag


def missed_promises(chosen: Card, figures: Mapping[str, float]) -> tuple[Flag, ...]:
    """A flag where the data residual is above what the card promises; none where it is kept or there is none."""
    noisy = figures.get("residual_over_noise")
    if noisy is None:
        bound, value, what = chosen.promise.exact, figures["residual_over_data"], "‖A x - y‖ / ‖y‖"
    else:
        bound, value, what = chosen.promise.noisy, noisy, "‖A x - y‖ / (σ √N)"
    if bound is None or value <= bound:
        return ()
    return (Flag("missed", f"{what} is {value:.3g}; the card of {chosen.name} promises at most {bound:g}"),)
