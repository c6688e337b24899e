"""Environments of Slicer's packages, for tests and pictures: ``python pipelines/slicer/environments.py core``.

core : slicer-core (a real MRML scene, no window) and ctk-cli. form : PySide6, which draws the form. render :
trame-slicer, which draws slice views. Each is a virtual environment of its own in .venv/slicer, beside medsr's:
their packages do not go together, and none of them belongs to medsr.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".venv" / "slicer"

TESTS = ("pytest>=8", "numpy>=1.26", "nibabel>=5.3")

PACKAGES = {
    "core": ("slicer-core>=5.11", "ctk-cli>=1.5", *TESTS),
    "form": ("PySide6-Essentials>=6.7", "pillow>=11", *TESTS),
    "render": ("trame-slicer[standalone]>=2", "pillow>=11"),
}


def python_of(name: str) -> Path:
    """The interpreter of an environment."""
    return FOLDER / name / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def make(name: str) -> Path:
    """Makes it if it is not there; returns its interpreter."""
    python = python_of(name)
    done = FOLDER / name / "made"
    wanted = "\n".join(PACKAGES[name])
    if not done.is_file() or done.read_text() != wanted:
        venv.create(FOLDER / name, with_pip=True)
        line = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES[name]]
        subprocess.run(line, check=True)
        done.write_text(wanted)
    return python


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="+", choices=list(PACKAGES), metavar="NAME", help=", ".join(PACKAGES))
    for name in parser.parse_args().names:
        print(make(name))
