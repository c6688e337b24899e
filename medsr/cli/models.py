"""``medsr models``: the cards."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

EXAMPLES = """\
examples:
  medsr models               one line a method
  medsr models spline        all that its card says
  medsr models --json        all cards, for machines
"""


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "models",
        help="the methods there are, with their cards",
        description="The methods that `medsr reconstruct --method` knows, and what the card of each promises.",
        epilog=EXAMPLES,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="one method, in full")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Prints them."""
    from medsr.cli.rows import show
    from medsr.models.card import card, cards

    chosen = cards() if arguments.name is None else {arguments.name: card(arguments.name)}
    if arguments.json:
        print(json.dumps([dataclasses.asdict(c) for c in chosen.values()], indent=2))
    elif arguments.name is None:
        show({name: c.summary for name, c in chosen.items()})
    else:
        for c in chosen.values():
            show(dataclasses.asdict(c))
    return 0
