"""``medsr train``: weights from a recipe."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from medsr.cli.streams import say
from medsr.errors import InputError, OutputError, UsageError
from medsr.job import parse_count, parse_float

EXAMPLES = """\
examples:
  medsr train --list                                         the recipes that medsr ships
  medsr train drudn-through4 --data DATA -o runs/drudn       a 2D system at through-plane x4
  medsr train drudn-through4 --data DATA -o runs/drudn --resume --seconds 600
  medsr train gcn-through4-final --start runs/gcn/gcn-through4.safetensors --data DATA -o runs/gcn-final
  medsr train my.toml --data DATA -o runs/mine --seed 2      a recipe of your own

DATA is a folder with the files that the recipe's [[source]] tables name; data_manifests/ says where they are from.
OUT gets the weights (safetensors), the log (log.json), its curves (curves.svg) and a checkpoint to resume from.
"""


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "train",
        help="weights from a recipe",
        description="Trains a network as a recipe says. A run that was stopped goes on with --resume, "
        "as if it had not been.",
        epilog=EXAMPLES,
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="the name of a shipped recipe, or a TOML file")
    parser.add_argument("--list", action="store_true", help="list the shipped recipes")
    parser.add_argument("--data", metavar="FOLDER", help="the folder of the training data")
    parser.add_argument("-o", "--output", metavar="OUT", help="a folder, made if missing")
    parser.add_argument("--steps", metavar="N", help="train so many steps, not the recipe's number")
    parser.add_argument("--seconds", metavar="S", help="stop after so many seconds, checkpoint written")
    parser.add_argument("--seed", metavar="N", help="of the weights and the draws, not the recipe's")
    parser.add_argument(
        "--start",
        metavar="WEIGHTS",
        help="safetensors that the run starts from (2D systems, 3D network, spiral-fmri-dc); of a 2D "
        "system, the checkpoint of a run too",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        metavar="D",
        help="what computes, cpu or cuda (2D systems, spiral fMRI); cpu if not given",
    )
    parser.add_argument(
        "--workers", default="1", metavar="N", help="processes that simulate runs (spiral fMRI); 1 if not given"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT")
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Trains."""
    from medsr.training.slices.recipe import read_recipe, shipped_recipes

    if arguments.list:
        for name in shipped_recipes():
            say(name)
        return 0
    if not (arguments.recipe and arguments.data and arguments.output):
        raise UsageError(
            "RECIPE, --data and -o are needed", hint="see medsr train --help; --list lists the shipped recipes"
        )
    changes: dict[str, Any] = {}
    if arguments.steps is not None:
        changes["steps"] = parse_count("--steps", arguments.steps, 1)
    if arguments.seed is not None:
        changes["seed"] = parse_count("--seed", arguments.seed)
    workers = parse_count("--workers", arguments.workers, 1)
    seconds = math.inf if arguments.seconds is None else parse_float(arguments.seconds)
    if not seconds > 0:
        raise UsageError("--seconds is not a time", got=repr(arguments.seconds), hint="give seconds above 0")
    data, out = Path(arguments.data), Path(arguments.output)
    if not data.is_dir():
        raise InputError(f"{data}: not a folder", rule="--data is the folder of the training data")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: not a folder", rule="-o is a folder")
    if (out / "checkpoint.safetensors").exists() and not arguments.resume:
        raise OutputError(f"{out}: has a checkpoint", hint="go on from it with --resume, or choose another folder")
    check_device(arguments.device)
    table = read_recipe(arguments.recipe)
    if table.get("kind") == "slices":
        return _slices(arguments, table, changes, seconds)
    if arguments.device != "cpu" and table.get("kind") != "spiral":
        raise UsageError(
            f"--device {arguments.device} is for the 2D systems and spiral fMRI", got=arguments.recipe
        )
    startable = table.get("kind") == "consensus" or table.get("method") == "spiral-fmri-dc"
    if arguments.start is not None and not startable:
        raise UsageError("--start is for the 2D systems, the 3D network and spiral-fmri-dc", got=arguments.recipe)
    return _volumes(arguments, table, changes, seconds, workers)


def check_device(name: str) -> None:
    """A UsageError where this torch cannot compute there."""
    import torch

    if name not in ("cpu", "cuda"):
        raise UsageError("no such device", got=f"--device {name}", rule="cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("torch finds no CUDA device", hint="leave --device out")


def _volumes(
    arguments: argparse.Namespace, table: dict[str, Any], changes: dict[str, Any], seconds: float, workers: int
) -> int:
    data, out = Path(arguments.data), Path(arguments.output)
    if table.get("kind") == "spiral":
        return _spiral(arguments, table, changes, seconds, workers)
    if table.get("kind") == "srcnn3d":
        from medsr.training import srcnn3d

        recipe = replace(srcnn3d.load_srcnn3d_recipe(arguments.recipe), **changes)
        srcnn3d.train(recipe, data, out, say, seconds)
        return 0
    from medsr.training import consensus
    from medsr.training.recipe import load_recipe

    if arguments.start is not None:
        changes["start"] = arguments.start
    consensus.train(replace(load_recipe(arguments.recipe), **changes), data, out, say, seconds)
    return 0


def _slices(arguments: argparse.Namespace, table: dict[str, Any], changes: dict[str, Any], seconds: float) -> int:
    from medsr.training.slices.checkpoint import starting_weights
    from medsr.training.slices.loop import train
    from medsr.training.slices.recipe import slice_recipe

    recipe = replace(slice_recipe(arguments.recipe, table), **changes)
    start = None if arguments.start is None else starting_weights(Path(arguments.start))
    begun = arguments.resume and (Path(arguments.output) / "checkpoint.safetensors").exists()
    if start is None and recipe.stage == "final" and not begun:
        raise UsageError(
            "a final stage starts from the weights of the pixel stage", hint="give them with --start WEIGHTS"
        )
    train(
        recipe,
        Path(arguments.data),
        Path(arguments.output),
        say,
        start=start,
        most_seconds=seconds,
        resume=arguments.resume,
        device=arguments.device,
    )
    return 0


def _spiral(
    arguments: argparse.Namespace, table: dict[str, Any], changes: dict[str, Any], seconds: float, workers: int
) -> int:
    from medsr.models.tensors import read_tensors
    from medsr.training.spiral import deblur, shared_frames, unrolled
    from medsr.training.spiral.recipe import spiral_recipe

    recipe = replace(spiral_recipe(arguments.recipe, table), **changes)
    trainers: dict[str, Callable[..., None]] = {
        "spiral-fmri": shared_frames.train,
        "spiral-fmri-dc": unrolled.train,
        "deblur": deblur.train,
    }
    how: dict[str, Any] = {"device": arguments.device, "workers": workers}
    if arguments.start is not None:
        how["start"] = read_tensors(Path(arguments.start))[0]
    trainers[recipe.method](recipe, Path(arguments.data), Path(arguments.output), say, seconds, **how)
    return 0
