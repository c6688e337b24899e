"""Tables carry the figures and the terms they were measured on."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from medsr.errors import UsageError
from medsr.evaluation.image import Comparison
from medsr.evaluation.table import render

ONE = Comparison(
    psnr=31.4159,
    ssim=0.91237,
    nrmse=0.05432,
    mae=3.14159,
    bc=0.98765,
    hfen=0.33333,
    peak=178.0,
    peak_rule="the reference's 99.5th percentile",
    mask="all voxels",
    border=0,
    central=None,
    voxels=1000,
    region="the 10 x 10 x 10 voxels",
)
SAME = replace(ONE, psnr=math.inf)
OTHER = replace(ONE, peak=255.0, peak_rule="as given")


def test_text() -> None:
    lines = render([("linear", ONE), ("itself", SAME)]).splitlines()
    assert lines[0].split() == ["PSNR", "(dB)", "SSIM", "NRMSE", "MAE", "BC", "HFEN"]
    assert lines[1].split() == ["linear", "31.42", "0.9124", "0.0543", "3.142", "0.9877", "0.3333"]
    assert lines[2].split()[:2] == ["itself", "inf"]
    assert lines[-1] == ONE.statement
    assert len({len(line) for line in lines[:3]}) == 1


def test_each_row_keeps_its_terms() -> None:
    lines = render([("a", ONE), ("b", OTHER)]).splitlines()
    assert lines[1].startswith("a [1]") and lines[2].startswith("b [2]")
    assert lines[-2:] == [f"[1] {ONE.statement}", f"[2] {OTHER.statement}"]


def test_markdown() -> None:
    lines = render([("a|b", ONE)], "markdown").splitlines()
    assert lines[1] == "|---|---:|---:|---:|---:|---:|---:|"
    assert lines[2].startswith("| a\\|b | 31.42 |")
    assert lines[-1] == ONE.statement


def test_json_is_json() -> None:
    rows = json.loads(render([("a", ONE), ("b", SAME)], "json"), parse_constant=pytest.fail)
    assert rows[0]["name"] == "a" and rows[0]["psnr"] == 31.4159
    assert rows[0]["range"] == {"peak": 178.0, "rule": "the reference's 99.5th percentile"}
    assert rows[1]["psnr"] == "inf"
    assert {"mask", "border", "central", "voxels", "region"} <= set(rows[0])


def test_a_name_cannot_forge_a_row() -> None:
    assert len(render([("scan\nbest  99.9", ONE)]).splitlines()) == 4


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="format"):
        render([("a", ONE)], "html")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="nothing"):
        render([])
