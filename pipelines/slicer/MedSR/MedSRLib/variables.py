"""Environment variables for programs that are started from Slicer.

Slicer's launcher points Python and the loader at Slicer's own libraries; another Python would load those and fail.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SAVED = "APPLAUNCHER_0_"
"""What the launcher (CTKAppLauncher) keeps the variables under that it found."""

SLICERS = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "ITK_AUTOLOAD_PATH", "QT_PLUGIN_PATH", "LibraryPaths")
"""What Slicer sets where there is no launcher, as on macOS."""


def is_slicers(python: str) -> bool:
    """Whether this is the interpreter inside Slicer, which needs Slicer's variables to find its library."""
    return Path(python).stem.lower() == "python-real"


def at_startup(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables as they were before Slicer was started."""
    saved = {name[len(SAVED) :]: value for name, value in variables.items() if name.startswith(SAVED)}
    return saved or {name: value for name, value in variables.items() if name not in SLICERS}


def for_python(
    python: str, packages: str | None = None, variables: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables to start `python` with, so that it finds the folder `packages` before all else.

    variables : those of this process, by default.
    """
    known = dict(os.environ if variables is None else variables)
    found = known if is_slicers(python) else at_startup(known)
    found = {name: value for name, value in found.items() if name not in ("PYTHONPATH", "ITK_AUTOLOAD_PATH")}
    if packages:
        found["PYTHONPATH"] = packages
    # neither the user's packages nor whatever lies in the current folder
    ours = {"PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}
    return {**found, **ours}
