"""``medsr evaluate``: figures of merit of images against a reference."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medsr.cli.streams import write
from medsr.errors import UsageError
from medsr.job import parse_count, parse_float

EXAMPLES = """\
examples:
  medsr evaluate result.nii.gz -r truth.nii.gz
  medsr evaluate a.nii.gz b.nii.gz -r truth.nii.gz --mask brain.nii.gz --format markdown
"""


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="PSNR, SSIM, NRMSE, BC and HFEN against a reference",
        description="Compares images with a reference on the same grid; range, mask and border stand with the "
        "figures. Nothing is resampled or rescaled.",
        epilog=EXAMPLES,
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="images to compare with the reference")
    parser.add_argument("-r", "--reference", metavar="FILE", required=True, help="the truth, on the same grid")
    parser.add_argument(
        "--mask",
        metavar="MASK",
        default="foreground",
        help="foreground (default: the reference above 5 %% of its 99.5th percentile),"
        " all, or an image whose non-zero voxels count",
    )
    parser.add_argument(
        "--range",
        metavar="PEAK",
        default="p99.5",
        dest="peak",
        help="peak of PSNR and SSIM: p99.5 (default), max, or a number",
    )
    parser.add_argument("--border", metavar="N", default="0", help="voxels left out at both ends of each axis")
    parser.add_argument("--central", metavar="N", help="only the central box of this many voxels an axis counts")
    parser.add_argument(
        "--format", choices=("text", "markdown", "json"), default="text", help="of the table; default: text"
    )
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Prints the table."""
    peak = arguments.peak if arguments.peak in ("p99.5", "max") else _peak(arguments.peak)
    border = parse_count("--border", arguments.border)
    central = None if arguments.central is None else parse_count("--central", arguments.central, least=1)
    from medsr.evaluation.image import evaluate
    from medsr.evaluation.table import render
    from medsr.io import open_volume

    reference = open_volume(arguments.reference)
    mask = (
        arguments.mask
        if arguments.mask in ("foreground", "all")
        else open_volume(arguments.mask, allow_constant=True)
    )
    names = [Path(name).name for name in arguments.images]
    rows = [
        (
            label if names.count(label) == 1 else name,
            evaluate(open_volume(name), reference, mask=mask, peak=peak, border=border, central=central),
        )
        for name, label in zip(arguments.images, names, strict=True)
    ]
    write(render(rows, arguments.format))
    return 0


def _peak(text: str) -> float:
    value = parse_float(text)
    if not 0 < value < float("inf"):
        raise UsageError("--range is not one", got=repr(text), hint="give p99.5, max or a number above 0")
    return value
