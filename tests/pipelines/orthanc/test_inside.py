"""A worker that reconstructs nothing, against a real Orthanc: every way in which things go wrong."""

from __future__ import annotations

import subprocess
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pydicom
import pytest

from medsr.errors import OutputError
from pipelines.orthanc.__main__ import main
from pipelines.orthanc.queue import Queue
from pipelines.orthanc.server import Change, Series
from pipelines.orthanc.worker import Worker
from tests.io.dicom.synthetic import GEOMETRIES, numbers, write_classic, write_enhanced
from tests.pipelines.orthanc.inside import ENVIRONMENT, Accidents, run, settings_of, text_of
from tests.pipelines.orthanc.system import THERE, TlsFront, wait_for

pytestmark = pytest.mark.skipif(not THERE, reason="needs Debian's orthanc and orthanc-dicomweb")


def scans(server, folder: Path, count: int, slices: int = 3, edit=lambda *_: None) -> None:
    for seed in range(1, count + 1):
        write_classic(folder / str(seed), numbers(8, 6, slices), GEOMETRIES["oblique"], seed=str(seed), edit=edit)
        server.send(folder / str(seed))
    wait_stable(server, count)


def wait_stable(server, count: int) -> None:
    def stable() -> bool:
        changes = server.ask("/changes?since=0&limit=100000")["Changes"]
        return len({c["ID"] for c in changes if c["ChangeType"] == "StableSeries"}) >= count

    wait_for(stable, 30, "stable series")


def states(settings) -> dict[str, int]:
    queue = Queue(settings.folder / "queue.sqlite")
    found = {state: count for state, count in queue.counts().items() if count}
    queue.close()
    return found


@pytest.mark.parametrize(("by", "overwrite"), [("rest", True), ("dicomweb", False)])
def test_the_power_fails_at_any_request(orthanc, tmp_path, monkeypatch, by, overwrite):
    """Before the server hears of a request, or after it has done what was asked, and nobody knows: each result is
    there once, and was stored once."""
    server = orthanc(overwrite=overwrite)
    scans(server, tmp_path, 3)
    rest = f'[delivery]\nby = "{by}"\n[[rules]]\nname = "all"'
    settings = settings_of(tmp_path / "s.toml", text_of(server, tmp_path / "state", rest=rest))
    accidents = Accidents(monkeypatch, seed=len(by) + overwrite)
    accidents.live_and_die(settings, 200)
    assert min(accidents.before, accidents.after) > 3
    assert states(settings) == {"done": 3}
    monkeypatch.undo()
    results = server.results()
    assert len(results) == 9
    assert len({tags["SOPInstanceUID"] for tags in results}) == 9
    assert len({tags["SeriesInstanceUID"] for tags in results}) == 3
    assert set(server.stored().values()) == {1}


def test_tls(orthanc, tmp_path, monkeypatch, capsys):
    """With a certificate of an authority that is named, results arrive; with any other, nothing is sent."""
    certificates(tmp_path / "good")
    certificates(tmp_path / "other")
    server = orthanc()
    scans(server, tmp_path, 1)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def settings(front: TlsFront, site: str = ""):
        return settings_of(tmp_path / "s.toml", text_of(front, tmp_path / "state", site=site))

    with closing(TlsFront(server, tmp_path / "good" / "server.pem")) as front:
        for site in ("", f'ca_file = "{tmp_path / "other" / "ca.pem"}"'):
            stranger = settings(front, site)
            assert main(["check", str(tmp_path / "s.toml")]) == 1
            assert "certificate cannot be verified" in capsys.readouterr().err
            stop = threading.Event()
            threading.Timer(1.0, stop.set).start()
            Worker(stranger).run(stop, until_idle=True)
            assert not server.results()
        friend = settings(front, f'ca_file = "{tmp_path / "good" / "ca.pem"}"')
        assert main(["check", str(tmp_path / "s.toml")]) == 0
        run(friend)
    assert len(server.results()) == 3
    assert set(server.stored().values()) == {1}


def certificates(folder: Path) -> None:
    """An authority, and the certificate of a server at 127.0.0.1 that it signed."""
    folder.mkdir()

    def openssl(*command: str) -> None:
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "request", "-subj", "/CN=orthanc"
    )
    (folder / "extensions").write_text("subjectAltName = IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "extensions", "-out", "cert.pem")  # fmt: skip
    (folder / "server.pem").write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())


