"""Training of SRCNN3D: what a batch is, that it learns, resumes to the bit and leaves what it says."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medsr.io import save_volume
from medsr.models.tensors import read_tensors
from medsr.networks.srcnn3d import SRCNN3D
from medsr.training import srcnn3d
from medsr.training.patches import Patches, Source, load_cases
from medsr.training.srcnn3d import Srcnn3dRecipe, batch_of, degraded, load_srcnn3d_recipe, train
from medsr.volume import Grid, Volume
from tests.cli.conftest import Command, medsr  # noqa: F401 - a fixture
from tests.conftest import smooth_head

SOURCE = Source(files=("a/*.nii.gz",), val=("b/*.nii.gz",), weight=1.0)
RECIPE = Srcnn3dRecipe(
    "trial", (SOURCE,), steps=4, patch=20, batch=2, warmup=1, save_every=2, validate_every=2, seed=3
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, seed in (("a/one", 1), ("a/two", 2), ("b/three", 3)):
        (folder / name).parent.mkdir(exist_ok=True)
        shape = (26, 24, 22)
        save_volume(Volume(smooth_head(shape, seed), Grid(shape, np.eye(4))), folder / f"{name}.nii.gz")
    return folder


def test_a_run_leaves_weights_log_curves_and_checkpoint(data: Path, tmp_path: Path) -> None:
    train(RECIPE, data, tmp_path / "out", [].append)
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["checkpoint.safetensors", "curves.svg", "log.json", "trial.safetensors"]
    log = json.loads((tmp_path / "out/log.json").read_text())
    assert [e["step"] for e in log] == [2, 4]
    assert list(log[-1]["gains_db"]) == ["b/three.nii.gz"]
    assert "gain over the cubic spline" in (tmp_path / "out/curves.svg").read_text()
    tensors, about = read_tensors(tmp_path / "out/trial.safetensors")
    SRCNN3D().load_state_dict(tensors)
    assert about == {"network": "srcnn3d", "ratio": "2", "steps": "4"}


def test_a_stopped_run_goes_on_as_if_it_had_not_been(data: Path, tmp_path: Path) -> None:
    train(RECIPE, data, tmp_path / "whole", [].append)
    clock = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(srcnn3d.time, "monotonic", lambda: next(clock))
        train(RECIPE, data, tmp_path / "parts", [].append, most_seconds=3.5)
    said: list[str] = []
    train(RECIPE, data, tmp_path / "parts", said.append)
    assert said[0].startswith("resumed at step")
    assert said[0] != "resumed at step 4"
    whole, parts = (read_tensors(tmp_path / n / "trial.safetensors")[0] for n in ("whole", "parts"))
    assert all(torch.equal(whole[k], parts[k]) for k in whole)
    logs = [json.loads((tmp_path / n / "log.json").read_text()) for n in ("whole", "parts")]
    assert logs[0] == logs[1]


def test_a_batch_is_degraded_along_the_resolved_axes_alone(data: Path) -> None:
    source = replace(SOURCE, axes=(0, 2))
    stock = Patches([source], [load_cases(data, source.files, source)], np.random.default_rng(0))
    given, truth, scale = batch_of(replace(RECIPE, contrast=0.0), stock, 0)
    assert given.shape == (2, 1, 20, 20, 20)
    assert truth.shape == (2, 1, 8, 8, 8)
    assert scale.shape == (2, 1, 1, 1, 1)
    assert 0.3 <= float(scale.min()) <= float(scale.max()) <= 1
    again = batch_of(replace(RECIPE, contrast=0.0), stock, 0)
    assert torch.equal(given, again[0])
    assert not torch.equal(given, batch_of(replace(RECIPE, contrast=0.0), stock, 1)[0])


def test_the_degraded_image_is_where_the_truth_is() -> None:
    x = torch.from_numpy(smooth_head((40, 40, 40)))
    made = degraded(x, 2, (0, 1, 2))
    here, *beside = ((made.roll(shift, 0) - x).square().mean() for shift in (0, 1, -1))
    assert here < 0.8 * min(beside)
    ramp = torch.arange(40.0).expand(40, 40, 40).contiguous()
    torch.testing.assert_close(degraded(ramp, 2, (2,))[..., 12:-12], ramp[..., 12:-12], atol=1e-2, rtol=0)
    torch.testing.assert_close(degraded(ramp, 2, (0, 1)), ramp, atol=1e-3, rtol=0)


def test_it_learns(data: Path, tmp_path: Path) -> None:
    train(replace(RECIPE, steps=24, validate_every=12, contrast=0.0), data, tmp_path / "out", [].append)
    first, last = (e["gains_db"]["b/three.nii.gz"] for e in json.loads((tmp_path / "out/log.json").read_text()))
    assert last > max(first, 0.1)


def test_the_shipped_recipe_from_the_command_line(data: Path, tmp_path: Path, medsr: Command) -> None:  # noqa: F811
    assert load_srcnn3d_recipe("regss").ratio == 2
    mine, out = tmp_path / "mine.toml", tmp_path / "out"
    mine.write_text(
        'kind = "srcnn3d"\nsteps = 1\npatch = 20\n'
        '[[source]]\nfiles = ["a/*.nii.gz"]\nval = ["b/*.nii.gz"]\nweight = 1\n'
    )
    ran = medsr("train", mine, "--data", data, "-o", out, "--seed", "4")
    assert ran.code == 0, ran
    assert (out / "mine.safetensors").is_file()
    mine.write_text(mine.read_text() + "colour = 1\n")
    ran = medsr("train", mine, "--data", data, "-o", tmp_path / "other")
    assert ran.code == 3
    assert "not a recipe" in ran.line
