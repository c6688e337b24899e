"""What the user has chosen, in a file that the module and the command line module both read."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from MedSRLib.problem import Problem

REQUIREMENT = "medsr[kspace]>=0.1,<1"
"""What is installed; `kspace` reads raw data."""


@dataclass(frozen=True)
class Settings:
    """What the user has chosen; empty where the module decides.

    python : an interpreter that has medsr. wheels : a folder to install from, without a network. requirement :
    what is installed. gpu : install the torch that the package index has, instead of the one for the CPU.
    """

    python: str = ""
    wheels: str = ""
    requirement: str = REQUIREMENT
    gpu: bool = False


def folder() -> Path:
    """Where settings and environment live, outside Slicer, so that an update of Slicer leaves them."""
    chosen = os.environ.get("MEDSR_SLICER_HOME")
    if chosen:
        return Path(chosen)
    home = Path.home()
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "medsr" / "slicer"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "medsr" / "slicer"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "medsr" / "slicer"


def load() -> Settings:
    """The settings that were saved; the defaults where there are none, or none that can be read."""
    try:
        found = json.loads((folder() / "settings.json").read_text(encoding="utf-8"))
        kinds = {f.name: type(f.default) for f in fields(Settings)}
        return Settings(**{name: value for name, value in found.items() if isinstance(value, kinds.get(name, ()))})
    except (OSError, ValueError, AttributeError):
        return Settings()


def save(settings: Settings) -> None:
    """Writes them, whole or not at all.

    Raises
    ------
    Problem
        if they cannot be written.
    """
    path = folder() / "settings.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(asdict(settings), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise Problem(f"{path}: the settings cannot be written ({error.strerror})") from None
