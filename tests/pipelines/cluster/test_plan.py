"""The plan is arithmetic over what was measured, and what is measured is there."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.cluster.plan import Measured, main, plan

SAMPLE = Path(__file__).parents[2] / "data" / "colin27_1x1x4mm.nii.gz"
MEASURED = Measured(scans=3, seconds=7.2, start=36, again=0.36, read=1e6, written=2e7, files=4, memory=1.5)


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


def test_what_is_printed(tmp_path, capfd):
    shutil.copy(SAMPLE, tmp_path)
    shutil.copy(SAMPLE.with_name("colin27_1x1x4mm.json"), tmp_path)
    assert main([str(tmp_path), "--scans", "1000", "--cores", "8", "--", "--no-report"]) == 0
    said = capfd.readouterr().out
    assert "measured on 1 scans" in said
    assert f"{SAMPLE.stat().st_size / 1e6:.2f} MB read" in said
    assert said.splitlines()[-1].split()[:2] == ["1000", "8"]
