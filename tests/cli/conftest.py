"""The command line in process, and scans to give it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from medsr.cli.main import main
from medsr.io import save_volume
from medsr.volume import Grid, Volume
from tests.conftest import smooth_head

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on stderr."""
        assert self.err.endswith("\n"), self.err
        assert self.err.count("\n") == 1, self.err
        assert self.err[:-1].isprintable()
        return self.err[:-1]


Command = Callable[..., Ran]


@pytest.fixture
def medsr(capsys: pytest.CaptureFixture[str]) -> Command:
    """``medsr(*arguments)`` in process."""

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


def program(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    """The same as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TERM": "xterm"}
    command = [sys.executable, "-m", "medsr", *map(str, arguments)]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment, **options}
    return subprocess.Popen(command, **given)  # type: ignore[call-overload,no-any-return]


def thick_scan(path: Path, shape: tuple[int, int, int] = (10, 12, 6), seed: int = 0, frames: int = 1) -> Path:
    """A small scan with slices of 3 mm."""
    path.parent.mkdir(exist_ok=True)
    data = smooth_head(shape, seed) + np.random.default_rng(seed).uniform(1, 2, shape).astype("f4")
    if frames > 1:
        data = np.stack([data * (1 + 0.1 * t) for t in range(frames)])
    save_volume(Volume(data, Grid(shape, np.diag([1.0, 1.0, 3.0, 1.0]))), path)
    return path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return thick_scan(tmp_path / "scan.nii.gz")


def names(folder: Path) -> list[str]:
    """All that is in a folder."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))
