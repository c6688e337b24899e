"""``medsr models``: the cards."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser("models", help="the methods there are, with their cards")
    parser.add_argument("name", nargs="?", help="one method, in full")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Prints them."""
    from medsr.models.card import card, cards

    chosen = [card(arguments.name)] if arguments.name else list(cards().values())
    if arguments.json:
        print(json.dumps([dataclasses.asdict(c) for c in chosen], indent=2))
    elif arguments.name:
        for key, value in dataclasses.asdict(chosen[0]).items():
            print(f"{key:12} {value}")
    else:
        width = max(len(c.name) for c in chosen)
        for c in chosen:
            print(f"{c.name:{width}}  {c.summary}")
    return 0
