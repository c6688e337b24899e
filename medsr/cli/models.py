"""``medsr models``: the cards."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from medsr.cli.streams import write

if TYPE_CHECKING:
    from medsr.models.slices import Model

DEFAULT_FOR = {"image": " The default for images.", "kspace": " The default for raw data."}

EXAMPLES = """\
examples:
  medsr models               one line a method
  medsr models spline        all that its card says
  medsr models slicewise     a method that takes a trained network, with those that there are
  medsr models drudn         one of them: its paper, its weights, what it learned from
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
    parser.add_argument("name", nargs="?", metavar="NAME", help="one method or model, in full")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Prints them."""
    from medsr.cli.rows import show
    from medsr.models.card import card, cards
    from medsr.models.slices import models

    if arguments.name in models():
        about = dataclasses.asdict(models()[arguments.name])
        if arguments.json:
            write(json.dumps([about], indent=2) + "\n")
        else:
            show(about)
        return 0
    chosen = cards() if arguments.name is None else {arguments.name: card(arguments.name)}
    if arguments.json:
        write(json.dumps([dataclasses.asdict(c) for c in chosen.values()], indent=2) + "\n")
    elif arguments.name is None:
        show({name: f"{c.summary}{DEFAULT_FOR[c.kind] if c.default else ''}" for name, c in chosen.items()})
    else:
        for c in chosen.values():
            promise = _promise(c.promise.exact, c.promise.noisy)
            taken = {name: _weights(m) for name, m in models().items()} if c.models else None
            show(dataclasses.asdict(c) | {"promise": promise, "models": taken})
    return 0


def _weights(model: Model) -> list[str]:
    """What a model has weights for, in words."""
    said = []
    for one in model.weights:
        mode = f"through-plane x{one.scale[0]}" if one.scale[1] == 1 else f"in-plane x{one.scale[0]}"
        stage = "" if one.stage == "pixel" else ", trained for perception (--model " + model.name + "-final)"
        said.append(f"{mode}{stage}, {one.parameters / 1e6:.2f} M parameters, {one.patches} patches seen")
    return said


def _promise(exact: float | None, noisy: float | None) -> list[str]:
    """What a card promises, in words."""
    said = [] if exact is None else [f"without noise, ‖A x - y‖ at most {exact:g} ‖y‖"]
    return [*said, *([] if noisy is None else [f"with noise σ, ‖A x - y‖ at most {noisy:g} σ √N"])]
