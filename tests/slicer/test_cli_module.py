"""The command line module, run as Slicer runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.slicer.cli_logic import arguments
from tests.slicer.conftest import EXTENSION, python_with_medsr, write_scan

SCRIPT = EXTENSION / "MedSRReconstruct" / "MedSRReconstruct.py"
XML = SCRIPT.with_suffix(".xml")


def slicer_runs(**values: str) -> subprocess.Popen[bytes]:
    """With Slicer's own Python, which knows nothing of medsr: -S leaves out all packages."""
    line = [sys.executable, "-S", str(SCRIPT), *arguments(XML.read_text("utf-8"), values)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def plain(*words: object) -> None:
    line = [python_with_medsr(), "-m", "medsr", "reconstruct", *map(str, words)]
    subprocess.run(line, check=True, capture_output=True)


def test_the_arguments() -> None:
    given = arguments(XML.read_text("utf-8"), {"inputs": "in.nrrd", "output": "out.nrrd", "noise": "0"})
    assert given[:3] == ["--output", "out.nrrd", "--method"]
    assert given[-1] == "in.nrrd"
    assert given[given.index("--noise") + 1] == "0"
    assert "--spacing" not in given


@pytest.mark.parametrize(
    ("grid", "values", "words"),
    [
        pytest.param("oblique thick", {}, [], marks=pytest.mark.slow),
        ("flipped", {"noise": "0", "method": "bspline"}, ["--noise", "0", "--method", "bspline"]),
    ],
)
def test_the_same_bytes_as_the_plain_command(
    grid: str, values: dict[str, str], words: list[str], chosen: Path, work: Path, tmp_path: Path
) -> None:
    scan = write_scan(work / "scan.nrrd", grid)
    child = slicer_runs(inputs=str(scan), output=str(work / "out.nrrd"), **values)
    out, err = child.communicate()
    assert (child.returncode, err) == (0, b"")
    assert out.startswith(b"<filter-start>")
    assert b"<filter-progress>1.0000</filter-progress>" in out
    plain(scan, "-o", tmp_path / "plain.nrrd", *words)
    assert (work / "out.nrrd").read_bytes() == (tmp_path / "plain.nrrd").read_bytes()
    assert sorted(p.name for p in work.iterdir()) == ["out.nrrd", "scan.nrrd"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"spacing": "thin"}, b"medsr: error: --spacing is not a voxel size"),
        ({"output": ""}, b"medsr: error: no volume was chosen for the result"),
    ],
)
def test_an_error_is_one_line(values: dict[str, str], words: bytes, chosen: Path, work: Path) -> None:
    scan = write_scan(work / "scan.nrrd")
    child = slicer_runs(**{"inputs": str(scan), "output": str(work / "out.nrrd"), **values})
    _, err = child.communicate()
    assert child.returncode in (2, 3)
    assert err.startswith(words)
    assert err.count(b"\n") == 1
    assert [p.name for p in work.iterdir()] == ["scan.nrrd"]


def test_no_environment_yet(home: Path, work: Path) -> None:
    child = slicer_runs(inputs="scan.nrrd", output=str(work / "out.nrrd"))
    _, err = child.communicate()
    assert child.returncode == 3
    assert err == b"medsr: error: medsr is not installed yet; make its environment in the settings of MedSR\n"


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_cancelled(chosen: Path, work: Path) -> None:
    from tests.slicer.conftest import SAMPLE

    child = slicer_runs(inputs=str(SAMPLE), output=str(work / "out.nrrd"))
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    child.communicate()
    assert child.returncode == 143
    assert list(work.iterdir()) == []


def test_what_a_killed_one_left_goes_after_a_day(chosen: Path, work: Path) -> None:
    old, young = work / "medsr-cli-old", work / "medsr-cli-young"
    for folder in (old, young):
        folder.mkdir()
    day = time.time() - 90000
    os.utime(old, (day, day))
    slicer_runs(inputs=str(work / "nothing.nrrd"), output=str(work / "out.nrrd")).communicate()
    assert list(work.iterdir()) == [young]


def test_it_describes_itself() -> None:
    said = subprocess.run([sys.executable, "-S", str(SCRIPT), "--xml"], capture_output=True, check=True).stdout
    assert said == XML.read_bytes()


@pytest.mark.peers
def test_ctk_cli_parses_the_description() -> None:
    from medsr.job import Job

    module = pytest.importorskip("ctk_cli").CLIModule(str(XML))
    assert module.title == "MedSR Reconstruct"
    given, options, outputs = module.classifyParameters()
    assert [p.name for p in given] == ["inputs"]
    assert not outputs, "no parameter comes back as text"
    by_name = {p.name: p for p in options}
    assert by_name["output"].typ == "image"
    assert by_name["output"].channel == "output"
    assert "spline" in by_name["method"].elements
    assert by_name["method"].default == Job.method
    assert all(p.longflag and p.description and p.label for p in options)
