"""Figures of a run: each against a case whose answer is known."""

import json

import numpy as np
import pytest

from medsr.errors import GeometryError, InputError, UsageError
from medsr.evaluation.fmri import (
    activated,
    evaluate_fmri,
    gain_at,
    roc_auc,
    tissue_mask,
    transfer_function,
    tsnr_map,
)
from medsr.simulation.paradigm import paradigm, response
from medsr.volume import Grid, ScanFacts, Volume

FRAMES, TR = 240, 1.0
EVENTS = paradigm("blocks", FRAMES * TR)


def series(data, **changes):
    facts = ScanFacts(tr=TR)
    return Volume(data.astype(np.float32), Grid(data.shape[1:], np.diag([2.0, 2, 3, 1])), facts, **changes)


@pytest.fixture(scope="module")
def known():
    """A truth with 3 % of response in a square, slow drift, and its activation."""
    rng = np.random.default_rng(0)
    base = np.zeros((20, 20, 1))
    base[3:17, 3:17] = rng.uniform(80, 120, (14, 14, 1))
    percent = np.zeros((20, 20, 1))
    percent[5:9, 5:9] = 3.0
    percent[9, 5:9] = 0.5  # partial: neither
    course = response(EVENTS, np.arange(FRAMES) * TR)
    wander = 0.01 * np.cos(np.pi * np.arange(FRAMES) / FRAMES)
    truth = base * (1 + percent / 100 * course[:, None, None, None] + wander[:, None, None, None])
    activation = Volume(percent.astype(np.float32), Grid((20, 20, 1), np.diag([2.0, 2, 3, 1])))
    return series(truth), activation, rng.standard_normal(truth.shape)


def test_the_truth_has_no_error(known):
    truth, activation, _ = known
    figures = evaluate_fmri(truth, truth, EVENTS, activation)
    assert figures.nrmse == 0 and figures.nrmse_temporal == 0 and figures.scale == pytest.approx(1)
    assert figures.bold == pytest.approx(3.0, rel=0.02) and figures.amplitude_bias == 0
    assert (
        figures.auc == 1.0
        and figures.transfer == pytest.approx(1)
        and figures.transfer_degrees == pytest.approx(0)
    )
    assert (figures.voxels, figures.active) == (14 * 14, 16)
    json.dumps(figures.as_dict())


def test_the_temporal_mean_has_a_small_error_and_no_activation(known):
    truth, activation, noise = known
    mean = np.broadcast_to(truth.data.mean(axis=0), truth.data.shape) + 1e-3 * noise
    figures = evaluate_fmri(series(mean), truth, EVENTS, activation)
    assert figures.nrmse < 0.02
    assert figures.nrmse_temporal == pytest.approx(1, abs=0.01)
    assert abs(figures.bold) < 0.01 and figures.amplitude_bias == pytest.approx(-1, abs=0.01)
    assert 0.2 < figures.auc < 0.8 and figures.transfer < 0.01


def test_an_attenuated_response_is_told(known):
    truth, activation, noise = known
    mean = truth.data.mean(axis=0)
    figures = evaluate_fmri(series(mean + 0.7 * (truth.data - mean) + 0.05 * noise), truth, EVENTS, activation)
    assert figures.amplitude_bias == pytest.approx(-0.3, abs=0.02)
    assert figures.transfer == pytest.approx(0.7, abs=0.01)
    assert figures.auc > 0.99


def test_a_delay_turns_the_phase(known):
    truth, activation, _ = known
    late = series(np.roll(truth.data, 2, axis=0))
    figures = evaluate_fmri(late, truth, EVENTS, activation)
    assert figures.transfer_degrees == pytest.approx(-360 * 2 / 40, abs=3)


def test_a_wrong_scale_is_told_apart_from_error(known):
    truth, activation, _ = known
    figures = evaluate_fmri(series(1.25 * truth.data), truth, EVENTS, activation)
    assert figures.nrmse == pytest.approx(0.25, abs=1e-6)
    assert figures.scale == pytest.approx(0.8) and figures.nrmse_scaled < 1e-6
    assert figures.amplitude_bias == pytest.approx(0, abs=1e-6)


