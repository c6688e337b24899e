"""2D networks through volumes: any axis, any ratio, exactly onto the data; weights that are checked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from medsr.acquisition.slices import plan_acquisition
from medsr.errors import UsageError, WeightsError
from medsr.io import open_volume
from medsr.methods import slicewise as module
from medsr.methods.base import no_progress
from medsr.methods.interpolation import interpolation_factors
from medsr.methods.slicewise import onto_fine, propose, slicewise
from medsr.models import slices as registry
from medsr.models.slices import load_network, model, model_names, models, weights_folder
from medsr.models.tensors import sha256_of
from medsr.networks import NETWORKS
from medsr.networks.count import parameters
from medsr.operators.modeproduct import mode_product
from medsr.reconstruction import reconstruct
from medsr.volume import Grid, ScanFacts, Volume
from tests.cli.conftest import Command, medsr, scan  # noqa: F401 - fixtures
from tests.conftest import GRIDS, smooth_head


def thick(between: float = 4.0, axis: int = 2, n: int = 7) -> Volume:
    shape, spacing = [18, 16, 17], [1.0, 1.0, 1.0]
    shape[axis], spacing[axis] = n, between
    grid = Grid((shape[0], shape[1], shape[2]), np.diag([*spacing, 1.0]))
    return Volume(smooth_head(grid.shape), grid, ScanFacts(slice_axis=axis, acquisition_type="2D"))


@pytest.mark.parametrize("between", [1.7, 3.0, 4.0, 5.5])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_ratio_along_any_axis_explains_the_scan(between: float, axis: int) -> None:
    result = reconstruct(thick(between, axis), 1.0, method="slicewise", noise=0.0)
    assert result.volume.grid.spacing == pytest.approx((1.0, 1.0, 1.0))
    assert result.figures["residual_over_data"] < 1e-4
    assert result.made_with["model"] == "fast2d"
    assert len(result.made_with["weights_sha256"]) == 64


def test_the_axes_are_all_alike() -> None:
    last = thick(4.0, 2)
    data = np.ascontiguousarray(last.data.transpose(2, 0, 1))
    first = Volume(data, Grid(data.shape, np.diag([4.0, 1.0, 1.0, 1.0])), ScanFacts(slice_axis=0))
    a = reconstruct(last, 1.0, method="slicewise", noise=0.0).volume.data
    b = reconstruct(first, 1.0, method="slicewise", noise=0.0).volume.data
    np.testing.assert_allclose(b.transpose(1, 2, 0), a, atol=1e-3 * a.max())


def test_without_training_it_is_an_interpolation() -> None:
    """The network's skip: Keys' cubic, which is near the B-spline's, on the fine grid's voxels and no others."""
    network = NETWORKS["fast2d"].build((4, 1), inference=True)
    for between in (3.0, 4.0, 5.0):
        volume = thick(between)
        plan = plan_acquisition(volume, spacing=(1, 1, 1), noise=0.0)
        y = torch.from_numpy(volume.data)
        made = propose(network, y, [2], plan, no_progress).numpy()
        expected = mode_product(y, interpolation_factors(plan, 3, y)).numpy()
        assert made.shape == expected.shape
        inner = (slice(None), slice(None), slice(4, -4))
        error = np.sqrt(np.mean((made - expected)[inner] ** 2))
        # half a voxel off would be several times that
        shifted = np.sqrt(np.mean((np.roll(made, 1, 2) - expected)[inner] ** 2))
        assert error < 0.04 * made.max()
        assert error < shifted / 3


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.3, 4.0, 5.0])
def test_onto_the_fine_grid_a_ramp_stays_a_ramp(ratio: float) -> None:
    volume = thick(ratio, n=12)
    plan = plan_acquisition(volume, spacing=(1, 1, 1), noise=0.0)
    z = (np.arange(48) - 23.5) * ratio / 4
    grown = np.broadcast_to(z, (18, 16, 48)).astype("f4")
    made = onto_fine(np.ascontiguousarray(grown), {2: 4}, plan)
    length = plan.fine.shape[2]
    expected = np.arange(length) - (length - 1) / 2
    np.testing.assert_allclose(made[3, 4, 8:-8], expected[8:-8], atol=2e-3)


def test_tiles_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = thick()
    plan = plan_acquisition(volume, noise=0.0)
    y = torch.from_numpy(volume.data)
    whole = slicewise(y, plan, no_progress).data
    monkeypatch.setattr(module, "BATCH", 3)
    monkeypatch.setattr(module, "TILE", 8)
    assert torch.equal(slicewise(y, plan, no_progress).data, whole)


def test_a_flat_and_an_empty_scan_stay_what_they_are() -> None:
    grid = Grid((12, 12, 5), np.diag([1.0, 1.0, 4.0, 1.0]))
    plan = plan_acquisition(Volume(np.zeros(grid.shape, "f4"), grid), noise=0.0)
    empty = slicewise(torch.zeros(12, 12, 5), plan, no_progress).data
    assert bool(torch.isfinite(empty).all())
    assert float((plan.operator(empty)).abs().max()) < 1e-4


# --- cards and weights


def test_cards_of_models_say_what_the_networks_are() -> None:
    assert list(models()) == [n for n in NETWORKS if n in models()], "in the order of the networks"
    for name, card in models().items():
        assert card.title == NETWORKS[name].title
        assert card.citation == NETWORKS[name].citation
        assert card.licence == "Apache-2.0"
        assert card.data
        for one in card.weights:
            path = weights_folder() / one.file
            assert sha256_of(path) == one.sha256
            network = load_network(one)
            assert network.scale == one.scale
            assert parameters(network) == one.parameters <= 400_000
            assert one.patches > 0
            assert network.skip is not None


def test_all_compact_networks_of_a_scale_and_stage_saw_as_many_patches() -> None:
    seen: dict[object, set[int]] = {}
    for card in models().values():
        for one in card.weights:
            seen.setdefault((one.scale, one.stage), set()).add(one.patches)
    assert all(len(v) == 1 for v in seen.values()), seen


def test_every_file_of_weights_is_on_a_card() -> None:
    there = {p.name for p in weights_folder().glob("*.safetensors")}
    assert {w.file for m in models().values() for w in m.weights} <= there


@pytest.mark.parametrize("name", model_names())
def test_every_model_runs_through_plane(name: str) -> None:
    result = reconstruct(thick(n=5), method="slicewise", model=name, noise=0.0)
    assert result.made_with["model"] == name
    assert result.kept_its_promises
    assert np.isfinite(result.volume.data).all()


def test_unknown_models_are_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="fast2d"):
        model("nobody")
    with pytest.raises(UsageError, match="unknown model"):
        model("fast2d-final")
    with pytest.raises(UsageError, match="choose --method slicewise"):
        reconstruct(thick(), method="spline", model="fast2d")


def test_weights_missing_or_wrong_exit_with_5(
    tmp_path: Path,
    scan: Path,  # noqa: F811
    medsr: Command,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card, stage = model("fast2d")
    file = card.choose((4, 1), stage).file
    monkeypatch.setattr(registry, "weights_folder", lambda: tmp_path / "weights")
    registry.load_network.cache_clear()
    run = ("reconstruct", scan, "--method", "slicewise", "-o", tmp_path / "out.nii.gz")
    ran = medsr(*run)
    assert ran.code == 5
    assert "missing" in ran.line
    (tmp_path / "weights").mkdir()
    whole = (weights_folder() / file).read_bytes()
    (tmp_path / "weights" / file).write_bytes(whole[:-4] + b"\0\0\0\1")
    ran = medsr(*run)
    assert ran.code == 5
    assert "not the weights on the card" in ran.line
    assert not list(tmp_path.glob("out*"))
    registry.load_network.cache_clear()
    none = dataclasses.replace(card, weights=())
    with pytest.raises(WeightsError, match="no weights for through-plane x4"):
        none.choose((4, 1))
    with pytest.raises(WeightsError, match="no weights for in-plane x8"):
        card.choose((8, 8))


@pytest.mark.parametrize("name", model_names())
def test_every_model_runs_from_the_command_line(
    name: str,
    tmp_path: Path,
    scan: Path,  # noqa: F811
    medsr: Command,  # noqa: F811
) -> None:
    ran = medsr("reconstruct", scan, "--method", "slicewise", "--model", name, "-o", tmp_path / "out.nii.gz")
    assert ran.code == 0, ran
    assert open_volume(tmp_path / "out.nii.gz").grid.spacing == pytest.approx((1, 1, 1))
    assert f'"model": "{name}"' in (tmp_path / "out.json").read_text()


def test_the_command_line_takes_a_model(tmp_path: Path, scan: Path, medsr: Command) -> None:  # noqa: F811
    out = tmp_path / "out.nii.gz"
    ran = medsr("reconstruct", scan, "--method", "slicewise", "--model", "fast2d", "-o", out)
    assert ran.code == 0, ran
    assert '"weights_sha256": "' in (tmp_path / "out.json").read_text()
    ran = medsr("reconstruct", scan, "--method", "slicewise", "--model", "x", "-o", tmp_path / "b.nii.gz")
    assert ran.code == 2
    assert "choose from" in ran.line
    ran = medsr("models", "fast2d")
    assert ran.code == 0
    assert "fast2d-through4.safetensors" in ran.out
    assert "through-plane x4" in medsr("models", "slicewise").out


@pytest.mark.parametrize("name", ["oblique thick", "flipped", "left-handed"])
def test_turned_scans_give_the_same_voxels(name: str) -> None:
    """The affine is carried, the voxels do not depend on it."""
    grid = GRIDS[name]
    plain = Grid(grid.shape, np.diag([*grid.spacing, 1.0]))
    data = smooth_head(grid.shape)
    turned = reconstruct(Volume(data, grid), method="slicewise", noise=0.0).volume
    straight = reconstruct(Volume(data, plain), method="slicewise", noise=0.0).volume
    np.testing.assert_array_equal(turned.data, straight.data)