def test_rules_choose(orthanc, tmp_path):
    """By modality, description, thickness (in an enhanced image too); derived and medsr's own are left alone."""
    server = orthanc()
    shape = numbers(8, 6, 3)

    def series(seed: int, thickness: float = 5.0, **tags: object) -> None:
        def edit(one, *_):
            for keyword, value in tags.items():
                setattr(one, keyword, value)

        write_classic(
            tmp_path / str(seed), shape, GEOMETRIES["axial"], thickness=thickness, seed=str(seed), edit=edit
        )
        server.send(tmp_path / str(seed))

    series(1, SeriesDescription="Ax T2 TSE")
    series(2, SeriesDescription="Ax T2 TSE", Modality="CT")
    series(3, SeriesDescription="Ax T1")
    series(4, SeriesDescription="ax t2 tse", thickness=1.0)
    series(5, SeriesDescription="Ax T2 MPR", ImageType=["DERIVED", "SECONDARY", "MPR"])
    series(6, SeriesDescription="Ax T2", Manufacturer="medsr")
    series(7, SeriesDescription="Ax T2 [RESEARCH USE ONLY]")
    series(8, SeriesDescription="Ax T2 motion")
    write_enhanced(
        tmp_path / "9" / "a", numbers(8, 6, 4), GEOMETRIES["axial"],
        edit=lambda one: (setattr(one, "SeriesInstanceUID", "1.2.9"), setattr(one, "SeriesDescription", "t2 e"),
                          setattr(one, "SOPInstanceUID", "1.2.9.1")),
    )  # fmt: skip
    server.send(tmp_path / "9")
    wait_stable(server, 9)
    rest = (
        '[[rules]]\nname = "t2"\ndescription = ["*t2*"]\nnot_description = ["*motion*"]\nthickness = [2, 8]\n'
        "slices = [3, 100]"
    )
    settings = settings_of(tmp_path / "s.toml", text_of(server, tmp_path / "state", rest=rest))
    run(settings)
    assert states(settings) == {"done": 2}
    made = {tags["SeriesDescription"] for tags in server.results() if tags["SeriesDescription"] != "Ax T2"}
    assert made == {"Ax T2 TSE [RESEARCH USE ONLY]", "t2 e [RESEARCH USE ONLY]"}


def test_a_series_that_grows_is_made_again(orthanc, tmp_path):
    """Slices that come later make another result; a series that is announced again unchanged does not."""
    server = orthanc()
    scans(server, tmp_path, 1, slices=3)
    settings = settings_of(tmp_path / "s.toml", text_of(server, tmp_path / "state"))
    run(settings)
    assert run(settings).orders == 0
    late = [p for p in write_classic(tmp_path / "late", numbers(8, 6, 4), GEOMETRIES["oblique"], seed="1")
            if pydicom.dcmread(p).InstanceNumber == 4]  # fmt: skip
    server.ask("/instances", late[0].read_bytes())
    wait_for(lambda: server.ask("/changes?last")["Last"] and wait_stable(server, 1) is None, 10)
    wait_for(lambda: run(settings).orders or None, 30, "the second result")
    assert states(settings) == {"done": 2}
    assert len(server.results()) == 3 + 4


def test_a_series_that_the_server_forgot_to_call_stable(orthanc, tmp_path):
    """Orthanc keeps in memory which series may still grow: after a restart it never says that they are whole."""
    server = orthanc()
    write_classic(tmp_path / "1", numbers(8, 6, 3), GEOMETRIES["oblique"])
    server.send(tmp_path / "1")
    server.stop(9)
    server.start()
    assert not [c for c in server.ask("/changes?since=0&limit=1000")["Changes"] if "StableS" in c["ChangeType"]]
    settings = settings_of(tmp_path / "s.toml", text_of(server, tmp_path / "state"))
    run(settings)
    assert len(server.results()) == 3


