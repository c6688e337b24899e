"""The sample: its grid is that of its source, its noise and thickness are those of its sidecar."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medsr.acquisition.noise import estimate_noise
from medsr.acquisition.slices import plan_acquisition
from medsr.volume import Grid, ScanFacts, Volume

DATA = Path(__file__).resolve().parent / "data"


def test_the_sample_reads_as_it_says() -> None:
    image = nib.load(DATA / "colin27_1x1x4mm.nii.gz")
    said = json.loads((DATA / "colin27_1x1x4mm.json").read_text(encoding="utf-8"))
    assert image.get_data_dtype() == np.int16
    assert image.header.get_zooms() == pytest.approx((1, 1, 4))
    assert (said["SliceThickness"], said["SpacingBetweenSlices"], said["MRAcquisitionType"]) == (4, 4, "2D")
    np.testing.assert_allclose(image.get_qform(), image.get_sform())
    scan = Volume(
        np.asarray(image.dataobj, dtype=np.float32), Grid(image.shape, image.affine), ScanFacts(4.0, "2D", 2)
    )
    source = np.array([[1, 0, 0, -90], [0, 1, 0, -125], [0, 0, 1, -71], [0, 0, 0, 1.0]])  # ch2's first 180 slices
    assert plan_acquisition(scan, noise=0).target.is_close(Grid((181, 217, 180), source))
    assert estimate_noise(scan.data).sigma == pytest.approx(1.78, rel=0.1)  # 1 % of 178


def test_the_notice_is_beside_it() -> None:
    notice = " ".join((DATA / "colin27_NOTICE.txt").read_text(encoding="utf-8").split())
    assert "McConnell Brain Imaging Centre" in notice
    assert "provided that the above copyright notice appear in all copies" in notice
    assert "Chris Rorden" in notice and "must retain the above copyright notice" in notice
