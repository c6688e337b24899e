"""A page of the report as a Secondary Capture."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from medsr.errors import OutputError
from medsr.io.dicom import list_series, write_capture
from tests.io.dicom.synthetic import GEOMETRIES, numbers, write_classic

PICTURE = np.random.default_rng(0).integers(0, 256, (33, 21, 3)).astype(np.uint8)


@pytest.fixture
def source(tmp_path):
    write_classic(tmp_path / "source", numbers(8, 6, 4), GEOMETRIES["oblique"])
    return list_series(tmp_path / "source")[0]


def test_it_joins_the_study(tmp_path, source):
    path = write_capture(tmp_path / "a" / "report.dcm", PICTURE, "Report", source=source)
    one = pydicom.dcmread(path)
    assert (one.StudyInstanceUID, one.PatientID) == ("1.2.826.1.5", "P1")
    assert one.SeriesDescription == "Report [RESEARCH USE ONLY]"
    assert np.array_equal(one.pixel_array, PICTURE)
    other = write_capture(tmp_path / "b.dcm", PICTURE, "Report", source=source)
    assert path.read_bytes() == other.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_capture(path, PICTURE, "Report", source=source)
    assert [p.name for p in path.parent.iterdir()] == ["report.dcm"]


def test_deidentified(tmp_path, source):
    path = write_capture(tmp_path / "r.dcm", PICTURE, "Report", source=source, deidentify=True)
    assert not [word for word in (b"Doe", b"1.2.826.1.5", b"19700101") if word in path.read_bytes()]


def test_not_a_picture(tmp_path):
    with pytest.raises(OutputError, match="not a picture"):
        write_capture(tmp_path / "r.dcm", PICTURE[..., 0], "Report")


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian's dicom3tools)")
@pytest.mark.parametrize("deidentify", [False, True])
def test_dciodvfy_finds_no_error(tmp_path, source, deidentify):
    path = write_capture(tmp_path / "r.dcm", PICTURE, "Report", source=source, deidentify=deidentify)
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert not [line for line in said.splitlines() if line.startswith("Error")], said