def test_noise_shows_in_tsnr_and_not_as_activation(known):
    truth, _, noise = known
    still = series(np.broadcast_to(truth.data.mean(axis=0), truth.data.shape) + 2 * noise)
    figures = evaluate_fmri(still, truth, (), None)
    assert figures.tsnr == pytest.approx(50, rel=0.1)
    assert figures.bold is None and figures.auc is None and figures.transfer is None and figures.active == 0
    assert figures.false_positives < 0.02
    json.dumps(figures.as_dict())


def test_events_far_apart_and_rare_are_evaluated_too(known):
    truth, activation, noise = known
    events = paradigm("events", FRAMES * TR, seed=3)
    course = response(events, np.arange(FRAMES) * TR)[:, None, None, None]
    data = truth.data.mean(axis=0) * (1 + activation.data / 100 * course)
    figures = evaluate_fmri(series(data + 0.1 * noise), series(data), events, activation)
    assert figures.amplitude_bias == pytest.approx(0, abs=0.02) and figures.auc > 0.99
    assert figures.transfer == pytest.approx(1, abs=0.1)


def test_area_under_the_curve():
    assert roc_auc(np.array([2.0, 3]), np.array([0.0, 1])) == 1
    assert roc_auc(np.array([0.0, 1]), np.array([2.0, 3])) == 0
    assert roc_auc(np.array([1.0, 1]), np.array([1.0])) == 0.5
    assert roc_auc(np.array([1.0, 3]), np.array([2.0])) == 0.5
    rng = np.random.default_rng(0)
    # two normal distributions a distance d apart: Φ(d / √2)
    assert roc_auc(rng.normal(1, 1, 40000), rng.normal(0, 1, 40000)) == pytest.approx(0.7602, abs=0.005)
    with pytest.raises(UsageError):
        roc_auc(np.zeros(0), np.zeros(3))


def test_gain_and_transfer_of_a_filter():
    rng = np.random.default_rng(1)
    truth = rng.standard_normal((400, 50))
    kernel = np.ones(5) / 5
    smooth = np.apply_along_axis(lambda v: np.convolve(v, kernel, "same"), 0, truth)
    frequencies, gain, coherence = transfer_function(smooth, truth, 1.0)
    expected = np.abs(np.sinc(5 * frequencies) / np.sinc(frequencies))
    assert np.abs(gain - expected)[5:-5].max() < 0.15 and np.abs(gain - expected).mean() < 0.03
    assert coherence[frequencies < 0.1].min() > 0.9
    wave = np.cos(2 * np.pi * 0.05 * np.arange(400))[:, None]
    found = gain_at(0.6 * np.roll(wave, 3, axis=0), wave, 0.05, 1.0)
    assert abs(found) == pytest.approx(0.6, abs=0.01)
    assert np.angle(found) == pytest.approx(-2 * np.pi * 0.05 * 3, abs=0.02)
    with pytest.raises(UsageError, match="too slow"):
        gain_at(wave, wave, 0.6, 1.0)


def test_masks(known):
    truth, activation, _ = known
    assert tissue_mask(truth.data).sum() == 14 * 14
    active, null = activated(activation.data)
    assert active.sum() == 16 and not (active & null).any() and null.sum() == 400 - 20
    active, null = activated(np.zeros((3, 3, 3)))
    assert not active.any() and null.all()


def test_tsnr_map(known):
    truth, _, noise = known
    still = np.broadcast_to(truth.data.mean(axis=0), truth.data.shape)
    ramp = np.linspace(-5, 5, FRAMES)[:, None, None, None] * (still > 0)
    result = tsnr_map(series(still + 2 * noise * (still > 0) + ramp))
    inside = tissue_mask(truth.data)
    assert np.median(result.data[inside]) == pytest.approx(50, rel=0.1)
    assert not result.data[~inside].any()
    with pytest.raises(InputError):
        tsnr_map(series(still[:3]))


def test_what_does_not_fit_is_refused(known):
    truth, activation, _ = known
    with pytest.raises(InputError, match="series like the truth"):
        evaluate_fmri(series(truth.data[:-1]), truth, EVENTS, activation)
    moved = Volume(truth.data, Grid((20, 20, 1), np.diag([2.1, 2, 3, 1])), truth.facts)
    with pytest.raises(GeometryError, match="elsewhere"):
        evaluate_fmri(moved, truth, EVENTS, activation)
    unknown = Volume(truth.data, truth.grid)
    with pytest.raises(InputError, match="not known"):
        evaluate_fmri(unknown, unknown, EVENTS, activation)