def test_what_cannot_be_made_is_said_and_can_be_tried_again(orthanc, tmp_path, capsys, monkeypatch):
    server = orthanc()
    scans(server, tmp_path, 1)
    settings = settings_of(tmp_path / "s.toml", text_of(server, tmp_path / "state"))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    run(settings, code=3)
    assert states(settings) == {"failed": 1}
    assert main(["status", str(tmp_path / "s.toml")]) == 0
    assert "failed, series" in capsys.readouterr().out
    assert main(["retry", str(tmp_path / "s.toml"), "2"]) == 2
    assert main(["retry", str(tmp_path / "s.toml"), "all"]) == 0
    run(settings, code=7)
    assert states(settings) == {"held": 1}
    assert not server.results()
    assert main(["retry", str(tmp_path / "s.toml"), "1"]) == 0
    run(settings)
    assert len(server.results()) == 3


def test_a_series_that_goes_away(orthanc, tmp_path):
    """Deleted while its result is made: the result belongs nowhere, and the worker goes on."""
    server = orthanc()
    scans(server, tmp_path, 2)
    settings = settings_of(tmp_path / "s.toml", text_of(server, tmp_path / "state"))
    run(settings, code=7)
    assert states(settings) == {"held": 2}
    (first, *_) = server.ask("/tools/lookup", b"1.2.826.1.6.1")
    server.ask(first["Path"], method="DELETE")
    queue = Queue(settings.folder / "queue.sqlite")
    for job in queue.jobs("held"):
        queue.move(job, "ready")
    queue.close()
    run(settings)
    assert states(settings) == {"done": 1, "failed": 1}


def test_a_new_server_under_the_old_address(orthanc, tmp_path):
    """Its changes are counted from one again: they are read from the start."""
    server = orthanc()
    scans(server, tmp_path, 3)
    settings = settings_of(tmp_path / "s.toml", text_of(server, tmp_path / "state"))
    run(settings)
    server.stop()
    other = orthanc("other")
    write_classic(tmp_path / "new", numbers(8, 6, 3), GEOMETRIES["axial"], seed="99")
    other.send(tmp_path / "new")
    wait_stable(other, 1)
    run(settings_of(tmp_path / "s.toml", text_of(other, tmp_path / "state")))
    assert len(other.results()) == 3


def test_one_worker_a_folder(orthanc, tmp_path):
    server = orthanc()
    settings = settings_of(tmp_path / "s.toml", text_of(server, tmp_path / "state"))
    first = Worker(settings)
    with pytest.raises(OutputError, match="another worker"):
        Worker(settings)
    first.run(_set(), until_idle=True)


def test_deidentified_results(orthanc, tmp_path):
    server = orthanc()
    scans(server, tmp_path, 1)
    rest = '[[rules]]\nname = "all"\noptions = ["--deidentify"]'
    run(settings_of(tmp_path / "s.toml", text_of(server, tmp_path / "state", rest=rest)))
    results = server.results()
    assert len(results) == 3
    assert {tags["PatientName"] for tags in results} == {"ANONYMOUS^"}
    assert "1.2.826.1.5" not in {tags["StudyInstanceUID"] for tags in results}


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


class Receiving:
    """A server whose series never become whole."""

    def __init__(self) -> None:
        self.asked = 0

    def changes(self, since: int):
        return [Change("StableSeries", "-".join(["0" * 8] * 5))] if not since else [], 1, True

    def series(self, name: str) -> Series:
        self.asked += 1
        return Series(("-".join(["1" * 8] * 5),), False, {})


def test_a_series_that_goes_on_coming_is_asked_for_now_and_then(tmp_path):
    text = 'folder = "{}"\nstart = "beginning"\npoll_seconds = 0.4\n[server]\nurl = "http://localhost:1"\n'
    settings = settings_of(tmp_path / "s.toml", text.format(tmp_path / "state") + '[[rules]]\nname = "all"')
    worker, stop = Worker(settings), threading.Event()
    worker._orthanc = Receiving()
    threading.Timer(1.5, stop.set).start()
    worker.run(stop)
    assert 2 <= worker._orthanc.asked <= 5


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_server_that_is_no_orthanc(tmp_path, status, capsys):
    """Its answers are not understood, so it is waited for, and its words are not repeated."""

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"Jane Doe")

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = f'folder = "{tmp_path / "state"}"\n[server]\nurl = "http://127.0.0.1:{server.server_port}"\n'
        settings = settings_of(tmp_path / "s.toml", text + '[[rules]]\nname = "all"')
        stop = threading.Event()
        threading.Timer(1.5, stop.set).start()
        Worker(settings).run(stop)
        server.shutdown()
    said = capsys.readouterr().err
    assert "away server=source" in said
    assert "Jane" not in said
