"""``medsr info``: what medsr reads in a file, and what `reconstruct` would do with it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser("info", help="what is read in a file, and what would be done with it")
    parser.add_argument("file", help="a scan")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Prints it."""
    from medsr.acquisition.slices import plan_acquisition
    from medsr.errors import UsageError
    from medsr.io import open_volume

    volume = open_volume(Path(arguments.file))
    grid = volume.grid
    facts: dict[str, Any] = {
        "file": arguments.file,
        "shape": list(grid.shape),
        "frames": volume.frames,
        "spacing_mm": [round(s, 6) for s in grid.spacing],
        "axes": axis_codes(grid.direction),
        "centre_mm": [round(float(c), 3) for c in grid.centre],
        "header": {k: v for k, v in asdict(volume.facts).items() if v is not None},
        "notes": list(volume.notes),
    }
    try:
        plan = plan_acquisition(volume)
        facts["reconstruct_would"] = [*plan.assumptions, f"give {plan.target.describe()}"]
    except UsageError as error:
        facts["reconstruct_would"] = [f"refuse: {error}"]
    if arguments.json:
        print(json.dumps(facts, indent=2))
    else:
        for key, value in facts.items():
            lines = value if isinstance(value, list) and value and isinstance(value[0], str) else [value]
            for i, line in enumerate(lines):
                print(f"{key.replace('_', ' ') if i == 0 else '':18} {line}")
    return 0


def axis_codes(direction: Any) -> str:
    """Where the axes of the file point, each to its nearest anatomical direction: "RAS"."""
    letters = ""
    for axis in range(3):
        column = direction[:, axis]
        world = int(abs(column).argmax())
        letters += ("RAS" if column[world] > 0 else "LPI")[world]
    return letters
