"""From a method's name to the method, by its card."""

from __future__ import annotations

from importlib import import_module

from medsr.methods.base import Method
from medsr.models.card import card


def load_method(name: str) -> Method:
    """The callable behind the card `name`; a UsageError names the ones there are."""
    module, _, attribute = card(name).entry.partition(":")
    method: Method = getattr(import_module(module), attribute)
    return method
