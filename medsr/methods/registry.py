"""From a method's name to the method, by its card."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from medsr.methods.base import Method, SeriesMethod
from medsr.models.card import chosen_card


def load_method(name: str) -> Method:
    """The callable behind the card `name` of an image method; a UsageError names the ones there are."""
    method: Method = _load(name, "image")
    return method


def load_series_method(name: str) -> SeriesMethod:
    """The same of a k-space method."""
    method: SeriesMethod = _load(name, "kspace")
    return method


def _load(name: str, kind: str) -> Any:
    module, _, attribute = chosen_card(name, kind).entry.partition(":")
    return getattr(import_module(module), attribute)
