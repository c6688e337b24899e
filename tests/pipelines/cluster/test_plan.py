"""The plan is arithmetic over what was measured, and what is measured is there."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.cluster.plan import Measured, Spent, main, measure, plan

SAMPLE = Path(__file__).parents[2] / "data" / "colin27_1x1x4mm.nii.gz"
MEASURED = Measured(
    scans=3, seconds=7.2, clock=9, start=36, again=0.36, read=1e6, written=2e7, files=4, planned=1.5, memory=1.4
)


def test_a_million_scans():
    found = plan(MEASURED, 1_000_000, 100)
    assert found.shards == 500  # 2000 h of work, 4 h each
    assert found.core_hours == pytest.approx(2000 + 500 * 0.01)
    assert found.days == pytest.approx(2005 / 100 / 24)
    assert (found.read, found.written, found.files) == (1e12, 2e13, 4e6)
    assert found.again_hours == pytest.approx(100 + 5)


def test_more_cores_than_hours_make_more_shards():
    assert plan(MEASURED, 1_000_000, 1000).shards == 1000
    assert plan(MEASURED, 10, 1000).shards == 10
    assert plan(replace(MEASURED, seconds=0.0), 1, 1).shards == 1


def test_what_the_start_takes_is_not_the_scans(tmp_path, monkeypatch):
    spent = iter([Spent(4, 3, 1), Spent(0.5, 1, 1), Spent(21, 24, 2.5), Spent(0.8, 1.4, 1)])

    def batch(source: Path, out: Path, options: list[str]) -> Spent:
        if source == tmp_path:
            out.mkdir(exist_ok=True)
            rows = ["input,status,memory_gib", *(f"{tmp_path / name},done,2.2" for name in "ab"), "x,failed,"]
            (out / "outcomes.csv").write_text("\n".join(rows))
            (out / "a.nii.gz").write_bytes(bytes(500))
        return next(spent)

    for name in "ab":
        (tmp_path / name).write_bytes(bytes(100))
    monkeypatch.setattr("pipelines.cluster.plan._batch", batch)
    found = measure(tmp_path, [])
    assert (found.scans, found.seconds, found.clock, found.start) == (2, 8.5, 10.5, 4)
    assert found.again == pytest.approx(0.15)  # a shard that has nothing to do loads nothing
    assert (found.read, found.written, found.files, found.planned, found.memory) == (100, 250, 0.5, 2.2, 2.5)


def test_what_is_printed(tmp_path, capfd):
    shutil.copy(SAMPLE, tmp_path)
    shutil.copy(SAMPLE.with_name("colin27_1x1x4mm.json"), tmp_path)
    assert main([str(tmp_path), "--scans", "1000", "--cores", "8", "--", "--no-report"]) == 0
    said = capfd.readouterr().out
    assert "measured on 1 scan," in said
    assert f"{SAMPLE.stat().st_size / 1e6:.2f} MB read" in said
    seconds, start = (float(said.split(f" s {word}")[0].split()[-1]) for word in ("a scan", "to start"))
    assert seconds > 0 and start > 0
    assert said.splitlines()[-1].split()[:2] == ["1000", "8"]
