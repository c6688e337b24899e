"""``medsr reconstruct``: options straight from `Job`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from medsr.errors import MedsrError
from medsr.job import Job, options

if TYPE_CHECKING:
    from medsr.run import Listener

EXAMPLES = """\
examples:
  medsr reconstruct scan.nii.gz                     thick slices go to the in-plane spacing
  medsr reconstruct scan.nii.gz --spacing 1         1 mm along all axes, whatever the scan was
  medsr reconstruct scan.nii.gz -o out.nii.gz       the result and its companions under another name
  medsr reconstruct *.nii.gz -o results/            several; one that fails does not stop the rest
  medsr reconstruct scans/ -o results/ --skip-existing
                                                    a folder; after an interruption, what is left of it
  medsr reconstruct scan.nii.gz --slice-thickness 4 --psf z=boxcar --noise 0
                                                    what the header does not know, and no noise to allow for
  medsr reconstruct dicom/ --series 5 -o out/ --format dicom
                                                    a series of a DICOM folder, and a derived series of its study

Beside the image OUT.nii.gz come OUT_residual.nii.gz (what it leaves unexplained of the scan),
OUT_uncertainty.nii.gz (where the method says how sure it is), OUT.json (how it was made) and OUT.html (a report
for the browser). All of them appear, or none. With --format dicom OUT is a folder of the images, the maps,
sidecar.json and report.html, and is never replaced if it holds anything else. The exit code says how it went:
see `medsr --help`.
"""


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "reconstruct",
        help="a scan in, the image that was wanted out",
        description="Reconstructs scans on a finer grid, so that the result explains the scan.",
        epilog=EXAMPLES,
    )
    add_options(parser)
    parser.add_argument("--xml", action=Description, nargs=0, help="describe the options to 3D Slicer, and exit")
    parser.set_defaults(command=command)


def add_options(parser: Any, without: Sequence[str] = (), required: Sequence[str] = ()) -> None:
    """Adds the options of `Job`, and how much is said."""
    groups: dict[str, Any] = {}
    for field, option in options():
        if field.name in without:
            continue
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        group = groups[option.group]
        keywords: dict[str, Any] = {"help": option.help.replace("%", "%%")}
        if field.name == "inputs":
            group.add_argument("inputs", nargs="+", metavar=option.metavar, **keywords)
            continue
        if isinstance(field.default, bool):
            keywords["action"] = "store_true"
        else:
            keywords |= {"metavar": option.metavar, "choices": option.choices, "default": None}
            keywords |= {"required": True} if field.name in required else {}
        group.add_argument(*option.flags, "--" + field.name.replace("_", "-"), dest=field.name, **keywords)
    said = parser.add_argument_group("what is said").add_mutually_exclusive_group()
    said.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    said.add_argument("-v", "--verbose", action="store_true", help="say also what the header knew, and times")
    said.add_argument("--log-json", action="store_true", help="one JSON object a line on stdout, for machines")
    said.add_argument("--log-slicer", action="store_true", help="progress tags on stdout, for 3D Slicer")


class Description(argparse.Action):
    """Prints the description that 3D Slicer asks its modules for; no input is needed."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from medsr.cli.slicer_xml import slicer_xml
        from medsr.cli.streams import write

        write(slicer_xml())
        parser.exit()


def job_from(arguments: argparse.Namespace) -> Job:
    """The job that was asked for; a UsageError names the option that is wrong."""
    values: dict[str, Any] = {}
    for field, option in options():
        text = getattr(arguments, field.name)
        if field.name == "inputs":
            values["inputs"] = tuple(text)
        elif isinstance(text, bool):
            values[field.name] = text
        elif text is not None:
            values[field.name] = option.parse(text)
    return Job(**values)


def command(arguments: argparse.Namespace) -> int:
    """Runs it."""
    job = job_from(arguments)

    def work(listener: Listener, told: list[str]) -> None:
        from medsr.run import run

        run(job, listener, command=told)

    return listening(arguments, job, work)


def listening(arguments: argparse.Namespace, job: Job, work: Callable[[Any, list[str]], None]) -> int:
    """Runs `work(listener, command)` and tells of it as the arguments ask; returns the exit code."""
    if job.threads and "numpy" not in sys.modules:  # its own libraries read this once, when they are loaded
        os.environ |= dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(job.threads)
        )
    from medsr.cli.console import Console, JsonLines
    from medsr.cli.slicer_tags import SlicerTags
    from medsr.cli.streams import complain

    listener: Console | JsonLines = Console(
        arguments.quiet, arguments.verbose, arguments.debug, brief=not job.inputs
    )
    if arguments.log_json or arguments.log_slicer:
        listener = (JsonLines if arguments.log_json else SlicerTags)(arguments.debug)
    code, error = 0, None
    try:
        work(listener, ["medsr", *arguments.argv])
    except MedsrError as raised:
        code, error = raised.exit_code, raised
    finally:
        listener.close()
    if error is not None and not listener.told(error):
        complain(error, arguments.debug)
    listener.finished(code, error)
    return code
