"""Training of the learned methods of spiral fMRI, at the smallest size."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from medsr.errors import InputError
from medsr.io import write_volume
from medsr.methods.base import no_progress
from medsr.methods.sliding_window import WindowSettings, sliding_window
from medsr.methods.spiral_fmri_dc import fewer_coils
from medsr.networks.spiral_prior import SpiralPrior
from medsr.networks.spiral_resnet import SpiralResNet
from medsr.training.spiral import deblur, shared_frames
from medsr.training.spiral.loss import Weights, image_loss, response_error, temporal_error
from medsr.training.spiral.moments import fit_moments
from medsr.training.spiral.recipe import SpiralRecipe, heads_of, spiral_recipe
from medsr.training.spiral.runs import Odds, TrainingRun, draw, load_runs, truths
from medsr.training.spiral.unrolled import train
from tests.simulation.heads import head

ODDS = Odds(matrix=(32,), coils=(4,), frames=24, snr=(100.0, 100.0), task=("blocks",), block=(6.0, 6.0))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_volume(head(3.0, shape=(60, 70, 56)), folder / "head.nii.gz")
    return folder


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    kept = tmp_path_factory.mktemp("runs")
    made = load_runs([data / "head.nii.gz"], 1, ODDS, 7, kept, lambda _: None)
    again = load_runs([data / "head.nii.gz"], 1, ODDS, 7, kept, lambda _: pytest.fail("not kept"))
    assert torch.equal(made[0].acquisition.kspace, again[0].acquisition.kspace)
    return again


def known():
    """Two voxels of ten frames, one of which answers."""
    course = torch.tensor([0.0, 1.0] * 5)
    truth = torch.stack([torch.full((10,), 1.0), 1 + 0.1 * course], 1)[:, None]
    active = torch.tensor([[False, True]])
    design = np.column_stack([course, np.ones(10)])
    estimator = torch.from_numpy(np.linalg.pinv(design)[0]).float()
    return TrainingRun(None, truth, torch.ones(1, 2, dtype=torch.bool), active, estimator)


def test_losses_of_known_courses():
    run = known()
    assert float(temporal_error(run.truth, run)) == 0 and float(response_error(run.truth, run)) == pytest.approx(0)
    mean = run.truth.mean(0).expand_as(run.truth)
    half = (run.truth + mean) / 2
    assert float(temporal_error(half, run)) == pytest.approx(0.25, abs=1e-4)
    assert float(response_error(half, run)) == pytest.approx(-0.5, abs=1e-5)
    # a constant image error is not counted, a lost response is
    assert float(temporal_error(half + 3, run)) == pytest.approx(0.25, abs=1e-4)
    expected = np.log(0.25) + 8 * 0.25
    assert float(image_loss(half, run, Weights(bias=8.0))) == pytest.approx(expected, abs=1e-4)
    assert float(response_error(half, replace(run, estimator=None))) == 0


def test_a_seed_decides_a_run():
    assert draw(ODDS, 3) == draw(ODDS, 3) != draw(ODDS, 4)
    assert draw(Odds(tr=(0.9, 0.9)), 1).tr == 0.9


def test_moments_are_those_of_the_truths(data):
    known = list(truths([data / "head.nii.gz"], 1, ODDS, 7))
    network, louder = (SpiralPrior(width=8).requires_grad_(False) for _ in range(2))
    for n in (network, louder):
        torch.nn.init.constant_(n.table, -30.0)
    fit_moments(network, known)
    assert bool(torch.isfinite(network.table).all()) and bool(torch.isfinite(network.trend).all())
    # changes of a head are smoother than white: less at high spatial frequencies
    assert float(network.table[0, 5, 0]) > float(network.table[0, 5, 5])
    fit_moments(louder, [replace(t, series=2 * t.series - t.series.mean(0)) for t in known])
    assert float(louder.table[0, 5, 1] - network.table[0, 5, 1]) == pytest.approx(np.log(4), abs=0.05)
    # what a network starts with stays as room for a response
    room = SpiralPrior(width=8).requires_grad_(False)
    start = room.table.clone()
    fit_moments(room, known)
    assert torch.allclose(room.table, torch.logaddexp(start, network.table), atol=1e-4)


def recipe(**changes):
    base = SpiralRecipe(
        "small", "spiral-fmri-dc", ("head.nii.gz",), ("head.nii.gz",), steps=2, runs=1, val_runs=1, moments=1
    )
    small = {"odds": ODDS, "network": {"width": 8}, "layers": {"first": 2, "second": 2}}
    return replace(base, **(small | changes))


def test_training_leaves_weights_and_goes_on(data, tmp_path):
    told = []
    train(recipe(save_every=1), data, tmp_path, told.append)
    log = json.loads((tmp_path / "log.json").read_text())
    assert log[-1]["step"] == 2 and np.isfinite(log[-1]["val"]["temporal"]).all()
    with safe_open(tmp_path / "small.safetensors", framework="pt") as file:
        about = file.metadata()
        network = SpiralPrior(**json.loads(about["network"]))
        network.load_state_dict({k: file.get_tensor(k) for k in file.keys()})  # noqa: SIM118
    assert json.loads(about["layers"]) == {"first": 2, "second": 2}
    train(recipe(steps=3), data, tmp_path, told.append)
    assert any("resumed at step 2" in line for line in told)
    with pytest.raises(InputError, match="cannot start from these weights"):
        train(recipe(), data, tmp_path / "other", told.append, start=SpiralPrior(width=4).state_dict())


def test_a_recipe_that_is_none_is_refused(tmp_path):
    table = {"kind": "spiral", "name": "x", "method": "spiral-fmri-dc", "heads": ["*.nii"], "val": [], "steps": 1}
    assert spiral_recipe("x", table | {"odds": {"snr": [50.0, 60.0]}}).odds.snr == (50.0, 60.0)
    with pytest.raises(InputError, match="kind spiral"):
        spiral_recipe("x", table | {"nonsense": 1})
    (tmp_path / "a1.nii").touch()
    (tmp_path / "a2.nii").touch()
    (tmp_path / "b.nii").touch()
    assert [p.name for p in heads_of(tmp_path, ("a*.nii", "b.nii"))] == ["a1.nii", "b.nii", "a2.nii"]


def test_the_residual_network_trains_on_shared_frames(data, runs, tmp_path):
    small = recipe(network={"spans": 3, "width": 8, "blocks": 1}, method="spiral-fmri", name="resnet")
    shared_frames.train(small, data, tmp_path, lambda _: None)
    log = json.loads((tmp_path / "log.json").read_text())
    assert log[-1]["step"] == 2 and 0 < log[-1]["val"][0]["nrmse"] < 1
    network = SpiralResNet(spans=3, width=8, blocks=1)
    case = shared_frames.Case.of(runs[0], 3)
    frames = case.frames
    assert frames.widths == (1, 5, 21)  # a Fibonacci number of golden angles
    # it starts from the sliding window, whose loss is one
    start = shared_frames.frames_loss(network, case, slice(4, 8), Weights(kspace=0.0))
    assert float(start.detach()) == pytest.approx(1.0)
    more = shared_frames.frames_loss(network, case, slice(4, 8), Weights(kspace=0.1))
    assert float(more.detach()) > 1.05
    window = sliding_window(runs[0].acquisition, no_progress, WindowSettings(1.05)).data
    alike = frames.image(network(frames.channels(slice(0, 24))).detach())
    assert torch.allclose(alike, window, atol=1e-3 * float(window.abs().max()))
    # the misfit is that of the samples, and so is its gradient
    a = fewer_coils(runs[0].acquisition)
    x = window[4:8].clone().requires_grad_()
    left = a.residual(x, slice(4, 8))
    told = left.abs().square().mean() / a.noise**2 * (left[0].numel() / runs[0].acquisition.kspace[0].numel())
    assert float(case.misfit(x, slice(4, 8)).detach()) == pytest.approx(float(told.detach()), rel=2e-2)
    (expected,), (found,) = (torch.autograd.grad(v, x) for v in (told, case.misfit(x, slice(4, 8))))
    assert float((found - expected).norm() / expected.norm()) < 2e-2


def test_the_mean_image_is_deblurred_by_what_training_leaves(data, tmp_path):
    small = recipe(network={"width": 4}, method="deblur", name="deblur", steps=30, warmup=1, validate_every=10)
    deblur.train(small, data, tmp_path, lambda _: None)
    log = json.loads((tmp_path / "log.json").read_text())
    assert [e["step"] for e in log] == [10, 20, 30] and log[-1]["loss"] < log[0]["loss"]
    assert 0 < log[-1]["val"]["after"] < 2 * log[-1]["val"]["before"] < 1
    with safe_open(tmp_path / "deblur.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["network"]) == {"width": 4}


def test_runs_are_the_same_from_several_processes(data, tmp_path):
    one, two = (
        load_runs([data / "head.nii.gz"], 2, ODDS, 7, tmp_path / str(n), lambda _: None, workers=n) for n in (1, 2)
    )
    assert all(torch.equal(a.acquisition.kspace, b.acquisition.kspace) for a, b in zip(one, two, strict=True))


def test_whole_heads_are_every_other_run(tmp_path):
    for name in ("a1", "a2", "a3", "w1", "w2"):
        (tmp_path / f"{name}.nii").touch()
    names = [p.stem for p in heads_of(tmp_path, ("a*.nii",), ("w*.nii",))]
    assert names[:6] == ["a1", "w1", "a2", "w2", "a3", "w1"] and len(names) == 12
