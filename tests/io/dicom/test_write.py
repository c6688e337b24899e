"""What medsr writes: valid DICOM, at the right place, the same every time, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage, ParametricMapStorage

from medsr.errors import InputError, OutputError
from medsr.io.dicom import choose_series, list_series, read, read_series
from medsr.io.dicom.codes import choose_coding
from medsr.io.dicom.uids import derived_uid, is_uid
from medsr.io.dicom.write import Derivation, write_series
from medsr.volume import Grid, ScanFacts, Volume
from tests.io.dicom.synthetic import GEOMETRIES, assert_same_world, numbers, write_classic, write_enhanced

MADE = Derivation("made by a test", {"method": "test", "seed": 3})
AFFINE = GEOMETRIES["oblique"]


@pytest.fixture
def source(tmp_path):
    write_classic(tmp_path / "source", numbers(8, 6, 4), AFFINE, thickness=4)
    return list_series(tmp_path / "source")[0]


def result(grid: Grid, *, times: int = 0, whole: bool = False, seed: int = 0) -> Volume:
    """Voxels on a finer grid."""
    random = np.random.default_rng(seed)
    shape = (times, *grid.shape) if times else grid.shape
    data = random.integers(0, 3000, shape) if whole else random.gamma(3, 100, shape)
    return Volume(data.astype(np.float32), grid, ScanFacts(slice_thickness=4, tr=2.0 if times else None))


def finer(info) -> Grid:
    return info.grid.resampled((0.6, 0.7, 1.1))


def heads(written) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in written.files if path.name.startswith("IMG")]


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("enhanced", [False, True])
def test_geometry_comes_back(tmp_path, name, enhanced):
    """Axes of any handedness and direction; whole numbers keep their values."""
    grid = Grid((7, 5, 6), GEOMETRIES[name])
    volume = result(grid, whole=True)
    written = write_series(tmp_path / "out", volume, MADE, enhanced=enhanced)
    assert_same_world(read(tmp_path / "out"), volume.data, grid.affine, tolerance=1e-6)
    assert all(path.suffix == ".dcm" for path in written.files)
    assert len(written.files) == (1 if enhanced else 6)


def test_read_by_simpleitk(tmp_path, source):
    sitk = pytest.importorskip("SimpleITK")
    volume = result(finer(source), whole=True)
    write_series(tmp_path / "out", volume, MADE, source=source)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    found = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    assert_same_world(volume, found, np.diag([-1.0, -1, 1, 1]) @ affine)


@pytest.mark.parametrize("times", [0, 3])
@pytest.mark.parametrize("enhanced", [False, True])
def test_read_by_dcm2niix(tmp_path, source, times, enhanced):
    tool = pytest.importorskip("dcm2niix")
    nib = pytest.importorskip("nibabel")
    volume = result(finer(source), times=times, whole=True)
    write_series(tmp_path / "out", volume, MADE, source=source, enhanced=enhanced)
    (tmp_path / "nii").mkdir()
    command = [tool.bin, "-z", "n", "-b", "n", "-f", "x", "-o", tmp_path / "nii", tmp_path / "out"]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = (tmp_path / "nii").glob("*.nii")
    image = nib.load(path)
    data = np.asarray(image.dataobj)
    assert_same_world(volume, np.moveaxis(data, 3, 0) if times else data, image.affine)
    if times and not enhanced:
        assert image.header["pixdim"][4] == pytest.approx(0.6)  # dcm2niix takes the repetition time of the source


def test_it_joins_its_study(tmp_path, source):
    written = write_series(tmp_path / "out", result(finer(source)), MADE, source=source)
    images = heads(written)
    one = images[0]
    assert {i.SOPClassUID for i in images} == {MRImageStorage}
    assert (one.StudyInstanceUID, one.FrameOfReferenceUID) == ("1.2.826.1.5", "1.2.826.1.7")
    assert (one.PatientID, str(one.PatientName), one.PatientBirthDate) == ("P1", "Doe^Jane", "19700101")
    assert one.SeriesInstanceUID == written.series_uid != source.uid
    assert len({i.SOPInstanceUID for i in images}) == len(images)
    assert one.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert one.SeriesDescription == "t1 ax [RESEARCH USE ONLY]"
    assert one.SeriesNumber == 9001
    assert one.DerivationDescription == "made by a test"
    assert [c.CodeValue for c in one.DerivationCodeSequence] == ["113085"]
    assert len(one.SourceImageSequence) == 4
    purposes = {
        e.PurposeOfReferenceCodeSequence[0].CodeValue: e.Manufacturer for e in one.ContributingEquipmentSequence
    }
    assert purposes == {"109101": "Maker", "109102": "medsr"}
    assert (one.SliceThickness, one.SpacingBetweenSlices) == pytest.approx((finer(source).spacing[2],) * 2)
    assert one.PixelSpacing == pytest.approx([0.7, 0.6])
    assert (one.RepetitionTime, one.EchoTime, one.ScanningSequence) == (600, 12.5, "SE")
    assert len({(i.WindowCenter, i.WindowWidth, i.RescaleSlope) for i in images}) == 1
    assert one.preamble == bytes(128)


def test_learned_results_say_so(tmp_path, source):
    made = Derivation("made by a network", learned=True, slice_thickness=2.5)
    one = heads(write_series(tmp_path / "out", result(finer(source)), made, source=source))[0]
    assert [(c.CodeValue, c.CodingSchemeDesignator) for c in one.DerivationCodeSequence] == [
        ("113085", "DCM"),
        ("123110", "DCM"),
    ]
    assert one.SliceThickness == 2.5


@pytest.mark.parametrize(("sequence", "kept"), [("GR", False), (["GR", "IR"], True)])
def test_an_inversion_time_needs_an_inversion(tmp_path, sequence, kept):
    def edit(one, time, place):
        one.ScanningSequence, one.InversionTime = sequence, "450"

    write_classic(tmp_path / "source", numbers(8, 6, 4), AFFINE, edit=edit)
    source = list_series(tmp_path / "source")[0]
    one = heads(write_series(tmp_path / "out", result(finer(source)), MADE, source=source))[0]
    assert one.get("InversionTime") == (450 if kept else None)


def test_long_descriptions_keep_the_mark(tmp_path, source):
    written = write_series(
        tmp_path / "out", result(finer(source)), MADE, source=source, series_description="x" * 90
    )
    description = heads(written)[0].SeriesDescription
    assert len(description) == 64
    assert description.endswith("[RESEARCH USE ONLY]")


def test_times(tmp_path):
    write_classic(tmp_path / "source", numbers(3, 8, 6, 4), AFFINE)
    info = list_series(tmp_path / "source")[0]
    volume = result(finer(info), times=3, whole=True)
    written = write_series(tmp_path / "out", volume, MADE, source=info)
    assert_same_world(read(tmp_path / "out"), volume.data, volume.grid.affine)
    one = heads(written)[-1]
    assert (one.TemporalPositionIdentifier, one.NumberOfTemporalPositions, one.TemporalResolution) == (3, 3, 2000)
    assert {s.ReferencedSOPInstanceUID for s in one.SourceImageSequence} == {
        f"1.2.826.1.8.1.{n}" for n in range(9, 13)
    }


def test_an_enhanced_source(tmp_path):
    write_enhanced(tmp_path / "source" / "a.dcm", numbers(5, 4, 6), AFFINE)
    info = list_series(tmp_path / "source")[0]
    one = heads(write_series(tmp_path / "out", result(finer(info)), MADE, source=info))[0]
    assert (one.RepetitionTime, one.EchoTime) == (2500, 33)
    assert [s.ReferencedSOPInstanceUID for s in one.SourceImageSequence] == ["1.2.826.1.8.77"]


def test_enhanced_output(tmp_path, source):
    written = write_series(tmp_path / "out", result(finer(source)), MADE, source=source, enhanced=True)
    (one,) = heads(written)
    assert one.SOPClassUID == EnhancedMRImageStorage
    assert one.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0].SeriesInstanceUID == source.uid


def test_values_are_kept_to_half_a_code(tmp_path, source):
    volume = result(finer(source))
    volume.data[0, 0, 0] = -volume.data.max() / 3
    write_series(tmp_path / "out", volume, MADE, source=source)
    found = read(tmp_path / "out")
    step = float(np.abs(volume.data).max()) / 32767
    assert np.abs(found.data - volume.data).max() <= 0.51 * step


@pytest.mark.parametrize("scale", [1e-30, 1e-5, 0.3, 7, 1e9, 1e30])
@pytest.mark.parametrize("signed", [False, True])
def test_codings_hold_all_values(scale, signed):
    data = (np.random.default_rng(0).gamma(2, 1, (6, 7, 8)) * scale).astype(np.float32)
    data = data - data.mean() if signed else data
    coding = choose_coding(data)
    codes = np.frombuffer(coding.encode(data), "<i2" if signed else "<u2").reshape(data.shape)
    assert np.abs(codes * coding.slope - data).max() <= 0.51 * np.abs(data).max() / (32767 if signed else 65535)
    assert len(str(pydicom.valuerep.DSfloat(coding.slope, auto_format=True))) <= 16


def test_a_constant_result(tmp_path, source):
    grid = finer(source)
    write_series(tmp_path / "out", Volume(np.zeros(grid.shape, np.float32), grid), MADE, source=source)
    assert not read(tmp_path / "out").data.any()


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_same_again_is_the_same_bytes(tmp_path, source):
    volume = result(finer(source))
    sigma = volume.with_data(volume.data * 0.1)
    for name in ("a", "b"):
        write_series(tmp_path / name, volume, MADE, source=source, uncertainty=sigma)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_anything_else_has_other_uids(tmp_path, source):
    volume = result(finer(source))
    kinds = {
        "plain": (volume, MADE, {}),
        "voxels": (result(finer(source), seed=1), MADE, {}),
        "parameters": (volume, Derivation(MADE.description, {"method": "test", "seed": 4}), {}),
        "learned": (volume, Derivation(MADE.description, MADE.parameters, learned=True), {}),
        "enhanced": (volume, MADE, {"enhanced": True}),
        "private": (volume, MADE, {"deidentify": True}),
    }
    uids = {
        write_series(tmp_path / name, one, made, source=source, **options).series_uid
        for name, (one, made, options) in kinds.items()
    }
    assert len(uids) == len(kinds)
    assert all(uid.startswith("2.25.") and is_uid(uid) for uid in uids)


def test_derived_uids():
    assert derived_uid("a", "bc") == derived_uid("a", "bc") != derived_uid("ab", "c")
    assert derived_uid("a").is_valid


def test_uncertainty_is_a_parametric_map(tmp_path, source):
    volume = result(finer(source))
    sigma = volume.with_data(np.abs(volume.data) * 0.03)
    written = write_series(tmp_path / "out", volume, MADE, source=source, uncertainty=sigma)
    (path,) = (p for p in written.files if p.name.startswith("MAP"))
    one = pydicom.dcmread(path)
    assert one.SOPClassUID == ParametricMapStorage
    assert one.SeriesInstanceUID == written.uncertainty_uid != written.series_uid
    assert (one.StudyInstanceUID, one.FrameOfReferenceUID) == ("1.2.826.1.5", "1.2.826.1.7")
    assert one.SeriesDescription.endswith("[RESEARCH USE ONLY]")
    assert one.ContentQualification == "RESEARCH"
    frames = np.stack(
        [
            np.frombuffer(one.FloatPixelData, "<f4").reshape(one.NumberOfFrames, one.Rows, one.Columns)[n]
            for n in range(one.NumberOfFrames)
        ]
    )
    shared = one.SharedFunctionalGroupsSequence[0]
    orientation = [float(v) for v in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
    positions = [
        [float(v) for v in g.PlanePositionSequence[0].ImagePositionPatient]
        for g in one.PerFrameFunctionalGroupsSequence
    ]
    affine = np.eye(4)
    row, column = (float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing)
    affine[:3, 0], affine[:3, 1] = np.array(orientation[:3]) * column, np.array(orientation[3:]) * row
    affine[:3, 2], affine[:3, 3] = np.subtract(positions[1], positions[0]), positions[0]
    assert_same_world(sigma, frames.transpose(2, 1, 0), np.diag([-1.0, -1, 1, 1]) @ affine)
    assert read_series(choose_series(list_series(tmp_path / "out"))).data.shape == volume.data.shape


@pytest.mark.parametrize("enhanced", [False, True])
def test_uncertainty_in_time(tmp_path, source, enhanced):
    volume = result(finer(source), times=2)
    written = write_series(tmp_path / "o", volume, MADE, source=source, uncertainty=volume, enhanced=enhanced)
    maps = [pydicom.dcmread(path) for path in written.files if path.name.startswith("MAP")]
    assert len({one.SOPInstanceUID for one in maps}) == 2


def test_what_is_there_stays(tmp_path, source):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    volume = result(finer(source))
    with pytest.raises(OutputError, match="exists already"):
        write_series(tmp_path / "out", volume, MADE, source=source)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    write_series(tmp_path / "out", volume, MADE, source=source, overwrite=True)
    assert not (tmp_path / "out" / "mine.txt").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "source"]


def test_a_failure_half_way_leaves_nothing(tmp_path, source, monkeypatch):
    from medsr.io.dicom import write

    real, calls = write.save, []

    def full(data, path):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(data, path)

    monkeypatch.setattr(write, "save", full)
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match=r"out: the disk is full.* after \d{4,} bytes"):
        write_series(tmp_path / "out", result(finer(source)), MADE, source=source)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "source"]
    assert not list((tmp_path / "out").iterdir())


def test_what_cannot_be_written(tmp_path, source):
    volume = result(finer(source))
    volume.data[1, 1, 1] = np.nan
    with pytest.raises(OutputError, match="NaN"):
        write_series(tmp_path / "out", volume, MADE, source=source)
    volume.data[1, 1, 1] = 0
    other = Volume(volume.data, Grid(volume.grid.shape, AFFINE))
    with pytest.raises(OutputError, match="does not lie on the grid"):
        write_series(tmp_path / "out", volume, MADE, source=source, uncertainty=other)

    def edit(one, time, place):
        one.Modality = "CT"

    write_classic(tmp_path / "ct", numbers(8, 6, 4), AFFINE, edit=edit)
    with pytest.raises(InputError, match="needs an MR source"):
        write_series(tmp_path / "out", volume, MADE, source=list_series(tmp_path / "ct")[0])
    assert not (tmp_path / "out").exists()


def test_a_study_keeps_its_uid_even_a_wrong_one(tmp_path):
    """Leading zeros break the rules, but another UID would tear the study apart."""

    def edit(one, time, place):
        with _silence():
            one.StudyInstanceUID = "1.2.826.01.5"

    with _silence():
        write_classic(tmp_path / "source", numbers(8, 6, 4), AFFINE, edit=edit)
    info = list_series(tmp_path / "source")[0]
    written = write_series(tmp_path / "out", result(finer(info)), MADE, source=info)
    assert b"1.2.826.01.5" in written.files[0].read_bytes()


def ugly(one, time, place):
    """A header with values that break their own rules."""
    with _silence():
        one.PatientBirthDate = "unknown"
        one.StudyTime = "noon"
        one.AccessionNumber = "x" * 40
        one.ScanningSequence = ["SE", "WHATEVER"]
        one.SequenceVariant = "none of these"
        one.RepetitionTime = "-1"
        one.BodyPartExamined = "TÊTE"
        one.FrameOfReferenceUID = "not a uid"


def _silence():
    from pydicom import config

    return config.disable_value_validation()


CASES = {
    "plain": {},
    "private": {"deidentify": True},
    "enhanced": {"enhanced": True},
    "enhanced, private": {"enhanced": True, "deidentify": True},
    "no source": {"source": None},
    "enhanced, no source": {"source": None, "enhanced": True},
    "4D": {"times": 2},
    "enhanced, 4D": {"times": 2, "enhanced": True},
    "ugly source": {"ugly": True},
    "enhanced, ugly source": {"ugly": True, "enhanced": True},
    "learned": {"learned": True},
}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian's dicom3tools)")
@pytest.mark.parametrize("name", CASES)
def test_dciodvfy_finds_no_error(tmp_path, name):
    options = dict(CASES[name])
    with _silence():
        edit = {"edit": ugly} if options.pop("ugly", False) else {}
        write_classic(tmp_path / "source", numbers(8, 6, 4), AFFINE, **edit)
    source = list_series(tmp_path / "source")[0]
    volume = result(finer(source), times=options.pop("times", 0))
    made = Derivation("made by a test", learned=options.pop("learned", False))
    options.setdefault("source", source)
    written = write_series(tmp_path / "out", volume, made, uncertainty=volume, **options)
    for path in (written.files[0], written.files[-1]):
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert not [line for line in said.splitlines() if line.startswith("Error")], said


@pytest.mark.skipif(shutil.which("dcentvfy") is None, reason="needs dcentvfy (Debian's dicom3tools)")
def test_the_series_agrees_with_itself_and_its_source(tmp_path, source):
    written = write_series(tmp_path / "out", result(finer(source)), MADE, source=source)
    files = [*source.files, *written.files]
    done = subprocess.run(["dcentvfy", *files], capture_output=True, text=True, check=False)
    assert not (done.stdout + done.stderr).strip()
