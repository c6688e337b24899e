"""From a method's name to the method, by its card."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from medsr.errors import UsageError
from medsr.methods.base import Estimate, Method, SeriesMethod
from medsr.models.card import AUTO, card, cards, chosen_card
from medsr.models.slices import model


def load_method(name: str, using: str | None = None, *, fast: bool = False) -> Method:
    """The callable behind the card `name` of an image method, `using` a model where one is chosen.

    Raises
    ------
    UsageError
        where there is no such method, it has no models to choose from, or no `fast` form.
    """
    function: Callable[..., Estimate] = _load(name, "image")
    if using is not None:
        check_model(name, using)
        function = partial(function, model=using)
    if fast:
        check_fast(name)
        function = partial(function, fast=True)
    return function


def load_series_method(name: str) -> SeriesMethod:
    """The callable behind the card `name` of a k-space method; a UsageError names the ones there are."""
    method: SeriesMethod = _load(name, "kspace")
    return method


def _load(name: str, kind: str) -> Any:
    module, _, attribute = chosen_card(name, kind).entry.partition(":")
    return getattr(import_module(module), attribute)


def check_fast(method: str) -> None:
    """Raises a UsageError where `method` has no faster form."""
    if not chosen_card(method, "image").fast:
        others = ", ".join(n for n, c in cards().items() if c.fast)
        raise UsageError(f"{method} has no faster form", hint=f"leave --fast out, or choose --method {others}")


def check_model(method: str, name: str) -> None:
    """Raises a UsageError where the model `name` is not one that `method` takes."""
    if method == AUTO or not card(method).models:
        others = ", ".join(n for n, c in cards().items() if c.models)
        raise UsageError(
            f"{method} has no models to choose from", got=repr(name), hint=f"choose --method {others}"
        )
    model(name)
