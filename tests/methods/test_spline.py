"""What `spline` brings: it explains the scan, beats plain interpolation, and knows when not to trust it."""

import numpy as np
import pytest
import torch

from medsr.acquisition.slices import plan_acquisition
from medsr.methods.base import no_progress
from medsr.methods.interpolation import bspline, linear
from medsr.methods.spline import spline
from medsr.simulation.lowres import crop_to, simulate_lowres
from medsr.volume import Grid, Volume
from tests.conftest import oblique_affine, smooth_head

TRUTH = Volume(smooth_head((48, 52, 48)), Grid((48, 52, 48), oblique_affine((1.0, 1.0, 1.0))))
SCANS = {
    "z4 gaussian": {"spacing": (1, 1, 4), "psf": "gaussian"},
    "z4 thin slices": {"spacing": (1, 1, 4), "slice_thickness": 3.0, "psf": "boxcar"},
    "x2 kspace": {"spacing": (2, 2, 2), "psf": "kspace"},
    "x3.3 rf": {"spacing": (1, 1, 3.3), "psf": "rf"},
}


def run(method, scan, acquisition):
    return method(torch.from_numpy(scan.data), acquisition, no_progress).data


def error(x, acquisition):
    truth = crop_to(TRUTH, acquisition.fine).data
    mask = truth > 5
    return float(np.sqrt(np.mean((x.numpy() - truth)[mask] ** 2)))


@pytest.fixture(params=list(SCANS), ids=list(SCANS))
def scan_and_plan(request):
    options = SCANS[request.param]
    scan = simulate_lowres(TRUTH, **options)
    plan = plan_acquisition(scan, spacing=(1, 1, 1), psf={"*": options["psf"]}, noise=0.0)
    return scan, plan


def test_it_explains_the_scan(scan_and_plan):
    scan, plan = scan_and_plan
    y = torch.from_numpy(scan.data)
    assert (plan.operator(run(spline, scan, plan)) - y).norm() < 1e-5 * y.norm()


def test_it_is_nearer_the_truth_than_interpolation(scan_and_plan):
    scan, plan = scan_and_plan
    errors = [error(run(method, scan, plan), plan) for method in (spline, bspline, linear)]
    assert errors == sorted(errors)


def test_noise_is_left_out_rather_than_explained():
    scan = simulate_lowres(TRUTH, spacing=(1, 1, 4), noise=4, seed=1)
    sigma = 0.04 * float(np.percentile(TRUTH.data, 99.5))
    told = plan_acquisition(scan, spacing=(1, 1, 1), noise=sigma)
    ignorant = plan_acquisition(scan, spacing=(1, 1, 1), noise=0.0)
    assert error(run(spline, scan, told), told) < 0.97 * error(run(spline, scan, ignorant), ignorant)
    assert error(run(spline, scan, told), told) < error(run(bspline, scan, told), told)
    residual = torch.from_numpy(scan.data) - told.operator(run(spline, scan, told))
    assert residual.norm() <= 1.1 * sigma * residual.numel() ** 0.5


def test_a_constant_stays_constant():
    flat = Volume(np.full((16, 16, 6), 7.0, np.float32), Grid((16, 16, 6), np.diag([1.0, 1, 4, 1])))
    for method in (linear, bspline, spline):
        x = run(method, flat, plan_acquisition(flat, noise=0.0))
        torch.testing.assert_close(x, torch.full_like(x, 7.0), atol=1e-4, rtol=0)


def test_progress_only_rises_and_raising_stops():
    scan = simulate_lowres(TRUTH, spacing=(1, 1, 4))
    plan = plan_acquisition(scan, noise=0.0)
    seen = []
    spline(torch.from_numpy(scan.data), plan, lambda f, stage: seen.append(f))
    assert seen == sorted(seen)
    assert seen[-1] == 1

    def stop(fraction, stage):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spline(torch.from_numpy(scan.data), plan, stop)
