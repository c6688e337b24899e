"""``medsr evaluate``: figures of merit of images against a reference."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from medsr.errors import UsageError


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="PSNR, SSIM, NRMSE, BC and HFEN against a reference",
        description="Compares images with a reference on the same grid; range, mask and border stand with the "
        "figures. Nothing is resampled or rescaled.",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("-r", "--reference", required=True, help="the truth, on the same grid")
    parser.add_argument(
        "--mask",
        default="foreground",
        help="foreground (default: the reference above 5 %% of its 99.5th percentile),"
        " all, or an image whose non-zero voxels count",
    )
    parser.add_argument(
        "--range", default="p99.5", dest="peak", help="peak of PSNR and SSIM: p99.5 (default), max, or a number"
    )
    parser.add_argument("--border", type=_count, default=0, help="voxels left out at both ends of each axis")
    parser.add_argument("--central", type=_count, help="only the central box of this many voxels counts")
    parser.add_argument("--format", choices=("text", "markdown", "json"), default="text")
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Prints the table."""
    peak = arguments.peak if arguments.peak in ("p99.5", "max") else _peak(arguments.peak)
    from medsr.evaluation.image import evaluate
    from medsr.evaluation.table import render
    from medsr.io import open_volume

    reference = open_volume(arguments.reference)
    mask = arguments.mask if arguments.mask in ("foreground", "all") else open_volume(arguments.mask)
    rows = [
        (
            Path(name).name,
            evaluate(
                open_volume(name),
                reference,
                mask=mask,
                peak=peak,
                border=arguments.border,
                central=arguments.central,
            ),
        )
        for name in arguments.images
    ]
    sys.stdout.write(render(rows, arguments.format))
    return 0


def _peak(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError("--range is not one", got=repr(text), hint="give p99.5, max or a number") from None


def _count(text: str) -> int:
    if not text.isdigit():
        raise UsageError("not a number of voxels", got=repr(text), hint="give 0 or more")
    return int(text)
