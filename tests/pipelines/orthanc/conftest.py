"""Servers and workers that end with the test, whatever happens in it."""

from __future__ import annotations

import pytest

from tests.pipelines.orthanc.system import THERE, Orthanc, Worker


@pytest.fixture
def orthanc(tmp_path):
    """Makes servers: ``orthanc(tls=..., overwrite=...)``."""
    if not THERE:
        pytest.skip("needs Debian's orthanc and orthanc-dicomweb")
    made = []

    def make(name="orthanc", **options):
        made.append(Orthanc(tmp_path / name, **options))
        return made[-1].start()

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def worker(tmp_path):
    """Makes workers: ``worker(server, rules=...)``; they are started by the test."""
    made = []

    def make(server, name="worker", **options):
        made.append(Worker(tmp_path / name, server, **options))
        return made[-1]

    yield make
    for one in made:
        one.kill()
