"""``medsr models``: the cards."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from medsr.cli.streams import write

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
        write(json.dumps([dataclasses.asdict(c) for c in chosen.values()], indent=2) + "\n")
    elif arguments.name is None:
        show({name: c.summary for name, c in chosen.items()})
    else:
        for c in chosen.values():
            show(dataclasses.asdict(c) | {"promise": _promise(c.promise.exact, c.promise.noisy)})
    return 0


def _promise(exact: float | None, noisy: float | None) -> list[str]:
    """What a card promises, in words."""
    said = [] if exact is None else [f"without noise, ‖A x - y‖ at most {exact:g} ‖y‖"]
    return [*said, *([] if noisy is None else [f"with noise σ, ‖A x - y‖ at most {noisy:g} σ √N"])]
