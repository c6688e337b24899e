"""Where medsr runs: a Python of its own, never Slicer's packages.

An environment that the module makes is a folder of packages (``pip install --target``) and the interpreter to use
it with. That needs pip alone. A virtual environment would need more than Slicer's Python has on every platform: on
Windows it lacks the launcher that `venv` copies, on Linux its library is found by Slicer's launcher only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MedSRLib import interpreters
from MedSRLib.problem import Problem
from MedSRLib.process import run
from MedSRLib.settings import Settings, folder
from MedSRLib.variables import for_python

MEDSR = ((0, 1), (1, 0))
"""The least version of medsr that this module speaks with, and the first that it does not know."""

ASK = """
import json, sys
from importlib import metadata
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
names = ("medsr", "torch", "h5py")
print(json.dumps({"python": list(sys.version_info[:2]), **{name: version(name) for name in names}}))
"""


@dataclass(frozen=True)
class Environment:
    """An interpreter, and the folder of packages it is used with; None where it has its own."""

    python: str
    packages: str | None = None

    def command(self, *arguments: str) -> list[str]:
        """medsr with `arguments`."""
        return [self.python, "-m", "medsr", *arguments]

    def variables(self) -> dict[str, str]:
        """The environment variables to run `command` with."""
        return for_python(self.python, self.packages)

    def facts(self) -> dict[str, Any]:
        """Versions of Python, medsr, torch and h5py; None for what is missing.

        Raises
        ------
        Problem
            if the interpreter does not start.
        """
        said = run([self.python, "-c", ASK], self.variables(), 60)
        try:
            return dict(json.loads(said or ""))
        except ValueError:
            raise Problem(
                f"{self.python} is no Python that starts; choose another, or make a new environment"
            ) from None

    def check(self) -> str:
        """One line on what is there.

        Raises
        ------
        Problem
            if medsr cannot run here: what is missing, and what to do.
        """
        facts = self.facts()
        python = ".".join(map(str, facts["python"]))
        if tuple(facts["python"]) < interpreters.LEAST:
            least = ".".join(map(str, interpreters.LEAST))
            raise Problem(f"{self.python} is Python {python}, medsr needs {least} or later; choose another")
        if facts["medsr"] is None:
            raise Problem(
                f"medsr is not installed for {self.python}; install it there, or make an environment here"
            )
        if not MEDSR[0] <= _numbers(facts["medsr"]) < MEDSR[1]:
            least, most = (".".join(map(str, v)) for v in MEDSR)
            raise Problem(
                f"medsr {facts['medsr']} is there, this module needs {least} or later and below {most}; "
                f"make the environment again, or update the extension"
            )
        if facts["torch"] is None:
            raise Problem(
                f"torch is not installed for {self.python}, and medsr needs it; make the environment again"
            )
        raw = "" if facts["h5py"] else "; h5py is missing, so raw data (.h5) cannot be read"
        return f"medsr {facts['medsr']}, torch {facts['torch']}, Python {python}{raw}"

    def cards(self) -> dict[str, str]:
        """What each method does, in one line, by name; empty where medsr does not say."""
        said = run(self.command("models", "--json"), self.variables(), 60)
        try:
            return {card["name"]: card["summary"] for card in json.loads(said or "[]")}
        except (ValueError, TypeError, KeyError):
            return {}

    def description(self) -> str | None:
        """The XML that describes the options of the medsr in here; None where it says none."""
        said = run(self.command("reconstruct", "--xml"), self.variables(), 60)
        return said if said and said.startswith("<?xml") else None


def own_folder() -> Path:
    """Where the module's own environment is, or will be."""
    return folder() / "environment"


def current(settings: Settings) -> Environment:
    """The environment to run medsr in.

    Raises
    ------
    Problem
        if there is none yet, or the chosen one is not there.
    """
    if settings.python:
        python = interpreters.in_folder(settings.python)
        if not Path(python).is_file():
            raise Problem(f"{settings.python}: there is no Python here; choose another in the settings of MedSR")
        return Environment(python)
    try:
        made = json.loads((own_folder() / "environment.json").read_text(encoding="utf-8"))
        python = str(made["python"])
    except (OSError, ValueError, TypeError, KeyError):
        raise Problem("medsr is not installed yet; make its environment in the settings of MedSR") from None
    if not Path(python).is_file():
        raise Problem(f"{python}, which medsr's environment was made with, is gone; make the environment again")
    return Environment(python, str(own_folder() / "packages"))


def _numbers(version: str) -> tuple[int, ...]:
    """(0, 2) of "0.2.1.dev3"."""
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in version.split(".")[:2])
