#!/usr/bin/env python-real
"""MedSR as a command line module: finds medsr's own Python and runs ``medsr reconstruct`` in it.

Slicer starts this with its own Python and the arguments of MedSRReconstruct.xml, which `medsr reconstruct --xml`
prints. medsr writes its maps and its sidecar beside the image; Slicer wants the image alone. So it works in a
folder beside the image, and the image is moved out of there.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
for beside in ("qt-scripted-modules", "MedSR"):  # as installed, as in the source tree
    sys.path.insert(0, str(HERE.parent / beside))

PREFIX = "medsr-cli-"
DAY = 86400.0


def main(arguments: list[str]) -> int:
    """Runs it; the exit code is medsr's, but a missed promise is told, and is no failure: the image is there."""
    if arguments == ["--xml"]:
        print((HERE / "MedSRReconstruct.xml").read_text(encoding="utf-8"), end="")
        return 0
    from MedSRLib.environment import current
    from MedSRLib.problem import Problem
    from MedSRLib.settings import load

    try:
        environment = current(load())
        line, target = _redirected(arguments)
        folder = _work_folder(target.parent)
    except (Problem, OSError) as problem:
        print(f"medsr: error: {problem}", file=sys.stderr)
        return 3
    try:
        image = folder / target.name
        line += ["--output", str(image), "--force", "--no-report", "--log-slicer"]
        code, complaint = _run(environment.command("reconstruct", *line), environment.variables(), folder)
        if code in (0, 7) and image.is_file():
            image.replace(target)
            if complaint:
                print(complaint, end="", flush=True)
            return 0
        print(complaint or f"medsr: error: stopped without a word (exit code {code})\n", end="", file=sys.stderr)
        return code or 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _redirected(arguments: list[str]) -> tuple[list[str], Path]:
    """The arguments without the output, and the output.

    Raises
    ------
    Problem
        if no output is named.
    """
    from MedSRLib.problem import Problem

    for place, word in enumerate(arguments[:-1]):
        if word in ("--output", "-o"):
            return arguments[:place] + arguments[place + 2 :], Path(arguments[place + 1]).resolve()
    raise Problem("no volume was chosen for the result")


def _run(command: list[str], variables: dict[str, str], folder: Path) -> tuple[int, str]:
    """Its exit code, and what it said on stderr; what it says on stdout is passed on."""
    from MedSRLib.process import Process

    process = Process(command, variables, folder / "log")
    try:
        while True:
            code = process.code
            for said in process.lines():
                print(said, flush=True)
            if code is not None:
                return code, process.complaints()
            time.sleep(0.05)
    finally:
        process.finish()


def _work_folder(within: Path) -> Path:
    """A folder to work in. Slicer kills a module that is cancelled: what such a one has left for a day goes."""
    for old in within.glob(PREFIX + "*"):
        if time.time() - old.stat().st_mtime > DAY:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=within))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that medsr is ended too
    sys.exit(main(sys.argv[1:]))
