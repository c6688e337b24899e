"""Training of the 3D network: it goes on, and the interval is learned beside an estimate that stays as it is."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medsr import Grid, Volume, save_volume
from medsr.training.consensus import train
from medsr.training.patches import Case, Source, less_noise
from medsr.training.recipe import Recipe, load_recipe
from tests.conftest import smooth_head

RECIPE = Recipe(
    name="tiny",
    network={"width": 4, "blocks": 1, "kernels": 2},
    source=(Source(("train.nii.gz",), 1.0, ("val.nii.gz",)),),
    steps=4,
    cells=8,
    validate_every=4,
    save_every=2,
    warmup=1,
)


@pytest.fixture
def data(tmp_path):
    for seed, name in enumerate(("train", "val")):
        head = smooth_head((40, 40, 40), seed).astype(np.float32)
        save_volume(Volume(head, Grid(head.shape, np.eye(4))), tmp_path / f"{name}.nii.gz")
    return tmp_path


def test_a_run_that_was_stopped_goes_on(data, tmp_path):
    train(RECIPE, data, tmp_path / "a", [].append)
    train(replace(RECIPE, steps=2), data, tmp_path / "b", [].append)
    said = []
    train(RECIPE, data, tmp_path / "b", said.append)
    assert said[0] == "resumed at step 2"
    log = json.loads((tmp_path / "b" / "log.json").read_text())
    assert [entry["step"] for entry in log] == [2, 4]
    assert set(log[-1]["gain_db"]) == {"x2 gaussian", "x2 kspace", "x3 gaussian", "x2 gaussian, 2 % noise"}
    assert (tmp_path / "b" / "curves.svg").stat().st_size > 500


def test_the_interval_leaves_the_estimate_alone(data, tmp_path):
    train(RECIPE, data, tmp_path / "a", [].append)
    start = str(tmp_path / "a" / "tiny.safetensors")
    recipe = replace(RECIPE, stage="interval", start=start, steps=6, learning_rate=1e-2, denoised=0.5)
    said = []
    train(recipe, data, tmp_path / "b", said.append)
    before, after = load_file(start), load_file(tmp_path / "b" / "tiny.safetensors")
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed == {"error.weight", "error.others", "error.bias", "mixer.2.weight", "mixer.2.bias"}
    assert torch.equal(before["mixer.2.weight"][:-2], after["mixer.2.weight"][:-2])
    assert not torch.equal(before["mixer.2.weight"][-2:], after["mixer.2.weight"][-2:])
    assert "covered" in said[-1]


def test_noise_is_taken_away():
    clean = smooth_head((48, 48, 48), 3).astype(np.float32)
    clean /= np.percentile(clean, 99.5)
    noisy = clean + 0.05 * np.random.default_rng(0).standard_normal(clean.shape, np.float32)
    sigma = Case("x", noisy, (1.0, 1.0, 1.0)).noise
    assert sigma == pytest.approx(0.05, rel=0.5)  # of so small a volume
    none, half, whole = (np.std(less_noise(noisy, sigma, kept) - clean) for kept in (0.0, 0.5, 1.0))
    assert none < half < whole
    assert np.array_equal(less_noise(noisy, 0.0, 0.3), noisy)


@pytest.mark.parametrize("layout", ["isotropic", "through-plane"])
def test_shipped_recipes(layout):
    recipe = load_recipe(f"consensus-{layout}-interval")
    assert (recipe.layout, recipe.stage, recipe.name) == (layout, "interval", f"consensus-{layout}")
    assert recipe.network == load_recipe(f"consensus-{layout}").network
