"""A worker beside a real Orthanc: results come back into their study, once, and into no loop."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import psutil
import pydicom
import pytest

from medsr.cli.main import main
from tests.conftest import smooth_head
from tests.io.dicom.synthetic import GEOMETRIES, write_classic
from tests.pipelines.orthanc.system import RULES, THERE, wait_for

pytestmark = pytest.mark.skipif(not THERE, reason="needs Debian's orthanc and orthanc-dicomweb")


def scan(folder, seed=1, geometry="oblique", edit=lambda *_: None):
    """A small head as a series of its own in one study."""
    data = (10 * smooth_head((16, 14, 6), seed)).astype(np.uint16)
    write_classic(folder, data, GEOMETRIES[geometry], seed=str(seed), edit=edit)
    return folder


def delivered(server) -> dict[str, bytes]:
    """The results on the server, as they were sent, by SOP Instance UID."""
    return {tags["SOPInstanceUID"]: server.ask(f"/instances/{tags['ID']}/file") for tags in server.results()}


def reconstructed(folder: Path, out: Path, *options: str) -> dict[str, bytes]:
    """What `medsr reconstruct` makes of the original series."""
    assert main(["reconstruct", str(folder), *options, "--format", "dicom", "--no-report", "-o", str(out)]) in (
        0,
        7,
    )
    files = sorted(out.rglob("*.dcm"))
    return {str(pydicom.dcmread(path).SOPInstanceUID): path.read_bytes() for path in files}


def done(worker, count):
    return lambda: worker.counts().get("done", 0) >= count


def test_a_series_comes_back(orthanc, worker, tmp_path):
    """Into the same study and patient, marked, once, to the byte as `medsr reconstruct` makes it; its own result
    is left alone, and no port is open.
    """
    server = orthanc()
    server.send(scan(tmp_path / "scan"))
    rules = RULES.replace('"0"', '"0", "--capture"')
    one = worker(server, rules=rules).start()
    wait_for(done(one, 1), what="the result")
    wait_for(lambda: "made by medsr" in one.said(), what="the worker's second thoughts about its own series")
    process = psutil.Process(one.pid)
    for each in (process, *process.children(recursive=True)):
        assert not [c for c in each.net_connections() if c.status == psutil.CONN_LISTEN]
    results = server.results()
    assert results
    for tags in results:
        assert tags["StudyInstanceUID"] == "1.2.826.1.5"
        assert (tags["PatientName"], tags["PatientID"]) == ("Doe^Jane", "P1")
    series = {(tags["SeriesInstanceUID"], tags["SeriesDescription"]) for tags in results}
    said = ["Report [RESEARCH USE ONLY]", "Uncertainty [RESEARCH USE ONLY]", "t1 ax [RESEARCH USE ONLY]"]
    assert sorted(each for _, each in series) == said
    assert delivered(server) == reconstructed(tmp_path / "scan", tmp_path / "direct", "--noise", "0", "--capture")
    assert one.counts() == {"done": 1}
    assert one.stop() == 0
    assert not list((one.state / "jobs").iterdir())
    assert set(server.stored().values()) == {1}


DATA = Path(os.environ.get("MEDSR_DATA", "/nowhere"))
HEADERS = "dicom/dicom2nifti_headers"


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "options"),
    [
        ("dicom/SAG-anon_skyra_mprage", ("--spacing", "0.86,0.86,0.8")),
        (f"{HEADERS}/ge/anatomical/001", ("--spacing", "0.9")),
        (f"{HEADERS}/philips/anatomical/001", ("--spacing", "0.9")),
        (f"{HEADERS}/siemens_multiframe/anatomical/001", ("--spacing", "0.9")),
    ],
)
def test_a_real_series_comes_back(orthanc, worker, tmp_path, folder, options):
    """As `medsr reconstruct` makes it of the original: to the byte, so with the same geometry."""
    options = (*options, "--noise", "0", "--method", "spline")
    server = orthanc()
    server.send(DATA / folder)
    listed = ", ".join(f'"{option}"' for option in options)
    one = worker(server, rules=f'[[rules]]\nname = "all"\noptions = [{listed}]').start()
    wait_for(lambda: one.counts() in ({"done": 1}, {"failed": 1}), 400, "the result")
    one.stop()
    assert one.counts() == {"done": 1}, one.said()
    assert delivered(server) == reconstructed(DATA / folder, tmp_path / "direct", *options)
    assert set(server.stored().values()) == {1}
