"""The trainer of the 2D systems: every system steps, resumes to the bit, and leaves what it says."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

from medsr.errors import InputError, UsageError, WeightsError
from medsr.io import save_volume
from medsr.models.tensors import sha256_of
from medsr.models.weights import read_weights
from medsr.networks import NETWORKS
from medsr.training.objectives import Batch, PixelObjective
from medsr.training.slices import checkpoint, loop, prepare
from medsr.training.slices.acquire import PlaneAcquisition
from medsr.training.slices.checkpoint import starting_weights
from medsr.training.slices.loop import random_batch, train
from medsr.training.slices.recipe import PlaneSource, SliceRecipe, read_recipe, shipped_recipes, slice_recipe
from medsr.training.slices.systems import build_network, build_objective
from medsr.training.slices.volumes import NO_LABEL, load_volumes, random_patch
from medsr.volume import Grid, Volume
from tests.cli.conftest import Command, medsr  # noqa: F401 - a fixture
from tests.conftest import smooth_head

SOURCE = PlaneSource(files=("a/*.nii.gz",), val=("b/*.nii.gz",), planes=((0, 1), (1, 0)), weight=1.0)
RECIPE = SliceRecipe(
    name="trial",
    network="scrsr",
    scale=(4, 1),
    source=(SOURCE,),
    steps=4,
    batch=2,
    patch=(8, 32),
    profiles=(("gaussian", 1.0, 0.5), ("boxcar", 0.8, 0.5)),
    warmup=2,
    save_every=2,
    validate_every=2,
    noisy=0.5,
)
TOML = """\
kind = "slices"
network = "scrsr"
scale = [4, 1]
steps = 2
batch = 2
patch = [8, 32]
profiles = [["gaussian", 1.0, 1.0]]
validate_every = 1
[[source]]
files = ["a/*.nii.gz"]
val = ["b/*.nii.gz"]
planes = [[0, 1]]
weight = 1
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, seed in (("a/one", 1), ("a/two", 2), ("b/three", 3)):
        (folder / name).parent.mkdir(exist_ok=True)
        shape = (40, 44, 12)
        save_volume(Volume(smooth_head(shape, seed), Grid(shape, np.eye(4))), folder / f"{name}.nii.gz")
    return folder


def weights(folder: Path, name: str = "trial") -> dict[str, torch.Tensor]:
    return read_weights(folder / f"{name}.safetensors").state_dict()


def test_a_run_leaves_weights_log_curves_and_checkpoint(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    train(RECIPE, data, tmp_path / "out", said.append)
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["checkpoint.safetensors", "curves.svg", "log.json", "trial.safetensors"]
    log = json.loads((tmp_path / "out/log.json").read_text())
    assert [e["step"] for e in log] == [2, 4]
    assert [e["patches"] for e in log] == [4, 8]
    assert np.isfinite(log[-1]["gain_db"])
    root = ElementTree.fromstring((tmp_path / "out/curves.svg").read_text())
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2
    assert all(len(line.get("points", "").split()) == 2 for line in lines)
    network = read_weights(tmp_path / "out/trial.safetensors")
    assert network.scale == (4, 1)
    assert network.slices == 1
    assert not network.training


def test_a_recipe_may_give_a_network_the_neighbouring_slices(data: Path, tmp_path: Path) -> None:
    train(replace(RECIPE, network="fast2d", slices=3, steps=2), data, tmp_path / "out", [].append)
    network = read_weights(tmp_path / "out/trial.safetensors")
    assert network.slices == 3
    assert network(torch.zeros(1, 3, 8, 12)).shape == (1, 1, 32, 12)


def test_a_stopped_run_goes_on_as_if_it_had_not_been(data: Path, tmp_path: Path) -> None:
    say = [].append
    train(RECIPE, data, tmp_path / "whole", say)
    # stopped after the second step: the schedule is still that of four
    clock = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.time, "monotonic", lambda: next(clock))
        train(RECIPE, data, tmp_path / "parts", say, most_seconds=2.5)
    assert len(json.loads((tmp_path / "parts/log.json").read_text())) == 1
    train(RECIPE, data, tmp_path / "parts", say, resume=True)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[k], parts[k]) for k in whole)
    logs = [json.loads((tmp_path / n / "log.json").read_text()) for n in ("whole", "parts")]
    assert [e["gain_db"] for e in logs[0]] == [e["gain_db"] for e in logs[1]]


