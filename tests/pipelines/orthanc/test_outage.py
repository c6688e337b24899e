"""The server goes away with results queued, and the worker is killed: every result arrives, once."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tests.conftest import smooth_head
from tests.io.dicom.synthetic import GEOMETRIES, write_classic
from tests.pipelines.orthanc.system import THERE, wait_for

pytestmark = pytest.mark.skipif(not THERE, reason="needs Debian's orthanc and orthanc-dicomweb")
SLICES = 4
NAMES = ("axial", "sagittal", "oblique", "slices downwards")


def until(worker, condition, seconds: float, what: str) -> None:
    """Waits for the jobs to be in certain states; a job that failed never is."""

    def met() -> bool:
        counts = worker.counts()
        assert "failed" not in counts, worker.said()
        return condition(counts)

    wait_for(met, seconds, what)


def outage(server, worker, folder, count: int, seconds: float) -> None:
    for seed in range(1, count + 1):
        data = (10 * smooth_head((12, 10, SLICES), seed)).astype(np.uint16)
        write_classic(folder / str(seed), data, GEOMETRIES[NAMES[seed % len(NAMES)]], seed=str(seed))
        server.send(folder / str(seed))
    worker.start()
    until(worker, lambda counts: counts.get("fetched", 0) == count, 120, "all series to be fetched")
    server.stop()
    away = time.monotonic()
    assert worker.counts() == {"fetched": count}, "nothing was sent before the server went away"
    until(worker, lambda counts: counts.get("ready", 0) >= count // 2, 300, "half of the results")
    worker.kill()
    worker.start()
    until(worker, lambda counts: counts == {"ready": count}, 300, "all results to be queued")
    time.sleep(max(0.0, seconds - (time.monotonic() - away)))
    server.start()
    until(worker, lambda counts: counts.get("done", 0) >= count // 4, 200, "the first results to arrive")
    worker.kill()
    worker.start()
    until(worker, lambda counts: counts == {"done": count}, 200, "all results to arrive")
    wait_for(lambda: worker.said().count("made by medsr") >= count, 60, "the worker to see its own results")
    assert worker.stop() == 0
    assert worker.counts() == {"done": count}
    results = server.results()
    assert len({tags["SeriesInstanceUID"] for tags in results}) == 2 * count  # image and uncertainty
    assert len({tags["SOPInstanceUID"] for tags in results}) == len(results)
    assert set(server.stored().values()) == {1}
    assert not list((worker.state / "jobs").iterdir())


def test_a_short_outage(orthanc, worker, tmp_path):
    server = orthanc()
    outage(server, worker(server, top="ahead = 100"), tmp_path, 4, 2)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["rest", "dicomweb"])
@pytest.mark.parametrize("overwrite", [False, True], ids=["keeps", "overwrites"])
def test_a_minute_with_twenty_results(orthanc, worker, tmp_path, by, overwrite):
    """With a server that keeps what it has, and with one that would store it again."""
    server = orthanc(overwrite=overwrite)
    outage(server, worker(server, top="ahead = 100", delivery=f'[delivery]\nby = "{by}"'), tmp_path, 20, 60)


@pytest.mark.slow
def test_killed_twenty_times(orthanc, worker, tmp_path):
    """SIGKILL at random times, while series arrive."""
    server = orthanc()
    one = worker(server)
    random = np.random.default_rng(4)
    for seed in range(1, 21):
        data = (10 * smooth_head((12, 10, SLICES), seed)).astype(np.uint16)
        write_classic(tmp_path / str(seed), data, GEOMETRIES["oblique"], seed=str(seed))
        server.send(tmp_path / str(seed))
        one.start()
        time.sleep(random.uniform(0.3, 9))
        one.kill()
    one.start()
    until(one, lambda counts: counts == {"done": 20}, 300, "all results to arrive")
    one.stop()
    results = server.results()
    assert len({tags["SeriesInstanceUID"] for tags in results}) == 40  # image and uncertainty
    assert len({tags["SOPInstanceUID"] for tags in results}) == len(results)
    assert set(server.stored().values()) == {1}
