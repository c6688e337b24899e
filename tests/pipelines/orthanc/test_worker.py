"""A worker beside a real Orthanc: results come back into their study, once, and into no loop."""

from __future__ import annotations

import numpy as np
import psutil
import pytest

from tests.conftest import smooth_head
from tests.io.dicom.synthetic import GEOMETRIES, write_classic
from tests.pipelines.orthanc.system import THERE, wait_for

pytestmark = pytest.mark.skipif(not THERE, reason="needs Debian's orthanc and orthanc-dicomweb")


def scan(folder, seed=1, geometry="oblique", edit=lambda *_: None):
    """A small head as a series of its own in one study."""
    data = (10 * smooth_head((16, 14, 6), seed)).astype(np.uint16)
    write_classic(folder, data, GEOMETRIES[geometry], seed=str(seed), edit=edit)
    return folder


def done(worker, count):
    return lambda: worker.counts().get("done", 0) >= count


def test_a_series_comes_back(orthanc, worker, tmp_path):
    """Into the same study and patient, marked, once; its own result is left alone, and no port is open."""
    server = orthanc()
    server.send(scan(tmp_path / "scan"))
    one = worker(server).start()
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
        assert tags["SeriesDescription"] == "t1 ax [RESEARCH USE ONLY]"
    assert len({tags["SeriesInstanceUID"] for tags in results}) == 1
    assert one.counts() == {"done": 1}
    assert one.stop() == 0
    assert not list((one.state / "jobs").iterdir())
    assert set(server.stored().values()) == {1}


def test_a_result_by_dicomweb(orthanc, worker, tmp_path):
    server = orthanc()
    server.send(scan(tmp_path / "scan"))
    one = worker(server, delivery='[delivery]\nby = "dicomweb"').start()
    wait_for(done(one, 1), what="the result")
    assert {tags["PatientName"] for tags in server.results()} == {"Doe^Jane"}
    assert set(server.stored().values()) == {1}
