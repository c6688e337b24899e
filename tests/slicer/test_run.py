"""medsr in the background: done, failed, cancelled."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from MedSRLib import environment, form, settings
from MedSRLib.problem import Problem
from MedSRLib.run import Run, WorkFolder

from tests.slicer.conftest import SAMPLE, left_in, write_scan

Known = dict[str, form.Parameter]


@pytest.fixture
def known() -> Known:
    return form.parameters(form.shipped() or "")


def start(source: Path, work: Path, known: Known, **options: str) -> Run:
    there = environment.current(settings.load())
    return Run(there, source, WorkFolder(str(work)), options, known, "my scan")


def alive(group: int) -> list[int]:
    """Processes of a group that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = status.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if int(of) == group and state != "Z":
            found.append(int(status.parent.name))
    return found


def test_done(chosen: Path, work: Path, tmp_path: Path, known: Known) -> None:
    run = start(write_scan(tmp_path / "scan.nii.gz"), work, known, method="spline", spacing="0.5", noise="")
    fractions, stages, log = [], set(), []
    while run.state == "running":
        log += run.poll()
        fractions.append(run.progress.fraction)
        stages.add(run.progress.stage)
        time.sleep(0.02)
    assert (run.state, run.message) == ("done", "")
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert len(stages) > 2
    assert any("residual" in line for line in log)
    assert not any("filter-" in line for line in log)
    assert run.folder.result.is_file()
    assert list(run.maps) == ["residual"]
    assert run.report is not None
    run.close()
    assert left_in(work) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spacing": "zero"}, "--spacing is not a voxel size"),
        ({"noise": "-3"}, "--noise is not a number"),
        ({"method": "magic"}, "unknown method"),
    ],
)
def test_a_wrong_option_is_one_line(
    options: dict[str, str], words: str, chosen: Path, work: Path, tmp_path: Path, known: Known
) -> None:
    run = start(write_scan(tmp_path / "scan.nii.gz"), work, known, **options)
    with pytest.raises(Problem, match=words):
        run.wait()
    run.close()
    assert run.state == "failed"
    assert "\n" not in run.message
    assert not run.message.startswith("medsr")
    assert left_in(work) == []


def test_an_unusable_scan_is_called_by_its_name(chosen: Path, work: Path, known: Known) -> None:
    folder = WorkFolder(str(work))
    folder.scan.write_bytes(b"NRRD0004\nthis is no image\n\n")
    run = Run(environment.current(settings.load()), folder.scan, folder, {}, known, "Head T1")
    with pytest.raises(Problem) as raised:
        run.wait()
    assert str(raised.value).startswith("Head T1: ")
    assert str(work) not in str(raised.value)
    run.close()


def test_an_option_that_this_medsr_lacks(chosen: Path, work: Path, known: Known) -> None:
    with pytest.raises(Problem, match="no option colour"):
        start(SAMPLE, work, known, colour="red")


def test_a_program_that_dies_without_a_word(home: Path, work: Path, known: Known) -> None:
    run = Run(environment.Environment("/bin/false"), SAMPLE, WorkFolder(str(work)), {}, known, "x")
    with pytest.raises(Problem, match=r"without a word \(exit code 1\)"):
        run.wait()
    run.close()
    assert left_in(work) == []


def test_a_program_that_is_not_there(home: Path, work: Path, known: Known) -> None:
    with pytest.raises(Problem, match="cannot be started"):
        Run(environment.Environment("/no/python"), SAMPLE, WorkFolder(str(work)), {}, known, "x")


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_cancel_ends_all_and_leaves_nothing(chosen: Path, work: Path, known: Known) -> None:
    run = start(SAMPLE, work, known)
    group = run._process._child.pid
    while run.state == "running" and run.progress.fraction == 0:
        run.poll()
        time.sleep(0.01)
    assert alive(group)
    run.cancel()
    begun = time.monotonic()
    while run.state == "running":
        run.poll()
        time.sleep(0.01)
    assert time.monotonic() - begun < 10
    assert (run.state, run.message) == ("cancelled", "cancelled; nothing was changed")
    run.close()
    assert alive(group) == []
    assert left_in(work) == []


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_cancel_of_a_program_that_will_not(
    home: Path, work: Path, known: Known, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It and its children ignore SIGTERM; after the time of grace they are killed."""
    monkeypatch.setattr("MedSRLib.process.GRACE", 0.3)
    stubborn = tmp_path / "stubborn"
    stubborn.write_text("#!/bin/sh\ntrap '' TERM\nsleep 60 &\nsleep 60\nsleep 60\n")
    stubborn.chmod(0o755)
    run = Run(environment.Environment(str(stubborn)), SAMPLE, WorkFolder(str(work)), {}, known, "x")
    group = run._process._child.pid
    time.sleep(0.3)
    assert len(alive(group)) >= 2
    run.cancel()
    while run.state == "running":
        run.poll()
        time.sleep(0.01)
    run.close()
    assert alive(group) == []
    assert run.state == "cancelled"


def test_a_callback_that_raises_cancels(chosen: Path, work: Path, known: Known) -> None:
    run = start(SAMPLE, work, known)

    def stop(fraction: float, stage: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.wait(stop)
    assert left_in(work) == []


def test_a_series(chosen: Path, work: Path, tmp_path: Path, known: Known) -> None:
    """A 4D NIfTI in, frames out, where they belong."""
    import numpy as np
    from MedSRLib import frames

    from medsr.io import open_volume

    run = start(write_scan(tmp_path / "series.nii.gz", "flipped", frames=3), work, known, method="spline")
    run.wait()
    truth = open_volume(run.folder.result)
    series = frames.read(run.folder.result)
    assert series is not None
    assert (series.frames, series.tr, series.shape) == (3, 1.5, truth.grid.shape)
    assert np.abs(series.to_ras - truth.grid.affine).max() < 1e-9
    for read, wanted in zip(series, truth.data, strict=True):
        assert np.array_equal(read, wanted.transpose(2, 1, 0))
    run.close()


def test_a_series_that_is_cut_short(tmp_path: Path) -> None:
    from MedSRLib import frames

    path = write_scan(tmp_path / "series.nrrd", frames=3)
    path.write_bytes(path.read_bytes()[:-900])
    series = frames.read(path)
    assert series is not None
    with pytest.raises((Problem, EOFError)):
        list(series)
    assert frames.read(write_scan(tmp_path / "one.nrrd")) is None


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_a_missed_promise_is_told_and_the_result_is_there(
    home: Path, work: Path, tmp_path: Path, known: Known
) -> None:
    """medsr's exit code 7, by a stand-in: no method of today misses its promise on demand."""
    stand_in = tmp_path / "medsr"
    words = "medsr: error: written, but a promise of the card of spline was missed for scan.nrrd"
    stand_in.write_text(f"#!/bin/sh\ntouch ../result.nrrd\necho '{words}' >&2\nexit 7\n")
    stand_in.chmod(0o755)
    run = Run(environment.Environment(str(stand_in)), SAMPLE, WorkFolder(str(work)), {}, known, "x")
    run.wait()
    assert run.state == "done"
    assert run.message.startswith("written, but a promise")
    run.close()
