"""From a method's name to the method, by its card."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from medsr.errors import UsageError
from medsr.methods.base import Estimate, Method
from medsr.models.card import card, cards
from medsr.models.slices import model


def load_method(name: str, using: str | None = None) -> Method:
    """The callable behind the card `name`, `using` a model where one is chosen.

    Raises
    ------
    UsageError
        where there is no such method, or it has no models to choose from.
    """
    chosen = card(name)
    module, _, attribute = chosen.entry.partition(":")
    function: Callable[..., Estimate] = getattr(import_module(module), attribute)
    if using is None:
        return function
    check_model(name, using)
    return partial(function, model=using)


def check_model(method: str, name: str) -> None:
    """Raises a UsageError where the model `name` is not one that `method` takes."""
    if not card(method).models:
        others = ", ".join(n for n, c in cards().items() if c.models)
        raise UsageError(
            f"{method} has no models to choose from", got=repr(name), hint=f"choose --method {others}"
        )
    model(name)
