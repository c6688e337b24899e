"""Which Python an environment can be made with."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from MedSRLib.process import run
from MedSRLib.variables import for_python, is_slicers

LEAST = (3, 11)
"""The oldest Python that medsr runs in."""

TOO_OLD = (
    "medsr needs Python {least} or later; Slicer's own is {own}, and no other was found that has pip. Install "
    "Python 3.12 from python.org (or your system's), or use Slicer 5.10 or later, or choose a Python with medsr."
)

ASK = "import sys, pip; print(*sys.version_info[:2])"


def version(python: str) -> tuple[int, ...] | None:
    """(major, minor) of an interpreter that has pip; None where it has none or does not start."""
    said = run([python, "-c", ASK], for_python(python), 30)
    words = (said or "").split()
    return tuple(map(int, words)) if len(words) == 2 and all(w.isdigit() for w in words) else None


def find(slicers: str) -> str | None:
    """One that an environment can be made with: Slicer's own where it is new enough, else the machine's.

    slicers : the interpreter inside Slicer (python-real).
    """
    for python in (slicers, *_on_this_machine()):
        if Path(python).is_file() and (version(python) or ()) >= LEAST:
            return python
    return None


def inside(home: str) -> str:
    """The interpreter of the Slicer at `home`; its launcher, PythonSlicer, would put Slicer's packages first."""
    return str(Path(home) / "bin" / ("python-real.exe" if os.name == "nt" else "python-real"))


def in_folder(chosen: str) -> str:
    """The interpreter of what the user has named: itself, or that of an environment's folder."""
    path = Path(chosen).expanduser()
    if not path.is_dir():
        return str(path)
    places = (
        (("Scripts", "python.exe"), ("python.exe",))
        if os.name == "nt"
        else (("bin", "python3"), ("bin", "python"))
    )
    return next((str(path.joinpath(*p)) for p in places if path.joinpath(*p).is_file()), str(path))


def _on_this_machine() -> Iterator[str]:
    names = ["python3.13", "python3.12", "python3.11", "python3", "python"]
    for name in names:
        found = shutil.which(name)
        if found and not is_slicers(found) and "WindowsApps" not in found:  # a stub that opens a shop
            yield found
    yield from _in_usual_places(names)


def _in_usual_places(names: list[str]) -> Iterator[str]:
    """Programs with windows do not have the PATH of a terminal."""
    if os.name == "nt":
        for root in (os.environ.get("LOCALAPPDATA", ""), os.environ.get("PROGRAMFILES", "")):
            for number in (313, 312, 311):
                yield str(Path(root) / "Programs" / "Python" / f"Python{number}" / "python.exe")
                yield str(Path(root) / f"Python{number}" / "python.exe")
    elif sys.platform == "darwin":
        for name in names[:3]:
            yield f"/opt/homebrew/bin/{name}"
            yield f"/usr/local/bin/{name}"
            yield f"/Library/Frameworks/Python.framework/Versions/{name[6:]}/bin/{name}"
