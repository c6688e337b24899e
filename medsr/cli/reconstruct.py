"""``medsr reconstruct``: options straight from `Job`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from medsr.job import Job, options


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "reconstruct",
        help="a scan in, the image that was wanted out",
        description="Reconstructs scans on a finer grid. Beside the image come its residual map, a JSON sidecar "
        "and an HTML report; nothing is overwritten unless asked.",
    )
    groups: dict[str, Any] = {}
    for field, option in options():
        group = groups.setdefault(option.group, parser.add_argument_group(option.group))
        keywords: dict[str, Any] = {"help": option.help.replace("%", "%%")}
        if field.name == "inputs":
            group.add_argument("inputs", nargs="+", metavar=option.metavar, **keywords)
            continue
        if isinstance(field.default, bool):
            keywords["action"] = "store_true"
        else:
            keywords |= {"metavar": option.metavar, "choices": option.choices, "default": None}
        group.add_argument(*option.flags, "--" + field.name.replace("_", "-"), dest=field.name, **keywords)
    say = parser.add_argument_group("what is said")
    say.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    say.add_argument("-v", "--verbose", action="store_true", help="say also how long each stage took")
    say.add_argument("--log-json", action="store_true", help="one JSON object a line on stdout, for machines")
    parser.set_defaults(command=command)


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
    from medsr.models.card import card

    card(job.method)
    from medsr.cli.console import Console, JsonLines
    from medsr.run import run

    listener = JsonLines() if arguments.log_json else Console(arguments.quiet, arguments.verbose)
    try:
        run(job, listener, command=["medsr", *sys.argv[1:]])
    finally:
        listener.close()
    return 0
