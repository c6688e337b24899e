"""The commands around the trained models: runs taken in, claims answered, the table's own figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medsr.models import slices as registry
from medsr.models.slices import Weights, models
from medsr.networks import NETWORKS
from medsr.training.slices.loop import save_weights
from medsr.training.slices.recipe import SliceRecipe, read_recipe, shipped_recipes, slice_recipe
from pipelines import models as intake
from pipelines.benchmarks import claims
from pipelines.benchmarks.claims import CLAIMS, Sample, answer, sample
from pipelines.benchmarks.models import dice, perception, placed
from tests.conftest import smooth_head


def test_a_run_is_taken_in_and_taken_in_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "scrsr-through4"
    run.mkdir()
    recipe = slice_recipe("scrsr-through4", read_recipe("scrsr-through4"))
    save_weights(NETWORKS["scrsr"].build((4, 1), seed=1), run / "scrsr-through4.safetensors", recipe, 7)
    (run / "checkpoint.safetensors").write_bytes(b"")
    (run / "log.json").write_text(json.dumps([{"gain_db": 0.25}, {"gain_db": 0.125}]))
    (tmp_path / "weights").mkdir()
    (tmp_path / "cards").mkdir()
    monkeypatch.setattr(intake, "weights_folder", lambda: tmp_path / "weights")
    monkeypatch.setattr(intake, "CARDS", tmp_path / "cards")
    monkeypatch.setattr(intake, "models", lambda: {})
    monkeypatch.setattr(intake.models, "cache_clear", lambda: None, raising=False)
    for _ in range(2):
        intake.take(run)
    import tomllib

    card = registry._read(tomllib.loads((tmp_path / "cards/scrsr.toml").read_text()))
    (one,) = card.weights
    assert (one.scale, one.stage, one.seed, one.patches, one.gain_db) == ((4, 1), "pixel", 1, 56, 0.25)
    monkeypatch.setattr(registry, "weights_folder", lambda: tmp_path / "weights")
    assert registry.load_network(one).scale == (4, 1)


def test_figures_are_those_of_the_very_same_weights() -> None:
    one = Weights("f", "abc", (4, 1), "pixel", "r", 1, 4000, 10, 0.5)
    rows = [
        {"head": "H", "mode": "x4 through", "name": "spline", "psnr": 29.0},
        {"head": "H", "mode": "x4 through", "name": "drudn", "psnr": 31.004, "sha256": "abc"},
        {"head": "H", "mode": "x4 through", "name": "gcn", "psnr": 33.0, "sha256": "other"},
    ]
    assert intake.figures(one, rows) == {"H PSNR": 31.0, "H over spline": 2.0}
    assert intake.figures(one, rows[:1]) == {}


def test_claims_compare_recipes_that_exist_and_saw_as_much() -> None:
    shipped = set(shipped_recipes())
    for pair in CLAIMS.values():
        assert set(pair) <= shipped
        a, b = (slice_recipe(n, read_recipe(n)) for n in pair)
        assert (a.steps, a.batch, a.patch, a.stage) == (b.steps, b.batch, b.patch, b.stage)


def test_answers_want_two_seeds_and_more_than_their_spread() -> None:
    better, worse = Sample((0.9, 0.95)), Sample((0.5, 0.55))
    assert answer(better, worse, 1) == "yes"
    assert answer(worse, better, 1) == "no"
    assert answer(better, worse, -1) == "no"
    assert answer(Sample((0.9,)), worse, 1) == "undecided"
    assert answer(Sample(()), worse, 1) == "undecided"
    assert answer(Sample((0.5, 0.8)), Sample((0.4, 0.5)), 1) == "undecided"
    assert str(better) == "0.9250 ± 0.0250 (2)"


def test_samples_are_the_runs_of_a_recipe_and_its_seeds(tmp_path: Path) -> None:
    for name, value in (("a-final", 1.0), ("a-final-s2", 2.0), ("a-final-identity", 9.0), ("a", 9.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.json").write_text(json.dumps([{"figures": {"gain_db": value}}]))
    (tmp_path / "a-final-s3").mkdir()  # still running
    assert sample(tmp_path, "a-final", "gain_db").values == (1.0, 2.0)
    assert claims.FIGURES == {"gain_db": 1, "gmsd": -1}


def test_the_lines_of_the_claims(tmp_path: Path) -> None:
    claim, (with_it, without) = next(iter(CLAIMS.items()))
    for name, value, patches in (
        (with_it, 1.0, 8),
        (f"{with_it}-s2", 1.1, 8),
        (without, 0.5, 8),
        (f"{without}-s2", 0.4, 8),
    ):
        (tmp_path / name).mkdir()
        entry = {"patches": patches, "figures": {"gain_db": value, "gmsd": 0.1}}
        (tmp_path / name / "log.json").write_text(json.dumps([entry]))
    gain, deviation = claims.lines(tmp_path)[:2]
    assert (gain["claim"], gain["patches"], gain["answer"]) == (claim, [8], "yes")
    assert (gain["with"], gain["without"]) == ((1.0, 1.1), (0.5, 0.4))
    assert deviation["answer"] == "undecided"
    assert (
        f"| {claim} | 8 | PSNR over `spline` (dB) | 1.0500 ± 0.0500 (2) | 0.4500 ± 0.0500 (2) | yes |"
        in claims.table([gain])
    )
    entry["patches"] = 4  # one that saw less
    (tmp_path / without / "log.json").write_text(json.dumps([entry]))
    assert claims.lines(tmp_path)[0]["answer"] == "undecided"


def test_the_runs_of_the_claims_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, int, int, bool]] = []

    def train(recipe: SliceRecipe, data: Path, out: Path, say: object, *, start: object, resume: bool) -> None:
        out.mkdir()
        (out / "log.json").write_text(json.dumps([{"step": recipe.steps}]))
        made.append((recipe.name, recipe.seed, recipe.steps, start is not None))

    monkeypatch.setattr(claims, "train", train)
    monkeypatch.setattr(claims, "starting_weights", lambda path: path)
    claims.fill(tmp_path, tmp_path)
    assert {name for name, *_ in made} == {name for pair in CLAIMS.values() for name in pair}
    assert {seed for _, seed, *_ in made} == {1, 2}
    for name, _, steps, started in made:
        stage = "final" if "final" in name else "pixel"
        assert (steps, started) == (claims.STEPS[stage], stage == "final")
    assert [started for *_, started in made] == sorted(started for *_, started in made), "pixel stages first"
    claims.fill(tmp_path, tmp_path)
    assert len(made) == len(set(made)), "none was made again"
    gcn, eusr = (slice_recipe(n, read_recipe(n)) for n in ("gcn-through4-final-identity", "eusr-through4-final"))
    assert claims.started_from(gcn, tmp_path).is_file()
    assert claims.started_from(eusr, tmp_path) == tmp_path / "eusr-through4-passes-s1/checkpoint.safetensors"


def test_perception_is_perfect_for_the_truth_and_worse_for_a_blur() -> None:
    truth = smooth_head((40, 40, 40))
    perfect = perception(truth, truth)
    assert perfect["gmsd"] == pytest.approx(0, abs=1e-6)
    assert perfect["sharp"] == pytest.approx(1)
    blurred = (truth + np.roll(truth, 1, 2) + np.roll(truth, -1, 2)) / 3
    assert perception(blurred, truth)["gmsd"] > 0.01
    assert perception(blurred, truth)["sharp"] < 0.99


def test_the_middle_of_a_head_is_scored_where_it_lies() -> None:
    truth = smooth_head((24, 25, 12))
    middle = truth[4:20, 4:20]  # (25 - 16) // 2, as `heads.middle` cuts
    np.testing.assert_array_equal(placed(middle, truth), truth)
    changed = placed(middle + 1, truth) - truth
    assert changed[4:20, 4:20] == pytest.approx(1, abs=1e-5)
    assert changed.sum() == pytest.approx(16 * 16 * 12, rel=1e-5)
    np.testing.assert_array_equal(placed(truth + 1, truth), truth + 1)


def test_dice_is_the_mean_over_the_tissues() -> None:
    right = np.array([0, 1, 1, 2, 2, 3, 3, 0], np.int8)
    assert dice(right, right) == 1
    assert dice(np.array([0, 1, 0, 2, 2, 3, 3, 0], np.int8), right) == pytest.approx((2 / 3 + 1 + 1) / 3)


def test_the_models_here_are_those_with_weights() -> None:
    assert all(m.weights for m in models().values())
