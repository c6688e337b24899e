"""DICOM through the command line: a folder in, a series or an image out, at the right place, naming nobody."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest

from medsr.io import open_volume
from tests.cli.conftest import Command, names, program, thick_scan

pydicom = pytest.importorskip("pydicom")
from pydicom import config  # noqa: E402

from tests.io.dicom.synthetic import GEOMETRIES, numbers, write_classic, write_enhanced, write_mosaic  # noqa: E402
from tests.io.dicom.test_privacy import MARK, mark  # noqa: E402

SHAPE = (12, 10, 5)


def smooth(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Codes that a tissue could have, different everywhere."""
    x = np.indices(shape).astype(float)
    waves = sum(np.sin(0.5 * (n + 1) * part + n) for n, part in enumerate(x))
    return (600 + 150 * waves + numbers(*shape) % 7).astype(np.uint16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_classic(tmp_path / "scan", smooth(), GEOMETRIES["oblique"], thickness=4)
    return tmp_path / "scan"


def dcm2niix(folder: Path, out: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (x, y, z) or (t, x, y, z), and affine."""
    tool, nib = pytest.importorskip("dcm2niix"), pytest.importorskip("nibabel")
    out.mkdir()
    subprocess.run(
        [tool.bin, "-z", "n", "-b", "n", "-f", "%d", "-o", out, folder], check=True, capture_output=True
    )
    (found,) = (f for f in out.glob("*.nii") if "Uncertainty" not in f.name)
    image = nib.load(found)
    data = np.asarray(image.dataobj, np.float64)
    return (np.moveaxis(data, 3, 0) if data.ndim == 4 else data), image.affine


def simpleitk(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    sitk = pytest.importorskip("SimpleITK")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(float), np.diag([-1.0, -1, 1, 1]) @ affine


def same_world(direct: Path, data: np.ndarray, affine: np.ndarray) -> float:
    """Farthest any voxel of `data` lies from its place in the image `direct` (mm); values agree to a code."""
    image = open_volume(direct)
    wanted = image.data if image.data.ndim == 4 else image.data[None]
    found = data if data.ndim == 4 else data[None]
    assert wanted.shape[0] == found.shape[0]
    index = np.stack(np.meshgrid(*(np.arange(n) for n in found.shape[1:]), indexing="ij"), -1)
    exact = (index @ affine[:3, :3].T + affine[:3, 3] - image.grid.affine[:3, 3]) @ np.linalg.inv(
        image.grid.affine[:3, :3]
    ).T
    near = np.rint(exact).astype(int)
    assert near.min() >= 0
    assert tuple(near.reshape(-1, 3).max(0) + 1) == wanted.shape[1:]
    off = np.linalg.norm((exact - near) @ image.grid.affine[:3, :3].T, axis=-1).max()
    values = wanted[:, near[..., 0], near[..., 1], near[..., 2]]
    assert np.abs(values - found).max() <= 0.51 * np.abs(wanted).max() / 32767
    return float(off)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_round_trip(name: str, tmp_path: Path, medsr: Command) -> None:
    """DICOM, reconstruct, DICOM, then dcm2niix, SimpleITK and medsr: the world of the NIfTI route, to 1e-3 mm."""
    write_classic(tmp_path / "scan", smooth(), GEOMETRIES[name])
    common = ("reconstruct", tmp_path / "scan", "--spacing", "0.7,0.8,1.1", "--noise", "0")
    assert medsr(*common, "-o", tmp_path / "direct.nii.gz").code == 0
    assert medsr(*common, "-o", tmp_path / "series", "--format", "dicom").code == 0
    assert same_world(tmp_path / "direct.nii.gz", *dcm2niix(tmp_path / "series", tmp_path / "nii")) < 1e-3
    assert same_world(tmp_path / "direct.nii.gz", *simpleitk(tmp_path / "series")) < 1e-3
    ours = open_volume(tmp_path / "series")
    assert same_world(tmp_path / "direct.nii.gz", ours.data, ours.grid.affine) < 1e-3


@pytest.mark.parametrize("kind", ["enhanced", "mosaic", "4D"])
def test_round_trip_of_other_kinds(kind: str, tmp_path: Path, medsr: Command) -> None:
    scan = tmp_path / "scan"
    scan.mkdir()
    affine = GEOMETRIES["oblique"]
    data = np.stack([smooth(), smooth() + 9])
    if kind == "enhanced":
        write_enhanced(scan / "a.dcm", smooth(), affine)
    elif kind == "mosaic":
        write_mosaic(scan, data, affine)
    else:
        write_classic(scan, data, affine)
    common = ("reconstruct", scan, "--spacing", "0.7,0.9,1", "--noise", "0")
    assert medsr(*common, "-o", tmp_path / "direct.nii.gz").code == 0
    assert medsr(*common, "-o", tmp_path / "series", "--format", "dicom").code == 0
    assert same_world(tmp_path / "direct.nii.gz", *dcm2niix(tmp_path / "series", tmp_path / "nii")) < 1e-3


def test_a_series_with_its_sidecar_and_report(folder: Path, tmp_path: Path, medsr: Command) -> None:
    ran = medsr("reconstruct", folder, "-o", tmp_path / "out", "--format", "dicom")
    assert (ran.code, ran.err) == (0, "")
    found = names(tmp_path / "out")
    count = len([n for n in found if n.startswith("IMG")])
    assert f"wrote {tmp_path / 'out'}: {count + 1} DICOM files, report.html, sidecar.json" in ran.out
    assert found == [
        *(f"IMG{n + 1:06d}.dcm" for n in range(count)),
        "MAP000001.dcm",
        "report.html",
        "sidecar.json",
    ]
    said = json.loads((tmp_path / "out" / "sidecar.json").read_text(encoding="utf-8"))
    assert said["medsr"]["input"]["series"] == "1"
    assert said["medsr"]["input"]["files"] == 5
    assert sorted(said["medsr"]["outputs"]) == found[:-1]
    images = [pydicom.dcmread(tmp_path / "out" / n) for n in found[:count]]
    assert {str(i.SeriesInstanceUID) for i in images} == {said["medsr"]["series_uid"]}
    assert images[0].StudyInstanceUID == "1.2.826.1.5"
    assert images[0].ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert images[0].DerivationDescription.startswith("Research use only. medsr")
    assert len({(i.WindowCenter, i.WindowWidth) for i in images}) == 1


def test_a_picture_of_the_report(folder: Path, tmp_path: Path, medsr: Command) -> None:
    common = ("reconstruct", folder, "--format", "dicom", "--capture")
    for name, more in (("a", ()), ("b", ("--deidentify",))):
        assert medsr(*common, "-o", tmp_path / name, *more).code == 0
        one = pydicom.dcmread(tmp_path / name / "CAP000001.dcm")
        image = pydicom.dcmread(tmp_path / name / "IMG000001.dcm")
        assert one.StudyInstanceUID == image.StudyInstanceUID
        assert one.PatientID == image.PatientID
        assert one.SeriesInstanceUID != image.SeriesInstanceUID
        assert one.pixel_array.std() > 10
        said = json.loads((tmp_path / name / "sidecar.json").read_text(encoding="utf-8"))
        assert "CAP000001.dcm" in said["medsr"]["outputs"]
    ran = medsr("reconstruct", folder, "--capture")
    assert (ran.code, "--capture is for DICOM" in ran.line) == (2, True)
    # and the series is read back without it
    assert open_volume(tmp_path / "a").grid.shape[2] > 20


def test_the_same_again_gives_the_same_bytes(folder: Path, tmp_path: Path, medsr: Command) -> None:
    for name in ("a", "b"):
        shutil.copytree(folder, tmp_path / f"in {name}")
        assert medsr("reconstruct", tmp_path / f"in {name}", "-o", tmp_path / name, "--format", "dicom").code == 0
    for file in sorted((tmp_path / "a").glob("*.dcm")):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    assert medsr("reconstruct", folder, "-o", tmp_path / "c", "--format", "dicom", "--noise", "0").code == 0
    uids = {pydicom.dcmread(tmp_path / n / "IMG000001.dcm").SeriesInstanceUID for n in "abc"}
    assert len(uids) == 2


def test_what_is_in_the_folder_stays(folder: Path, tmp_path: Path, medsr: Command) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "letter.txt").write_text("precious")
    common = ("reconstruct", folder, "--format", "dicom", "-o")
    for more in ((), ("--force",)):
        ran = medsr(*common, out, *more)
        assert ran.code == 4
        assert "holds other files; got 'letter.txt'" in ran.line
        ran = medsr(*common, folder, *more)
        assert ran.code == 4
        assert "the scan lies in this folder" in ran.line
    assert names(out) == ["letter.txt"]
    assert medsr(*common, tmp_path / "new").code == 0
    ran = medsr(*common, tmp_path / "new")
    assert (ran.code, "exists already" in ran.line) == (4, True)
    assert medsr(*common, tmp_path / "new", "--force", "--no-report").code == 0
    assert "report.html" not in names(tmp_path / "new")
    ran = medsr(*common, tmp_path / "new", "--skip-existing")
    assert (ran.code, "skipped" in ran.out) == (0, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "new", "scan"]


def test_default_names(folder: Path, tmp_path: Path, medsr: Command) -> None:
    assert medsr("reconstruct", folder).code == 0
    assert medsr("reconstruct", folder, "--format", "dicom").code == 0
    assert medsr("reconstruct", sorted(folder.iterdir())[0]).code == 3  # one slice of many
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "scan",
        "scan_desc-sr",
        *(f"scan_desc-sr{e}" for e in (".html", ".json", ".nii.gz", "_residual.nii.gz", "_uncertainty.nii.gz")),
    ]


def test_several_series(tmp_path: Path, medsr: Command) -> None:
    study = tmp_path / "study"
    for n in (3, 5):
        write_classic(study / str(n), smooth(), GEOMETRIES["axial"], seed=str(n))
    ran = medsr("reconstruct", study)
    assert ran.code == 3
    assert "2 series fit; got 3 (MR, 5 images)" in ran.line
    assert "choose with --series NUMBER" in ran.line
    for n in (3, 5):
        assert medsr("reconstruct", study, "--series", n, "-o", tmp_path / "out/").code == 0
    assert medsr("reconstruct", study, "--series", 4).code == 3
    images = [n for n in names(tmp_path / "out") if n.endswith("desc-sr.nii.gz")]
    assert images == ["study_series-3_desc-sr.nii.gz", "study_series-5_desc-sr.nii.gz"]
    assert medsr("reconstruct", study / "3", study / "5", "-o", tmp_path / "two", "--format", "dicom").code == 0
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["3_desc-sr", "5_desc-sr"]


def test_an_image_becomes_a_series_of_its_own(tmp_path: Path, medsr: Command) -> None:
    scan = thick_scan(tmp_path / "scan.nii.gz")
    assert medsr("reconstruct", scan, "--format", "dicom", "-o", tmp_path / "out").code == 0
    assert medsr("reconstruct", scan, "-o", tmp_path / "direct.nii.gz").code == 0
    assert same_world(tmp_path / "direct.nii.gz", *dcm2niix(tmp_path / "out", tmp_path / "nii")) < 1e-3


def test_ct_is_no_source_of_a_derived_mr_series(tmp_path: Path, medsr: Command) -> None:
    def edit(one, time, place):
        one.Modality = "CT"

    write_classic(tmp_path / "ct", smooth(), GEOMETRIES["axial"], edit=edit)
    ran = medsr("reconstruct", tmp_path / "ct", "--format", "dicom", "-o", tmp_path / "out")
    assert ran.code == 3
    assert "needs an MR source; got series 1 of modality CT" in ran.line
    assert "warning: modality CT, not MR" in medsr("reconstruct", tmp_path / "ct").out


def test_info(folder: Path, tmp_path: Path, medsr: Command) -> None:
    ran = medsr("info", folder)
    assert ran.code == 0
    assert "series                   1 (MR, 5 images): 12 x 10 x 5 voxels of 0.7 x 0.9 x 5 mm, axial" in ran.out
    assert "slice thickness 4 mm, by the header" in ran.out
    write_classic(tmp_path / "other", smooth(), GEOMETRIES["axial"], seed="2")
    (tmp_path / "other").rename(folder / "other")
    ran = medsr("info", folder, "--json")
    said = json.loads(ran.out)
    assert [(s["series"], s["images"], s["fits"]) for s in said["series"]] == [("1", 5, True), ("2", 5, True)]
    assert "shape" not in said
    assert "t1 ax" not in medsr("info", folder).out
    assert "t1 ax" in medsr("info", folder, "--descriptions").out
    assert json.loads(medsr("info", folder, "--series", "2", "--json").out)["shape"] == list(SHAPE)
    assert medsr("info", folder, "--series", "9").code == 3


def test_a_full_disk_leaves_nothing(
    folder: Path, tmp_path: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medsr.io.dicom import write

    real = write.save

    def full(data, path):
        if path.name == "IMG000003.dcm":
            raise OSError(28, "No space left on device")
        real(data, path)

    monkeypatch.setattr(write, "save", full)
    ran = medsr("reconstruct", folder, "--format", "dicom", "-o", tmp_path / "out")
    assert ran.code == 4
    assert "the disk is full" in ran.line
    assert [p.name for p in tmp_path.iterdir()] == ["scan"]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian's dicom3tools)")
@pytest.mark.parametrize("more", [(), ("--deidentify", "--capture")])
def test_dciodvfy(more: tuple[str, ...], folder: Path, tmp_path: Path, medsr: Command) -> None:
    assert medsr("reconstruct", folder, "--format", "dicom", "-o", tmp_path / "out", *more).code == 0
    for path in sorted((tmp_path / "out").glob("*.dcm")):
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert not [line for line in said.splitlines() if line.startswith("Error")], said


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    """A study with the marker in every identifying attribute, and a broken series beside it."""
    with config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_classic(tmp_path / "study" / "Roe_Jane", smooth(), GEOMETRIES["oblique"], edit=mark)
        broken = write_classic(tmp_path / "study" / "bad", smooth(), GEOMETRIES["axial"], seed="2", edit=mark)
    broken[2].unlink()
    return tmp_path / "study"


def leaks(*folders: Path) -> list[str]:
    """Files that have the marker, in their names or in them."""
    files = [p for folder in folders for p in folder.rglob("*")]
    return [str(p) for p in files if MARK in p.name or (p.is_file() and MARK.encode() in p.read_bytes())]


def test_the_marker_comes_out_nowhere(
    marked: Path, tmp_path: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    good, bad = marked / "Roe_Jane", marked / "bad"
    commands = [
        ("reconstruct", good, "-o", out / "a.nii.gz"),
        ("reconstruct", good, "-o", out / "b.nii.gz", "-v"),
        ("reconstruct", good, "-o", out / "c", "--format", "dicom", "--deidentify", "--capture"),
        ("reconstruct", good, "-o", out / "d", "--format", "dicom", "--deidentify", "--log-json"),
        ("reconstruct", good, bad, "-o", out / "e", "--deidentify", "--debug"),
        ("reconstruct", marked, "--debug"),
        ("reconstruct", marked, "--series", "7"),
        ("batch", marked, "-o", out / "f", "--format", "dicom", "--deidentify"),
        ("batch", marked, "-o", out / "g", "--log-json", "--debug"),
        ("info", marked),
        ("info", marked, "--json"),
        ("info", good, "--series", "1"),
    ]
    for arguments in commands:
        ran = medsr(*arguments)
        assert ran.code in (0, 3, 8), ran
        assert MARK not in ran.out + ran.err, arguments
    assert len(list(out.rglob("*.dcm"))) > 20
    assert len(list(out.rglob("*.html"))) >= 7
    assert leaks(out, scratch) == []
    for sidecar in (out / "c" / "sidecar.json", out / "f" / "Roe_Jane_desc-sr" / "sidecar.json"):
        said = json.loads(sidecar.read_text(encoding="utf-8"))
        assert "Roe" not in json.dumps(said)  # nor the name of the folder, which may be a patient's
        assert "Roe" not in sidecar.with_name("report.html").read_text(encoding="utf-8")


def test_an_identified_series_names_the_patient_in_its_files_alone(
    marked: Path, tmp_path: Path, medsr: Command
) -> None:
    out = tmp_path / "out"
    ran = medsr("reconstruct", marked / "Roe_Jane", "-o", out, "--format", "dicom")
    assert ran.code == 0
    assert MARK not in ran.out + ran.err
    assert {Path(p).suffix for p in leaks(out)} == {".dcm"}


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_what_a_killed_run_leaves_names_nobody(marked: Path, tmp_path: Path) -> None:
    for stop in ("reading", "reconstructing", "writing"):
        out = tmp_path / stop
        child = program("reconstruct", marked / "Roe_Jane", "-o", out / "s", "--format", "dicom", "--deidentify",
                        "--spacing", "0.5", "--log-json")  # fmt: skip
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line).get("stage") == stop:
                break
        child.send_signal(signal.SIGKILL)
        child.communicate()
        if out.exists():
            assert leaks(out) == []
            assert [p.name for p in out.iterdir() if not p.name.startswith(".")] in ([], ["s"])
