"""A marker in every identifying attribute, one in the password: neither is in a log or a file of the worker."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pydicom import config

from pipelines.orthanc.queue import Queue
from tests.conftest import smooth_head
from tests.io.dicom.synthetic import GEOMETRIES, numbers, write_classic
from tests.io.dicom.test_privacy import MARK, mark
from tests.pipelines.orthanc.inside import Copying, run, settings_of, text_of
from tests.pipelines.orthanc.system import PASSWORD, THERE, wait_for
from tests.pipelines.orthanc.test_inside import wait_stable

pytestmark = pytest.mark.skipif(not THERE, reason="needs Debian's orthanc and orthanc-dicomweb")
DESCRIBED = f"{MARK}\n2024-01-01T00:00:00Z delivered job=1"
LEAKS = [MARK, "19700101", "P1", PASSWORD]


def marked(one, *place):
    """And what a forged line of a log would need."""
    mark(one, *place)
    one.SeriesDescription = DESCRIBED
    one.StudyInstanceUID = "1.2.826.1.5"


def leaks(*folders: Path) -> list[str]:
    """Files with a marker, and which; files that come and go are looked at as far as they are there."""
    found = []
    for folder in folders:
        for path in [folder] if folder.is_file() else [p for p in folder.rglob("*") if p.is_file()]:
            try:
                data = path.read_bytes()
            except OSError:
                continue
            found += [f"{path.name}: {word}" for word in (MARK, PASSWORD) if word.encode() in data]
    return found


def test_at_every_step(orthanc, tmp_path, monkeypatch, capfd):
    """What lies on the disk while a series is reconstructed, while its result waits, and afterwards."""
    server = orthanc()
    with config.disable_value_validation():
        write_classic(tmp_path / "scan", numbers(8, 6, 3), GEOMETRIES["oblique"], edit=marked)
    assert leaks(tmp_path / "scan")
    server.send(tmp_path / "scan")
    wait_stable(server, 1)
    state = tmp_path / "state"
    settings = settings_of(tmp_path / "s.toml", text_of(server, state))
    seen = []
    look = Copying.look

    def watch(maker):
        seen.append(len(list(state.rglob("*.dcm"))))
        assert not leaks(state)
        return look(maker)

    monkeypatch.setattr(Copying, "look", watch)
    run(settings, code=7)
    assert seen == [6]
    assert len(list(state.rglob("*.dcm"))) == 3
    assert not leaks(state)
    queue = Queue(state / "queue.sqlite")
    queue.move(queue.jobs("held")[0], "ready")
    queue.close()
    run(settings)
    assert not leaks(state)
    (study,) = {tags["StudyInstanceUID"] for tags in server.results()}
    assert study == "1.2.826.1.5"
    assert {tags["PatientID"] for tags in server.results()} == {f"{MARK}^{MARK}"}
    said = capfd.readouterr()
    assert "delivered" in said.err
    assert not [word for word in LEAKS if word in said.out + said.err]


def test_a_whole_run(orthanc, worker, tmp_path):
    """Looked at all the time, temporary folder included; one series can be made, one is broken."""
    server = orthanc()
    with config.disable_value_validation():
        data = (10 * smooth_head((12, 10, 4))).astype("uint16")
        write_classic(tmp_path / "scan", data, GEOMETRIES["oblique"], edit=marked)

        def broken(one, time, place):
            marked(one)
            one.ImagePositionPatient = ["0", "0", str([0, 5, 50][place])]

        write_classic(tmp_path / "broken", numbers(8, 6, 3), GEOMETRIES["axial"], seed="2", edit=broken)
    for name in ("scan", "broken"):
        server.send(tmp_path / name)
    one = worker(server, rules='[[rules]]\nname = "all"\noptions = ["--deidentify"]')
    found, over = [], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            found.extend(leaks(one.state, one.log.parent / "tmp", one.log))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        one.start()
        wait_for(lambda: one.counts() == {"done": 1, "failed": 1}, 120, "both to be over")
        status = one.command("status")
        one.stop()
    finally:
        over.set()
        watcher.join()
    assert not found
    assert "evenly" in status.stdout or "spac" in status.stdout
    for text in (status.stdout, status.stderr, one.said()):
        assert not [word for word in LEAKS if word in text]
    for tags in server.results():
        assert MARK not in str(tags)
