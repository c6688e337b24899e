"""``medsr report``: the HTML report of a result, made again from its files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medsr.cli.streams import say

EXAMPLES = """\
examples:
  medsr report scan_desc-sr.nii.gz --force
  medsr report results/scan_desc-sr.nii.gz --scan scans/scan.nii.gz --picture before_after.png
"""


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "report",
        help="the HTML report of a result, made again from its files",
        description="Makes the HTML report of a result again, from the image, its maps, its sidecar and the scan.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "result", metavar="RESULT", help="a reconstructed image, its sidecar and residual beside it"
    )
    parser.add_argument("--scan", metavar="FILE", help="the scan it came from; default: beside it, by its sidecar")
    parser.add_argument("-o", "--output", metavar="HTML", help="default: beside the result")
    parser.add_argument("--picture", metavar="PNG", help="write scan and result side by side as a picture instead")
    parser.add_argument("--force", action="store_true", help="replace the report, or the picture, if it exists")
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    """Writes it."""
    from medsr.outputs import save_picture, save_report

    scan = Path(arguments.scan) if arguments.scan else None
    if arguments.picture:
        picture = save_picture(Path(arguments.result), scan, Path(arguments.picture), force=arguments.force)
        say(f"wrote {picture}")
        return 0
    output = Path(arguments.output) if arguments.output else None
    say(f"wrote {save_report(Path(arguments.result), scan, output, force=arguments.force)}")
    return 0
