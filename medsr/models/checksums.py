"""Which weights a method may use, by their checksums. Read without torch."""

from __future__ import annotations

from medsr.models.card import card
from medsr.models.slices import models


def checksums(method: str) -> set[str]:
    """The sha256 of every file of weights on the card of `method`, or on those of the models that it takes."""
    chosen = card(method)
    found = {w.sha256 for w in chosen.weights.values()}
    return found | ({w.sha256 for m in models().values() for w in m.weights} if chosen.models else set())
