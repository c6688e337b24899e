"""BIDS data sets in, BIDS derivatives out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medsr.batch.bids import resolution_label
from medsr.io import open_header, open_volume
from tests.cli.conftest import Command, names, thick_scan

VALIDATOR = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent)) or shutil.which(
    "bids-validator-deno"
)


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """Two subjects, one with sessions; the slice thickness of T2w in a sidecar at the root."""
    root = tmp_path / "ds"
    said = {"Name": "Heads", "BIDSVersion": "1.10.0", "License": "CC0", "Authors": ["A B", "C D"]}
    for name in (
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_acq-ax_run-1_T2w.nii.gz",
        "sub-02/ses-1/anat/sub-02_ses-1_FLAIR.nii.gz",
        "sub-02/ses-1/anat/sub-02_ses-1_T1map.nii.gz",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        thick_scan(root / name, seed=len(name))
    (root / "dataset_description.json").write_text(json.dumps(said))
    (root / "T2w.json").write_text('{"SliceThickness": 2.5, "EchoTime": 0.1, "MRAcquisitionType": "2D"}')
    (root / "sub-01" / "anat" / "sub-01_acq-ax_run-1_T2w.json").write_text('{"EchoTime": 0.09}')
    return root


def test_derivatives(data_set: Path, medsr: Command) -> None:
    out = data_set / "derivatives" / "medsr"
    assert medsr("batch", data_set, "-o", out).code == 0
    stem = "sub-01/anat/sub-01_acq-ax_run-1"
    assert [n for n in names(out) if n.startswith(stem)] == [
        *(f"{stem}_desc-srresidual_T2w.{e}" for e in ("json", "nii.gz")),
        *(f"{stem}_res-1mm_desc-sr_T2w.{e}" for e in ("html", "json", "nii.gz")),
        *(f"{stem}_res-1mm_desc-sruncertainty_T2w.{e}" for e in ("json", "nii.gz")),
    ]
    said = json.loads((out / f"{stem}_res-1mm_desc-sr_T2w.json").read_text(encoding="utf-8"))
    assert said["Sources"] == ["bids:raw:sub-01/anat/sub-01_acq-ax_run-1_T2w.nii.gz"]
    assert said["Resolution"] == "10 x 12 x 18 voxels of 1 x 1 x 1 mm"
    assert said["SkullStripped"] is False
    assert said["medsr"]["acquisition"]["point_spread"]["z"] == "gaussian 2.5 mm"  # by the sidecar at the root
    described = json.loads((out / "dataset_description.json").read_text(encoding="utf-8"))
    assert described["DatasetType"] == "derivative"
    assert described["GeneratedBy"][0]["Name"] == "medsr"
    assert described["DatasetLinks"] == {"raw": "../.."}
    # a second run finds nothing to do, and does not take its own derivatives for images
    assert medsr("batch", data_set, "-o", out).out.count("is finished") == 3
    image = open_volume(out / "sub-02/ses-1/anat/sub-02_ses-1_res-1mm_desc-sr_FLAIR.nii.gz")
    assert image.grid.shape == (10, 12, 18)


@pytest.mark.skipif(VALIDATOR is None, reason="needs bids-validator-deno")
@pytest.mark.parametrize("place", ["inside", "apart"])
def test_the_validator_passes(place: str, data_set: Path, tmp_path: Path, medsr: Command) -> None:
    out = data_set / "derivatives" / "medsr" if place == "inside" else tmp_path / "apart"
    assert medsr("batch", data_set, "-o", out, "--spacing", "0.8,0.8,1").code == 0
    ran = subprocess.run([str(VALIDATOR), "--json", str(out)], capture_output=True, check=False, text=True)
    issues = json.loads(ran.stdout)["issues"]["issues"]
    assert [i for i in issues if i["severity"] == "error"] == [], ran.stdout
    assert [i["code"] for i in issues if i["severity"] == "warning"] == []
    assert ran.returncode == 0


def test_the_source_is_no_place_for_derivatives(data_set: Path, medsr: Command) -> None:
    before = names(data_set)
    ran = medsr("batch", data_set, "-o", data_set)
    assert ran.code == 4
    assert "this is the source" in ran.line
    assert names(data_set) == before
    (data_set.parent / "other").mkdir()
    (data_set.parent / "other" / "dataset_description.json").write_text('{"Name": "other"}')
    ran = medsr("batch", data_set, "-o", data_set.parent / "other")
    assert (ran.code, "a data set that medsr did not make" in ran.line) == (4, True)


def test_sidecars_are_inherited(data_set: Path) -> None:
    header = open_header(data_set / "sub-01/anat/sub-01_acq-ax_run-1_T2w.nii.gz")
    assert (header.facts.slice_thickness, header.facts.te) == (2.5, 0.09)  # the nearest wins
    assert open_header(data_set / "sub-01/anat/sub-01_T1w.nii.gz").facts.slice_thickness is None
    (data_set / "acq-cor_T2w.json").write_text('{"SliceThickness": 9}')  # of other images
    (data_set / "sub-01" / "sub-01_T2w.json").write_text('{"SliceThickness": 2}')
    header = open_header(data_set / "sub-01/anat/sub-01_acq-ax_run-1_T2w.nii.gz")
    assert header.facts.slice_thickness == 2


def test_labels() -> None:
    assert resolution_label((1.0, 1.0, 1.0)) == "1mm"
    assert resolution_label((0.8593750001, 0.859375, 0.9)) == "0p86x0p86x0p9mm"
