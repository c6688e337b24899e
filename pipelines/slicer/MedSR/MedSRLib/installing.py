"""Making the module's own environment: all of it, or nothing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from MedSRLib.environment import Environment, own_folder
from MedSRLib.problem import Problem
from MedSRLib.process import Process
from MedSRLib.settings import Settings
from MedSRLib.variables import for_python

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where torch without CUDA is, a tenth of the size; on Windows and macOS the package index has that one itself."""

QUESTION = (
    "medsr is not installed yet.\n\nThis downloads medsr and what it needs, torch among it (about {size}), into\n"
    "{folder}\n\nSlicer's own Python stays as it is. Go on?"
)
OFFLINE_QUESTION = (
    "medsr is not installed yet.\n\nThis installs medsr and what it needs from the wheels in\n{wheels}\n"
    "into\n{folder}\n\nNothing is downloaded, and Slicer's own Python stays as it is. Go on?"
)


def question(settings: Settings) -> str:
    """What to ask the user before anything is installed."""
    if settings.wheels:
        return OFFLINE_QUESTION.format(wheels=settings.wheels, folder=own_folder())
    return QUESTION.format(size="3 GB" if settings.gpu and needs_cpu_index() else "350 MB", folder=own_folder())


def needs_cpu_index(platform: str = sys.platform) -> bool:
    """Whether the package index has torch with CUDA only."""
    return platform.startswith("linux")


def command(python: str, target: Path, settings: Settings, platform: str = sys.platform) -> list[str]:
    """The pip command that fills the folder `target`.

    Raises
    ------
    Problem
        if the folder of wheels is not one.
    """
    line = [python, "-m", "pip", "install", "--target", str(target), "--no-input", "--disable-pip-version-check"]
    line += ["--only-binary", ":all:", "--prefer-binary"]
    if settings.wheels:
        if not Path(settings.wheels).is_dir():
            raise Problem(f"{settings.wheels}: this is no folder; name the folder that the wheels are in")
        line += ["--no-index", "--find-links", settings.wheels]
    elif needs_cpu_index(platform) and not settings.gpu:
        line += ["--extra-index-url", CPU_INDEX]
    return [*line, settings.requirement]


class Installation:
    """An environment in the making; `own_folder` appears when it is whole and works.

    Raises
    ------
    Problem
        if it cannot be started.
    """

    def __init__(self, python: str, settings: Settings) -> None:
        self.python = python
        self.error = ""
        self.state = "running"
        self._partial = own_folder().with_name("environment.partial")
        self._remove(self._partial)
        try:
            self._partial.mkdir(parents=True)
        except OSError as error:
            raise Problem(f"{self._partial}: the folder cannot be made ({error.strerror})") from None
        line = command(python, self._partial / "packages", settings)
        self._process = Process(line, for_python(python), self._partial / "log")

    def poll(self) -> list[str]:
        """New lines for the log; `state` becomes "done", "failed" (see `error`) or "cancelled"."""
        if self.state != "running":
            return []
        lines = self._process.lines()
        code = self._process.code
        if code is not None:
            lines += self._process.lines()
            self._end(code)
        return lines

    def cancel(self) -> None:
        """Stops it; nothing is left."""
        if self.state == "running":
            self._process.finish()
            self.state = "cancelled"
            self._remove(self._partial)

    def _end(self, code: int) -> None:
        problem: str | None = _reason(self._process.complaints()) if code else None
        try:
            if problem is None:
                Environment(self.python, str(self._partial / "packages")).check()
                self._remove(self._partial / "log")
                made = json.dumps({"python": self.python}) + "\n"
                (self._partial / "environment.json").write_text(made, encoding="utf-8")
                self._remove(own_folder())
                self._partial.replace(own_folder())
        except (Problem, OSError) as error:
            problem = str(error)
        if problem is not None:
            self.error = f"medsr could not be installed: {problem}"
            self._remove(self._partial)
        self.state = "done" if problem is None else "failed"

    @staticmethod
    def _remove(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)


def _reason(complaints: str) -> str:
    """pip's own words: the first of its errors, which name what is missing."""
    errors = [line.split("ERROR:", 1)[1].strip() for line in complaints.splitlines() if "ERROR:" in line]
    return errors[0] if errors else "pip failed without a word; the log has more"