def test_seeds_differ_and_repeat(data: Path, tmp_path: Path) -> None:
    short = replace(RECIPE, steps=1, validate_every=1)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(replace(short, seed=seed), data, tmp_path / name, [].append)
    a, b, c = (weights(tmp_path / n) for n in "abc")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_takes_a_pixel_step(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (40, 44, 12)).astype(np.int8)
    monkeypatch.setattr("medsr.training.slices.tissues.classify_tissues", lambda x: labels)
    recipe = replace(RECIPE, network=name, steps=1, source=(replace(SOURCE, tissues=1),))
    train(recipe, data, tmp_path / "out", [].append)
    (entry,) = json.loads((tmp_path / "out/log.json").read_text())
    assert set(entry["terms"]) == ({"pixel", "segmentation"} if name == "multitask" else {"pixel"})


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("gcn", {"pixel", "feature", "critic"}),
        ("udgan", {"pixel", "feature", "adversarial", "critic"}),
        ("mdcn", {"pixel", "feature", "adversarial", "critic"}),
        (
            "eusr",
            {"pixel", "adversarial", "critic"}
            | {f"{p} {t}" for p in ("subjective", "aesthetic") for t in ("score", "representation")},
        ),
    ],
)
def test_the_final_stages_play_their_games_and_resume(
    name: str, terms: set[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "STEPS", 2)
    recipe = replace(RECIPE, network=name, stage="final", steps=2, validate_every=1)
    start = NETWORKS[name].build((4, 1), inference=True, seed=5).state_dict()
    train(recipe, data, tmp_path / "out", [].append, start=start)
    log = json.loads((tmp_path / "out/log.json").read_text())
    assert set(log[0]["terms"]) == terms
    assert all(np.isfinite(v) for e in log for v in e["terms"].values())
    train(replace(recipe, steps=3), data, tmp_path / "out", [].append, resume=True)
    log = json.loads((tmp_path / "out/log.json").read_text())
    assert [e["step"] for e in log] == [1, 2, 3]


def test_a_final_stage_learns_from_its_own_kind_alone(data: Path, tmp_path: Path) -> None:
    other = NETWORKS["drudn"].build((4, 1), inference=True).state_dict()
    with pytest.raises(InputError, match="cannot start from these weights"):
        train(replace(RECIPE, network="gcn"), data, tmp_path / "out", [].append, start=other)
    with pytest.raises(UsageError, match="no final stage"):
        build_objective(replace(RECIPE, network="drudn", stage="final"))
    with pytest.raises(UsageError, match="an option"):
        build_objective(replace(RECIPE, network="gcn", stage="final", options={"colour": 1}))


def test_every_pass_trains_and_a_checkpoint_is_what_a_final_stage_starts_from(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped weights lack the branches of the other passes; the checkpoint has them."""
    monkeypatch.setattr(prepare, "STEPS", 1)
    recipe = replace(RECIPE, network="eusr", steps=2, options={"passes": True})
    train(recipe, data, tmp_path / "pixel", [].append)
    start = starting_weights(tmp_path / "pixel/checkpoint.safetensors")
    own = build_network(recipe).state_dict()
    assert start.keys() == own.keys()
    tails = [k for k in own if k.startswith("tails") and k.endswith("weight")]
    assert len(tails) == 3
    assert all(start[k].any() for k in tails), "each began at zero"
    bare = starting_weights(tmp_path / "pixel/trial.safetensors")
    assert bare.keys() < start.keys()
    straight = replace(recipe, stage="final", steps=1, options={"passes": False})
    train(straight, data, tmp_path / "final", [].append, start=start)
    with pytest.raises(UsageError, match="EUSR"):
        train(replace(recipe, network="gcn"), data, tmp_path / "gcn", [].append)


def test_a_batch_is_a_scan_of_its_truth(data: Path) -> None:
    volumes = [load_volumes(data, SOURCE.files, SOURCE)]
    clean = replace(RECIPE, noisy=0.0, profiles=(("gaussian", 1.0, 1.0),))
    batch = random_batch(clean, volumes, 3, np.random.default_rng(2))
    assert batch.low.shape == (2, 3, 8, 32)
    assert batch.high.shape == (2, 1, 32, 32)
    acquisition = PlaneAcquisition((32, 32), (4, 1), "gaussian", 1.0)
    torch.testing.assert_close(acquisition.measure(batch.high), batch.low[:, 1:2])
    made = batch.finish(torch.rand(4, 1, 32, 32))  # two passes, say
    torch.testing.assert_close(
        acquisition.measure(made), batch.low[:, 1:2].repeat(2, 1, 1, 1), atol=2e-4, rtol=1e-3
    )
    # what is right already stays
    torch.testing.assert_close(batch.finish(batch.high), batch.high, atol=1e-4, rtol=1e-3)


def test_patches_follow_their_planes_and_labels(data: Path) -> None:
    (volume, _) = load_volumes(data, SOURCE.files, SOURCE)
    tagged = replace(volume, labels=(volume.data.astype("f4") * 100).astype(np.int8))
    for seed in range(8):
        patch, labels = random_patch(tagged, (32, 56), 3, np.random.default_rng(seed))
        assert patch.shape == (3, 32, 56)
        assert labels is not None
        inside = labels != NO_LABEL
        assert inside.any()
        assert not inside.all(), "the volume is 44 wide at most"
        np.testing.assert_array_equal(labels[inside], (patch[1][inside] * 100).astype(np.int8))
        assert (patch[1][~inside] == 0).all()


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    checkpoint.save(tmp_path / "c.safetensors", {"network": layer}, {}, {"step": 1})
    with pytest.raises(InputError, match="not a checkpoint of this recipe"):
        checkpoint.load(tmp_path / "c.safetensors", {"network": nn.Linear(3, 2)}, {})
    (tmp_path / "c.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a checkpoint of this recipe"):
        checkpoint.load(tmp_path / "c.safetensors", {"network": layer}, {})


def test_shipped_recipes_can_be_read_and_share_one_budget() -> None:
    names = [n for n in shipped_recipes() if read_recipe(n).get("kind") == "slices"]
    recipes = [slice_recipe(n, read_recipe(n)) for n in names]
    assert {f"{n}-through4" for n in NETWORKS} <= set(names)
    for recipe in recipes:
        assert recipe.name in names
        assert NETWORKS[recipe.network].supports(recipe.scale)
        build_objective(recipe)
    for scale, stage in {(r.scale, r.stage) for r in recipes}:
        of_scale = [r for r in recipes if r.scale == scale and r.stage == stage]
        alike = {r.steps * r.batch for r in of_scale}
        assert len(alike) == 1, (scale, stage, alike)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("kind = 'slices'\nnetwork = ", "not a recipe"),
        (TOML + "colour = 1\n", "not a recipe"),
        (TOML.replace("steps = 2", "steps = 0"), "positive"),
        (TOML.replace("[[source]]", "[[sources]]"), "not a recipe"),
    ],
)
def test_bad_recipes_get_one_line(text: str, match: str, tmp_path: Path, data: Path, medsr: Command) -> None:  # noqa: F811
    (tmp_path / "bad.toml").write_text(text)
    ran = medsr("train", tmp_path / "bad.toml", "--data", data, "-o", tmp_path / "out")
    assert ran.code == 3
    assert match in ran.line


def test_train_from_the_command_line(tmp_path: Path, data: Path, medsr: Command) -> None:  # noqa: F811
    recipe, out = tmp_path / "mine.toml", tmp_path / "out"
    recipe.write_text(TOML)
    ran = medsr("train", recipe, "--data", data, "-o", out, "--seed", "4", "--steps", "1")
    assert ran.code == 0, ran
    assert "step 1" in ran.out
    assert (out / "mine.safetensors").is_file()
    ran = medsr("train", recipe, "--data", data, "-o", out)
    assert ran.code == 4
    assert "--resume" in ran.line
    ran = medsr("train", recipe, "--data", data, "-o", out, "--seed", "4", "--resume")
    assert ran.code == 0
    assert "resumed at step 1" in ran.out
    for wrong, code in (
        (("train", recipe, "-o", out), 2),
        (("train", "no-such", "--data", data, "-o", tmp_path / "x"), 2),
        (("train", recipe, "--data", tmp_path / "nowhere", "-o", tmp_path / "x"), 3),
        (("train", recipe, "--data", tmp_path, "-o", tmp_path / "x"), 3),
        (("train", recipe, "--data", data, "-o", recipe), 4),
        (("train", recipe, "--data", data, "-o", tmp_path / "x", "--seconds", "-1"), 2),
        (("train", recipe, "--data", data, "-o", tmp_path / "x", "--device", "abacus"), 2),
        (("train", "regss", "--data", data, "-o", tmp_path / "x", "--workers", "0"), 2),
        (("train", "gcn-through4-final", "--data", data, "-o", tmp_path / "x", "--resume"), 2),
        (("train", recipe, "--data", data, "-o", tmp_path / "x", "--start", tmp_path / "no"), 5),
    ):
        ran = medsr(*wrong)
        assert (ran.code, ran.err.count("\n")) == (code, 1), ran
    if not torch.cuda.is_available():
        ran = medsr("train", recipe, "--data", data, "-o", tmp_path / "x", "--device", "cuda")
        assert ran.code == 2
        assert "no CUDA device" in ran.line
    ran = medsr("train", "--list")
    assert "drudn-through4" in ran.out.split()


def test_weights_that_are_wrong_are_refused(tmp_path: Path, data: Path) -> None:
    train(replace(RECIPE, steps=1), data, tmp_path / "out", [].append)
    path = tmp_path / "out/trial.safetensors"
    read_weights(path, sha256_of(path))
    with pytest.raises(WeightsError, match="not the weights on the card"):
        read_weights(path, "0" * 64)
    with pytest.raises(WeightsError, match="missing"):
        read_weights(tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(WeightsError, match="not a file of weights"):
        read_weights(tmp_path / "cut.safetensors")
    with pytest.raises(WeightsError, match="not weights"):
        read_weights(tmp_path / "out/checkpoint.safetensors")
    assert WeightsError.exit_code == 5


def test_the_projection_in_the_loss_hides_what_the_scan_decides(data: Path) -> None:
    """No gradient for what the projection would undo anyway."""
    acquisition = PlaneAcquisition((32, 32), (4, 1), "gaussian", 1.0)
    truth = torch.rand(1, 1, 32, 32)
    low = acquisition.measure(truth)
    network = NETWORKS["fast2d"].build((4, 1), seed=1)
    batch = Batch(low, truth, finish=lambda image: acquisition.project(image, low))
    outcome = PixelObjective().generator(network, batch)
    torch.testing.assert_close(acquisition.measure(outcome.made), low, atol=1e-4, rtol=1e-3)


def test_the_multitask_system_does_without_labels_where_there_are_none(data: Path, tmp_path: Path) -> None:
    network = NETWORKS["multitask"].build((4, 1), seed=1)
    low, high = torch.rand(2, 1, 8, 16), torch.rand(2, 1, 32, 16)
    outcome = build_objective(replace(RECIPE, network="multitask")).generator(
        network, Batch(low, high, torch.full((2, 32, 16), NO_LABEL))
    )
    assert float(outcome.terms["segmentation"].detach()) == 0
    outcome.loss.backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in network.parameters() if p.grad is not None)
    # and with the weight zero it is the network alone: the control of what segmentation is worth
    alone = build_objective(replace(RECIPE, network="multitask", options={"segmentation": 0}))
    assert isinstance(alone, PixelObjective)
