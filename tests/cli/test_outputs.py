"""Where results go: names, folders, what exists, what is never written over, disks that are full."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medsr.io import open_volume
from medsr.result import Result
from tests.cli.conftest import Command, names, thick_scan

POSIX = os.name == "posix"
ENDINGS = [".html", ".json", ".nii.gz", "_residual.nii.gz", "_uncertainty.nii.gz"]


def result(stem: str, suffix: str = ".nii.gz") -> list[str]:
    return sorted(stem + e.replace(".nii.gz", suffix) for e in ENDINGS)


def test_beside_the_scan(scan: Path, medsr: Command) -> None:
    ran = medsr("reconstruct", scan)
    assert (ran.code, ran.err) == (0, "")
    assert names(scan.parent) == sorted(["scan.nii.gz", *result("scan_desc-sr")])
    assert "10 x 12 x 6 voxels of 1 x 1 x 3 mm -> 10 x 12 x 18 voxels of 1 x 1 x 1 mm" in ran.out
    assert "slice thickness 3 mm, assumed" in ran.out
    assert "promise kept" in ran.out
    for name in result("scan_desc-sr"):
        assert f"wrote {scan.parent / name}" in ran.out


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".NII.GZ"])
def test_to_a_file(suffix: str, scan: Path, medsr: Command) -> None:
    out = scan.parent / "new" / f"out{suffix}"
    assert medsr("reconstruct", scan, "-o", out).code == 0
    assert out.name in names(out.parent)
    assert f"out_residual{suffix.lower()}" in names(out.parent)
    assert open_volume(out).grid.shape == (10, 12, 18)


def test_in_sixteen_bits(scan: Path, medsr: Command) -> None:
    for name, more in (("floats", ()), ("shorts", ("--dtype", "int16"))):
        assert medsr("reconstruct", scan, "-o", scan.parent / name / "out.nii", *more).code == 0
    for name in ("out.nii", "out_residual.nii", "out_uncertainty.nii"):
        exact, rounded = (open_volume(scan.parent / folder / name).data for folder in ("floats", "shorts"))
        assert nibabel.load(scan.parent / "shorts" / name).get_data_dtype() == np.int16
        assert 0 < np.abs(exact - rounded).max() <= 0.51 * np.ptp(exact) / 65535
    assert medsr("report", scan.parent / "shorts" / "out.nii", "--scan", scan, "--force").code == 0


@pytest.mark.parametrize("more", [("-o", "out.nrrd"), ("-o", "OUT.MHA"), ("-o", "out", "--format", "dicom")])
def test_sixteen_bits_need_a_scale(more: tuple[str, ...], scan: Path, medsr: Command) -> None:
    ran = medsr("reconstruct", scan, "--dtype", "int16", *more)
    assert (ran.code, "--dtype is for NIfTI" in ran.line) == (2, True)


@pytest.mark.parametrize("name", ["results", "results/", "v1.2", "sub-01.results", "out.png/", "deep/er/"])
def test_to_a_folder(name: str, scan: Path, medsr: Command) -> None:
    assert medsr("reconstruct", scan, "-o", f"{scan.parent}/{name}").code == 0
    assert names(scan.parent / name) == result("scan_desc-sr")


def test_to_a_folder_that_looks_like_a_file(scan: Path, medsr: Command) -> None:
    (scan.parent / "odd.nii.gz").mkdir()
    assert medsr("reconstruct", scan, "-o", scan.parent / "odd.nii.gz").code == 0
    assert names(scan.parent / "odd.nii.gz") == result("scan_desc-sr")


@pytest.mark.parametrize("name", ["a b c", "größe ☃", "[red]", "--force", "a;b&c", "'q'", "a.b.c", "x" * 200])
def test_odd_names(name: str, tmp_path: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / name
    folder.mkdir()
    thick_scan(folder / f"{name}.nii")
    monkeypatch.chdir(folder)
    assert medsr("reconstruct", "--", f"{name}.nii").code == 0
    assert names(folder) == sorted([f"{name}.nii", *result(f"{name}_desc-sr")])
    assert json.loads((folder / f"{name}_desc-sr.json").read_text(encoding="utf-8"))["Sources"] == [f"{name}.nii"]


def test_a_name_that_would_be_too_long(tmp_path: Path, medsr: Command) -> None:
    path = thick_scan(tmp_path / ("x" * 240 + ".nii"))
    before = names(tmp_path)
    ran = medsr("reconstruct", path)
    assert ran.code == 4
    assert "cannot be written" in ran.line
    assert names(tmp_path) == before


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_exists_is_kept_and_found_before_any_work(
    ending: str, scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scan.parent / f"scan_desc-sr{ending}"
    path.write_text("precious")
    monkeypatch.setattr("medsr.reconstruction.reconstruct", None)
    ran = medsr("reconstruct", scan)
    assert ran.code == 4
    assert f"{path}: the output exists already; --force replaces it, -o names another" in ran.line
    assert names(scan.parent) == sorted(["scan.nii.gz", path.name])
    assert path.read_text() == "precious"


def test_force_replaces_the_whole_result(scan: Path, medsr: Command) -> None:
    for ending in [*ENDINGS, "_uncertainty.nii.gz"]:
        (scan.parent / f"scan_desc-sr{ending}").write_text("old")
    assert medsr("reconstruct", scan, "--force", "--no-report").code == 0
    expected = [n for n in result("scan_desc-sr") if not n.endswith(".html")]
    assert names(scan.parent) == sorted(["scan.nii.gz", *expected])  # no map or report of another image beside it
    assert open_volume(scan.parent / "scan_desc-sr.nii.gz").grid.shape == (10, 12, 18)


def test_skip_existing_goes_on_where_a_run_was_interrupted(tmp_path: Path, medsr: Command) -> None:
    for name in "abc":
        thick_scan(tmp_path / "in" / f"{name}.nii.gz", seed=ord(name))
    assert medsr("reconstruct", tmp_path / "in", "-o", tmp_path / "out").code == 0
    whole = {n: (tmp_path / "out" / n).read_bytes() for n in names(tmp_path / "out") if n.endswith(".nii.gz")}
    stamp = (tmp_path / "out" / "a_desc-sr.nii.gz").stat().st_mtime_ns
    # the image gets its name last: an interrupted run leaves the others without it, or nothing
    (tmp_path / "out" / "b_desc-sr.nii.gz").unlink()
    for n in result("c_desc-sr"):
        (tmp_path / "out" / n).unlink()
    ran = medsr("reconstruct", tmp_path / "in", "-o", tmp_path / "out", "--skip-existing")
    assert (ran.code, ran.err) == (0, "")
    assert "a.nii.gz: skipped" in ran.out
    assert {n: (tmp_path / "out" / n).read_bytes() for n in whole} == whole
    assert (tmp_path / "out" / "a_desc-sr.nii.gz").stat().st_mtime_ns == stamp
    assert medsr("reconstruct", tmp_path / "in", "-o", tmp_path / "out").code == 8


def test_the_image_gets_its_name_last(scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    link = os.link

    def seen(source: str, target: str, **options: bool) -> None:
        order.append(Path(target).name)
        link(source, target, **options)

    if POSIX:
        monkeypatch.setattr(os, "link", seen)
        assert medsr("reconstruct", scan).code == 0
        assert order[-1] == "scan_desc-sr.nii.gz"
        assert sorted(order) == result("scan_desc-sr")


def test_inputs_are_never_written_over(scan: Path, medsr: Command) -> None:
    folder = scan.parent
    (folder / "scan.json").write_text('{"SliceThickness": 2.5}')
    (folder / "scan.bval").write_text("0")
    residual = Path(shutil.copy(scan, folder / "x_residual.nii.gz"))
    (folder / "link.nii.gz").symlink_to(scan) if POSIX else None
    before = {n: (folder / n).read_bytes() for n in names(folder)}
    for source, out in [
        (scan, "scan.nii.gz"),
        (scan, "scan.nii"),  # its sidecar would be that of the scan
        (scan, "../" + folder.name + "/scan.mha"),
        (residual, "x.nii.gz"),
        *([(scan, "link.nii.gz")] if POSIX else []),
    ]:
        ran = medsr("reconstruct", source, "-o", f"{folder}/{out}", "--force")
        assert ran.code == 4, out
        assert "never written over" in ran.line
    ran = medsr("simulate", "lowres", scan, "--spacing", "1,1,6", "-o", folder / "scan.nii", "--force")
    assert ran.code == 4
    assert {n: (folder / n).read_bytes() for n in names(folder)} == before


def test_two_inputs_of_one_output(scan: Path, medsr: Command) -> None:
    (scan.parent / "b").mkdir()
    other = shutil.copy(scan, scan.parent / "b")
    before = names(scan.parent)
    for arguments in [(scan, other, "-o", scan.parent / "out"), (scan, scan)]:
        ran = medsr("reconstruct", *arguments)
        assert ran.code == 2
        assert "would have the same output" in ran.line
    ran = medsr("reconstruct", scan, other, "-o", scan.parent / "out.nii.gz")
    assert ran.code == 2
    assert "one file for several inputs" in ran.line
    assert names(scan.parent) == before


def test_a_folder_that_cannot_be_written(scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    before = names(scan.parent)
    ran = medsr("reconstruct", scan, "-o", scan / "results")  # within a file
    assert ran.code == 4
    assert "folder" in ran.line
    opened = Path.open

    def refuse(self: Path, mode: str = "r", *args: object, **options: object) -> object:
        if self.name.startswith(".medsr-"):
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return opened(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr("medsr.reconstruction.reconstruct", None)  # found before any work
    ran = medsr("reconstruct", scan, "-o", scan.parent / "new" / "deep")
    assert ran.code == 4
    assert "cannot be written; got Permission denied" in ran.line
    assert names(scan.parent) == before


def test_full_disk_known_beforehand(scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(scan.parent)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    ran = medsr("reconstruct", scan)
    assert ran.code == 4
    assert "scan_desc-sr.nii.gz: the disk is full" in ran.line
    assert "1000 bytes free" in ran.line
    assert names(scan.parent) == ["scan.nii.gz"]


@pytest.mark.skipif(not POSIX, reason="file size limits")
def test_full_disk_met_while_writing(scan: Path, medsr: Command) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        ran = medsr("reconstruct", scan)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ran.code == 4
    assert "the disk is full" in ran.line
    assert "make room" in ran.line
    assert names(scan.parent) == ["scan.nii.gz"]
    assert medsr("reconstruct", scan).code == 0


def test_what_killed_runs_have_left_is_swept(scan: Path, medsr: Command) -> None:
    folder = scan.parent
    old, fresh, theirs = (
        folder / n for n in (f".medsr-{'0' * 16}.nii.gz", f".medsr-{'1' * 16}.json", ".medsr-notes")
    )
    for path in (old, fresh, theirs):
        path.write_text("half")
    stale = folder / f".medsr-{'2' * 16}"
    stale.mkdir()
    yesterday = time.time() - 25 * 3600
    for path in (old, theirs, stale):
        os.utime(path, (yesterday, yesterday))
    assert medsr("reconstruct", scan).code == 0
    assert not old.exists()
    assert fresh.exists()
    assert theirs.exists()
    assert stale.is_dir()


def test_tables_are_carried(tmp_path: Path, medsr: Command) -> None:
    scan = thick_scan(tmp_path / "dwi.nii.gz", frames=3)
    (tmp_path / "dwi.bval").write_text("0 1000 1000\n")
    (tmp_path / "dwi.bvec").write_bytes(b"0 1 0\r\n0 0 1\r\n0 0 0\r\n")
    assert medsr("reconstruct", scan).code == 0
    assert (tmp_path / "dwi_desc-sr.bval").read_text() == "0 1000 1000\n"
    assert (tmp_path / "dwi_desc-sr.bvec").read_bytes() == b"0 1 0\r\n0 0 1\r\n0 0 0\r\n"
    assert open_volume(tmp_path / "dwi_desc-sr.nii.gz").data.shape == (3, 10, 12, 18)


def test_same_bytes_for_any_number_of_threads(scan: Path, medsr: Command) -> None:
    for threads in (1, 2, 1):
        assert (
            medsr("reconstruct", scan, "--threads", threads, "-o", scan.parent / str(threads), "--force").code == 0
        )
    for name in ("scan_desc-sr.nii.gz", "scan_desc-sr_residual.nii.gz", "scan_desc-sr_uncertainty.nii.gz"):
        assert (scan.parent / "1" / name).read_bytes() == (scan.parent / "2" / name).read_bytes()


def test_sidecar(scan: Path, medsr: Command) -> None:
    import hashlib

    assert medsr("reconstruct", scan, "--noise", "0", "--psf", "z=boxcar", "--threads", "1").code == 0
    said = json.loads((scan.parent / "scan_desc-sr.json").read_text(encoding="utf-8"))
    assert set(said) == {"Description", "Sources", "Resolution", "medsr"}
    assert said["Sources"] == ["scan.nii.gz"]
    ours = said["medsr"]
    assert set(ours) == {
        "version", "command", "method", "citation", "options", "input", "geometry", "acquisition", "figures",
        "promises", "flags", "seconds", "memory_planned", "outputs", "weights", "weights_sha256",
    }  # fmt: skip
    files = [scan.parent / name for name in ours["outputs"]]
    assert ours["outputs"] == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert sorted(ours["outputs"]) == [n for n in result("scan_desc-sr") if not n.endswith(".json")]
    assert ours["command"] == [
        "medsr",
        "reconstruct",
        str(scan),
        *["--noise", "0", "--psf", "z=boxcar", "--threads", "1"],
    ]
    assert ours["options"] == {"noise": 0.0, "psf": {"z": "boxcar"}, "threads": 1}
    assert ours["input"] == {"name": "scan.nii.gz", "sha256": hashlib.sha256(scan.read_bytes()).hexdigest()}
    before, after = ours["geometry"]["before"], ours["geometry"]["after"]
    assert before == {"shape": [10, 12, 6], "spacing_mm": [1, 1, 3], "affine": np.diag([1.0, 1, 3, 1]).tolist()}
    assert after["shape"] == [10, 12, 18]
    assert np.array(after["affine"])[:3, 3] == pytest.approx([0, 0, -1])
    assert ours["acquisition"]["point_spread"] == {"x": "kept", "y": "kept", "z": "boxcar 3 mm"}
    assert ours["acquisition"]["noise"] == 0
    assert ours["figures"]["residual_over_data"] < 1e-3
    assert ours["promises"] == "kept"
    assert set(ours["seconds"]) == {"read", "plan", "reconstruct"}
    html = (scan.parent / "scan_desc-sr.html").read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>") or html.startswith("<!doctype html>")
    assert "scan.nii.gz" in html


def test_the_residual_is_what_it_says(scan: Path, medsr: Command) -> None:
    import medsr as package

    result: Result = package.reconstruct(scan)
    assert medsr("reconstruct", scan).code == 0
    written = open_volume(scan.parent / "scan_desc-sr_residual.nii.gz", allow_constant=True)
    np.testing.assert_array_equal(written.data, result.residual.data)
    assert written.grid.is_close(open_volume(scan).grid)
    np.testing.assert_array_equal(open_volume(scan.parent / "scan_desc-sr.nii.gz").data, result.volume.data)
