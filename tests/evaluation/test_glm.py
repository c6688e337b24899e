"""The model finds what was put in, and noise exceeds its thresholds as often as it says."""

import numpy as np
import pytest
from scipy import stats

from medsr.errors import InputError, UsageError
from medsr.evaluation.glm import design_matrix, drifts, fit
from medsr.simulation.paradigm import Event, paradigm, response

EVENTS = paradigm("blocks", 240.0)


def autoregressive(rng, frames, voxels, rho):
    e = rng.standard_normal((frames, voxels))
    e[0] /= np.sqrt(1 - rho**2)
    for t in range(1, frames):
        e[t] += rho * e[t - 1]
    return e


def test_a_clean_response_is_found_exactly():
    design = design_matrix(EVENTS, 240, 1.0)
    truth = np.array([0.0, 3.0, -1.0])
    series = 100 + np.outer(design[:, 0], truth) + np.outer(drifts(240, 1.0) @ [2.0, -1.0, 0.5, 0], [1, 1, 1])
    model = fit(series, design)
    assert np.allclose(model.effect, truth, atol=1e-8)
    assert np.allclose(model.percent, truth, atol=1e-6)


def test_shapes_follow_the_series():
    design = design_matrix(EVENTS, 240, 1.0)
    series = np.random.default_rng(0).standard_normal((240, 3, 4, 2)) + 50
    model = fit(series, design)
    assert model.t.shape == model.rho.shape == (3, 4, 2)
    assert np.allclose(model.t[1, 2, 1], fit(series[:, 1, 2, 1:], design).t[0])


def test_without_autocorrelation_it_is_ordinary_least_squares():
    rng = np.random.default_rng(1)
    design = design_matrix(EVENTS, 120, 2.0)
    y = 100 + rng.standard_normal((120, 5))
    model = fit(y, design, autocorrelated=False)
    beta, left, *_ = np.linalg.lstsq(design, y, rcond=None)
    error = np.sqrt(left / model.dof * np.linalg.inv(design.T @ design)[0, 0])
    assert np.allclose(model.effect, beta[0]) and np.allclose(model.t, beta[0] / error)


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.4, 0.8])
def test_closed_form_whitening_is_that_of_the_whitened_series(rho, monkeypatch):
    rng = np.random.default_rng(2)
    design = design_matrix(EVENTS, 240, 1.0)
    y = 100 + autoregressive(rng, 240, 3, 0.4)
    monkeypatch.setattr("medsr.evaluation.glm._rho", lambda e, d: np.full(e.shape[1], rho))
    model = fit(y, design)
    white = np.eye(240) - rho * np.eye(240, k=-1)
    white[0, 0] = np.sqrt(1 - rho**2)
    beta, left, *_ = np.linalg.lstsq(white @ design, white @ y, rcond=None)
    error = np.sqrt(left / model.dof * np.linalg.inv(design.T @ white.T @ white @ design)[0, 0])
    assert np.allclose(model.effect, beta[0]) and np.allclose(model.t, beta[0] / error)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
def test_false_positives_are_as_many_as_stated(rho):
    rng = np.random.default_rng(3)
    design = design_matrix(EVENTS, 240, 1.0)
    model = fit(100 + autoregressive(rng, 240, 20000, rho), design)
    assert np.median(model.rho) == pytest.approx(rho, abs=0.03)
    for alpha in (0.05, 0.01):
        rate = (model.t > model.threshold(alpha)).mean()
        assert rate == pytest.approx(alpha, rel=0.3 if rho < 0.5 else 0.4)


def test_ignoring_autocorrelation_finds_too_much():
    """The reason for the whitening: the test above can fail."""
    rng = np.random.default_rng(3)
    design = design_matrix(EVENTS, 240, 1.0)
    model = fit(100 + autoregressive(rng, 240, 5000, 0.6), design, autocorrelated=False)
    assert (model.t > model.threshold(0.01)).mean() > 0.05


def test_threshold_is_student_s():
    model = fit(np.random.default_rng(0).standard_normal((240, 2)), design_matrix(EVENTS, 240, 1.0))
    assert model.threshold(0.001) == pytest.approx(stats.t.isf(0.001, 240 - 5))


def test_drifts_are_slower_than_the_cutoff():
    base = drifts(240, 1.0, 128.0)
    assert base.shape == (240, 4) and np.allclose(base[:, -1], 1)
    assert np.allclose(base.T @ base, np.diag([120, 120, 120, 240]), atol=1e-9)
    assert drifts(20, 1.0).shape == (20, 1)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(UsageError, match="no events"):
        design_matrix((), 100, 1.0)
    with pytest.raises(UsageError, match="too short"):
        design_matrix([Event(2, 2)], 4, 1.0)
    with pytest.raises(UsageError, match="too short"):
        design_matrix([Event(500, 20)], 100, 1.0)
    with pytest.raises(InputError, match="does not fit"):
        fit(np.zeros((99, 2)), design_matrix(EVENTS, 100, 1.0))
    with pytest.raises(InputError, match="not finite"):
        fit(np.full((100, 2), np.nan), design_matrix(EVENTS, 100, 1.0))


def test_voxels_without_change_do_no_harm():
    model = fit(np.zeros((240, 2)), design_matrix(EVENTS, 240, 1.0))
    assert not model.t.any() and not model.percent.any()


def test_times_of_the_frames_may_be_given():
    shifted = design_matrix(EVENTS, 200, 1.0, times=np.arange(200) + 0.5)[:, 0]
    assert np.allclose(shifted, response(EVENTS, np.arange(200) + 0.5))
