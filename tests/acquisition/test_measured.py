"""Measured spirals: a made-up file of the same form, and the real one."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from medsr.acquisition.measured import matmri_spiral
from medsr.acquisition.trajectory import density_weights, gradients, slew_rates, variable_density_spiral
from medsr.errors import InputError

DATA = Path(os.environ.get("MEDSR_DATA", "/nowhere"))


def made_up(path, **changes):
    spiral = variable_density_spiral(64, 0.192, 4, 1.0, dwell=1e-6)
    phase = np.zeros((len(spiral.k) + 500, 16))
    phase[: len(spiral.k), 1:3] = spiral.k / 0.192 * 2 * np.pi
    phase[len(spiral.k) :, 1:3] = phase[len(spiral.k) - 1, 1:3]
    times = np.arange(0, len(spiral.k), 2.5)[None]
    savemat(path, {"phs_spha": phase, "datatime": times, "tdwelltraj": np.array([[1]], np.uint8), **changes})
    return spiral


def test_a_file_of_this_form_gives_back_its_spiral(tmp_path):
    spiral = made_up(tmp_path / "a.mat")
    read = matmri_spiral(tmp_path / "a.mat", 64, 0.192, 4)
    assert read.dwell == pytest.approx(2.5e-6)
    for axis in range(2):
        assert np.allclose(read.k[:, axis], np.interp(read.times, spiral.times, spiral.k[:, axis]), atol=2e-3)
    finer = matmri_spiral(tmp_path / "a.mat", 64, 0.192, 4, dwell=4e-6)
    assert finer.dwell == pytest.approx(4e-6)
    smaller = matmri_spiral(tmp_path / "a.mat", 48, 0.192, 4)
    assert len(smaller.k) < len(read.k) and np.hypot(*smaller.k.T).max() <= 24


def test_what_is_not_one_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        matmri_spiral(tmp_path / "none.mat", 64, 0.192, 4)
    (tmp_path / "text.mat").write_text("not a mat file" * 20)
    with pytest.raises(InputError, match="not a matmri trajectory"):
        matmri_spiral(tmp_path / "text.mat", 64, 0.192, 4)
    savemat(tmp_path / "other.mat", {"a": np.zeros(3)})
    with pytest.raises(InputError, match="not a matmri trajectory"):
        matmri_spiral(tmp_path / "other.mat", 64, 0.192, 4)
    made_up(tmp_path / "nan.mat", phs_spha=np.full((600, 16), np.nan))
    with pytest.raises(InputError, match="not a matmri trajectory"):
        matmri_spiral(tmp_path / "nan.mat", 64, 0.192, 4)
    made_up(tmp_path / "a.mat")
    with pytest.raises(InputError, match="too short"):
        matmri_spiral(tmp_path / "a.mat", 128, 0.192, 4)


@pytest.mark.data
def test_the_measured_spiral():
    """Set MEDSR_DATA to the folder of research data."""
    spiral = matmri_spiral(DATA / "kspace/trajectories/matmri_data_traj_spiral_R4.mat", 96, 0.192, 4, dwell=4e-6)
    radius = np.hypot(*spiral.k.T)
    assert radius[0] < 0.1 and radius[-1] == pytest.approx(48, abs=0.5)
    assert 5e-3 < spiral.times[-1] < 12e-3
    assert np.linalg.norm(gradients(spiral.k, spiral.dwell, 0.192), axis=-1).max() < 80e-3
    assert np.percentile(np.linalg.norm(slew_rates(spiral.k, spiral.dwell, 0.192), axis=-1), 95) < 250
    # four of them fill the disc: the turns of one lie four cycles apart
    angle = np.unwrap(np.arctan2(spiral.k[200:, 1], spiral.k[200:, 0]))
    gap = np.interp(angle + np.sign(angle[-1] - angle[0]) * 2 * np.pi, angle, radius[200:]) - radius[200:]
    assert np.median(gap[: len(gap) // 2]) == pytest.approx(4, abs=0.7)
    assert density_weights(spiral).sum() * 4 == pytest.approx(np.pi * 48**2, rel=0.05)
