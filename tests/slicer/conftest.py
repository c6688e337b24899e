"""The extension's packages, an environment that has medsr, and scans.

Where the tests run in an environment of Slicer's packages, medsr runs in another Python: MEDSR_PYTHON names it,
`.venv` of the checkout by default.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import GRIDS, smooth_head

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "pipelines" / "slicer"
sys.path.insert(0, str(EXTENSION / "MedSR"))
SAMPLE = ROOT / "tests" / "data" / "colin27_1x1x4mm.nii.gz"


def python_with_medsr() -> str:
    """An interpreter that medsr runs in."""
    if "MEDSR_PYTHON" in os.environ:
        return os.environ["MEDSR_PYTHON"]
    own = ROOT / ".venv" / "bin" / "python"
    return str(own) if importlib.util.find_spec("torch") is None and own.exists() else sys.executable


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the module's settings, where nothing was chosen."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("MEDSR_SLICER_HOME", str(folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


@pytest.fixture
def chosen(home: Path) -> Path:
    """The same, with a Python chosen that has medsr."""
    (home / "settings.json").write_text(json.dumps({"python": python_with_medsr()}))
    return home


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Slicer's temporary folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def write_scan(path: Path, grid: str = "thick", frames: int = 1) -> Path:
    """A small scan with thick slices, on one of the grids that scanners give."""
    from medsr.io import save_volume
    from medsr.volume import ScanFacts, Volume

    where = GRIDS[grid]
    data = smooth_head(where.shape) + np.random.default_rng(0).uniform(1, 2, where.shape).astype("f4")
    facts = ScanFacts()
    if frames > 1:
        data = np.stack([data * (1 + 0.1 * t) for t in range(frames)])
        facts = ScanFacts(tr=1.5)
    save_volume(Volume(data, where, facts), path)
    return path


def left_in(folder: Path) -> list[str]:
    """All that is in a folder."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))
