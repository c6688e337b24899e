"""The MONAI transforms, in MONAI's own ways: Compose, files, lists, batches, inverses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Compose, LoadImaged, SaveImaged, Spacingd

from medsr.acquisition.slices import plan_acquisition
from medsr.errors import GeometryError, InputError, UsageError
from medsr.io import open_volume, save_volume
from medsr.methods.base import no_progress
from medsr.methods.spline import spline
from medsr.networks import NETWORKS
from medsr.networks.slices import superresolve_through_plane
from medsr.reconstruction import reconstruct
from medsr.transforms import (
    ProjectOntoDatad,
    RandSimulateThickSlicesd,
    SimulateThickSlices,
    SimulateThickSlicesd,
    SliceSuperResolutionInferer,
    SuperResolveSlices,
    SuperResolveSlicesd,
)
from medsr.transforms.images import volume_of
from medsr.volume import Grid, Volume
from tests.conftest import oblique_affine, smooth_head

FINE = {
    "plain": Grid((20, 22, 25), np.diag([1.0, 1.0, 1.0, 1.0])),
    "oblique": Grid((20, 22, 24), oblique_affine((0.9, 1.0, 0.9))),
    "flipped": Grid((20, 22, 24), oblique_affine((0.9, 0.9, 0.8), (-1, 1, -1))),
    "left-handed": Grid((20, 22, 24), oblique_affine((0.9, 0.9, 0.8), (-1, 1, 1))),
}


def image(name: str = "plain", channels: int = 1) -> MetaTensor:
    grid = FINE[name]
    data = np.stack([smooth_head(grid.shape, seed) for seed in range(channels)])
    return MetaTensor(torch.from_numpy(data), affine=torch.as_tensor(np.array(grid.affine)))


def centroid(x: MetaTensor) -> np.ndarray:
    weight = np.square(x[0].numpy().astype(np.float64))
    index = np.array([np.sum(weight * i) / weight.sum() for i in np.indices(weight.shape)])
    return np.asarray(x.affine)[:3, :3] @ index + np.asarray(x.affine)[:3, 3]


@pytest.mark.parametrize("name", FINE)
@pytest.mark.parametrize("axis", [0, 2])
def test_a_simulated_scan_lies_where_the_image_does(name: str, axis: int) -> None:
    whole = image(name)
    simulate = SimulateThickSlices(between=3.2, thickness=2.5, slice_axis=axis)  # MONAI tells objects by their id
    scan = simulate(whole)
    grid = volume_of(scan).grid
    assert grid.spacing[axis] == pytest.approx(3.2)
    np.testing.assert_allclose(grid.direction, FINE[name].direction, atol=1e-9)
    assert np.abs(centroid(scan) - centroid(whole)).max() < 0.15
    assert scan.meta["slice_thickness"] == 2.5
    assert scan.meta["slice_axis"] == axis
    back = SimulateThickSlices(between=3.2, thickness=2.5, slice_axis=axis)  # another object: not its transform
    with pytest.raises(RuntimeError):
        back.inverse(scan.clone())


@pytest.mark.parametrize("name", FINE)
def test_the_inverse_is_on_the_grid_that_there_was(name: str) -> None:
    whole = image(name, channels=2)
    simulate = SimulateThickSlices(between=3.2, slice_axis=2)
    scan = simulate(whole)
    assert len(scan.applied_operations) == 1
    back = simulate.inverse(scan)
    assert back.applied_operations == []
    assert back.shape == whole.shape
    np.testing.assert_allclose(back.affine, whole.affine, atol=1e-9)
    error = (back - whole)[..., 6:-6].as_tensor()
    assert error.square().mean().sqrt() < 0.12 * whole.max()
    # and the scan of it is the scan
    again = SimulateThickSlices(between=3.2, slice_axis=2)(back)
    torch.testing.assert_close(again.as_tensor()[..., 1:-1], scan.as_tensor()[..., 1:-1], atol=0.2, rtol=1e-2)


def test_a_random_scan_is_repeatable_and_shared_by_its_keys() -> None:
    def made(seed: int) -> dict[str, MetaTensor]:
        transform = RandSimulateThickSlicesd(["a", "b"], prob=1.0, truth_suffix="_truth")
        transform.set_random_state(seed)
        return transform({"a": image(), "b": image()})

    first, second, third = made(1), made(1), made(2)
    assert torch.equal(first["a"].as_tensor(), second["a"].as_tensor())
    assert torch.equal(first["a"].as_tensor(), first["b"].as_tensor())
    assert first["a"].shape != third["a"].shape or not torch.equal(first["a"].as_tensor(), third["a"].as_tensor())
    truth, scan = volume_of(first["a_truth"]).grid, volume_of(first["a"]).grid
    np.testing.assert_allclose(truth.centre, scan.centre, atol=1e-6)
    np.testing.assert_allclose(truth.field_of_view, scan.field_of_view, atol=0.51)


def test_a_random_scan_can_be_undone_whether_it_was_made_or_not() -> None:
    kept = 0
    for seed in range(6):
        transform = RandSimulateThickSlicesd("a", prob=0.5)
        transform.set_random_state(seed)
        there = transform({"a": image("oblique")})
        kept += there["a"].shape == image("oblique").shape
        back = transform.inverse(there)["a"]
        assert back.shape == image("oblique").shape
        np.testing.assert_allclose(back.affine, image("oblique").affine, atol=1e-9)
        assert back.applied_operations == []
    assert 0 < kept < 6


@pytest.mark.parametrize("name", FINE)
def test_super_resolution_is_that_of_reconstruct_and_its_inverse_the_scan(name: str) -> None:
    scan = SimulateThickSlices(between=3.6, slice_axis=2)(image(name))
    scan.applied_operations.clear()
    spacing = FINE[name].spacing
    resolve = SuperResolveSlices(spacing=spacing, noise=0.0)
    made = resolve(scan)
    expected = reconstruct(volume_of(scan), spacing, method="slicewise", noise=0.0).volume
    np.testing.assert_array_equal(made[0].numpy(), expected.data)
    np.testing.assert_allclose(made.affine, expected.grid.affine, atol=1e-12)
    back = resolve.inverse(made)
    assert back.shape == scan.shape
    np.testing.assert_allclose(back.affine, scan.affine, atol=1e-9)
    # the scan is explained
    assert (back - scan).as_tensor().norm() < 1e-3 * scan.as_tensor().norm()


def test_other_methods_and_each_channel_for_itself() -> None:
    scan = SimulateThickSlices(between=4.0, slice_axis=2)(image(channels=2))
    both = SuperResolveSlices(method="spline", noise=0.0)(scan)
    assert both.shape[0] == 2
    second = SuperResolveSlices(method="spline", noise=0.0)(scan[1:2])
    torch.testing.assert_close(both[1:2].as_tensor(), second.as_tensor())


def test_projection_of_anybodys_image() -> None:
    whole = image("oblique")
    data = SimulateThickSlicesd("scan", between=3.6, slice_axis=2)({"scan": whole})
    # MONAI keeps the corner voxels where they are: the grid does not share the centre of the scan
    plain = Spacingd("image", pixdim=FINE["oblique"].spacing, mode="bilinear")
    data["image"] = data["scan"].clone()
    data = plain(data)
    projected = ProjectOntoDatad("image", "scan", noise=0.0)(data)["image"]
    scan = volume_of(data["scan"])
    np.testing.assert_allclose(projected.affine, data["image"].affine)
    plan = plan_acquisition(scan, spacing=volume_of(projected).grid.spacing, noise=0.0)
    from medsr.transforms.between import Between

    between = Between(volume_of(projected).grid, scan.grid, plan.psf)
    seen = between.measure(torch.from_numpy(volume_of(projected).data))
    assert (seen - torch.from_numpy(scan.data)).norm() < 1e-3 * np.linalg.norm(scan.data)
    before = between.measure(torch.from_numpy(volume_of(data["image"]).data))
    assert (before - torch.from_numpy(scan.data)).norm() > 1e-2 * np.linalg.norm(scan.data)


def test_projection_with_noise_is_that_of_spline() -> None:
    """A B-spline of the scan less its noise, projected, is the method `spline`."""
    scan = SimulateThickSlices(between=4.0, slice_axis=2, noise=2.0)(image())
    bspline = SuperResolveSlices(method="bspline", noise=2.0)(scan)
    projected = ProjectOntoDatad("x", "scan", noise=2.0)({"x": bspline, "scan": scan})["x"]
    plan = plan_acquisition(volume_of(scan), noise=2.0)
    from medsr.consistency.projection import Projection
    from medsr.consistency.wiener import noise_model, wiener

    y = torch.from_numpy(volume_of(scan).data)
    expected = Projection(plan.operator).project(bspline[0].as_tensor(), wiener(y, noise_model(y, 2.0)))
    torch.testing.assert_close(projected[0].as_tensor(), expected, atol=1e-3, rtol=1e-4)
    assert not torch.equal(expected, spline(y, plan, no_progress).data)


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")  # MONAI's own, of a reader that is not used
def test_in_a_compose_with_files(tmp_path: Path) -> None:
    grid = FINE["oblique"]
    save_volume(Volume(smooth_head(grid.shape), grid), tmp_path / "head.nii.gz")
    chain = Compose(
        [
            LoadImaged("image", reader="NibabelReader", ensure_channel_first=True),
            SimulateThickSlicesd("image", between=3.6, truth_suffix="_truth"),
            SuperResolveSlicesd("image", spacing=grid.spacing, noise=0.0, method="spline"),
            SaveImaged(
                "image", output_dir=tmp_path, output_postfix="sr", resample=False, separate_folder=False,
                print_log=False,
            ),
        ]
    )  # fmt: skip
    assert not chain.lazy
    done = chain([{"image": tmp_path / "head.nii.gz"}])[0]  # a list
    saved = open_volume(tmp_path / "head_sr.nii.gz")
    np.testing.assert_allclose(saved.grid.affine, done["image"].affine, atol=1e-5)
    np.testing.assert_allclose(saved.data, done["image"][0], atol=1e-4 * float(done["image"].max()))
    truth = done["image_truth"]
    np.testing.assert_allclose(truth.affine, done["image"].affine, atol=1e-6)
    error = (truth - done["image"]).as_tensor()[..., 4:-4]
    assert error.square().mean().sqrt() < 0.1 * truth.max()
    # undone, last to first (the truth beside it was never changed)
    part = Compose(chain.transforms[1:3])
    there = part({"image": MetaTensor(truth.as_tensor(), affine=truth.affine)})
    back = part.inverse(there)
    assert back["image"].shape == truth.shape
    np.testing.assert_allclose(back["image"].affine, truth.affine, atol=1e-9)


def test_batches_through_a_loader() -> None:
    items = [{"image": image("plain")}, {"image": image("plain", 1) * 2}]
    chain = Compose(
        [SimulateThickSlicesd("image", between=5.0), SuperResolveSlicesd("image", method="spline", noise=0.0)]
    )
    loader = DataLoader(Dataset(items, chain), batch_size=2)
    (batch,) = list(loader)
    assert batch["image"].shape[0] == 2
    one, two = decollate_batch(batch)
    np.testing.assert_allclose(np.asarray(one["image"].affine), np.asarray(two["image"].affine))
    torch.testing.assert_close(two["image"].as_tensor(), 2 * one["image"].as_tensor(), rtol=1e-3, atol=1e-2)
    back = chain.inverse(one)["image"]
    assert back.shape == items[0]["image"].shape
    np.testing.assert_allclose(np.asarray(back.affine), np.asarray(items[0]["image"].affine), atol=1e-6)


def test_what_cannot_be_done_is_said_in_one_line() -> None:
    with pytest.raises(InputError, match="without an affine"):
        SimulateThickSlices(3.0)(torch.zeros(1, 8, 8, 8))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="channel-first"):
        SimulateThickSlices(3.0)(image()[0])
    with pytest.raises(UsageError, match="slice axis"):
        SimulateThickSlices(3.0, slice_axis=3)
    with pytest.raises(UsageError, match="unknown model"):
        SuperResolveSlices(model="nobody")(SimulateThickSlices(4.0)(image()))
    turned = MetaTensor(torch.zeros(1, 5, 5, 5), affine=torch.as_tensor(oblique_affine((4, 4, 4))))
    with pytest.raises(GeometryError, match="same axes"):
        ProjectOntoDatad("x", "scan", noise=0.0)({"x": image(), "scan": turned + 1})
    with pytest.raises(InputError, match="channels"):
        ProjectOntoDatad("x", "scan", noise=0.0)(
            {"x": image(), "scan": SimulateThickSlices(4.0)(image(channels=2))}
        )
    sheared = torch.eye(4, dtype=torch.float64)
    sheared[0, 1] = 0.3
    with pytest.raises(GeometryError, match="sheared"):
        SimulateThickSlices(3.0)(MetaTensor(torch.ones(1, 8, 8, 8), affine=sheared))


def test_missing_keys() -> None:
    with pytest.raises(KeyError):
        SimulateThickSlicesd("a", between=3.0)({"b": image()})
    assert set(SimulateThickSlicesd(["a", "b"], between=3.0, allow_missing_keys=True)({"b": image()})) == {"b"}


def test_the_inferer_is_what_the_method_runs() -> None:
    network = NETWORKS["fast2d"].build((4, 1), inference=True)
    volumes = torch.from_numpy(np.stack([smooth_head((12, 14, 5), s) for s in (0, 1)]))[:, None] / 100
    made = SliceSuperResolutionInferer(axis=2, batch=3, tile=7)(volumes, network)
    assert made.shape == (2, 1, 12, 14, 20)
    for one, volume in zip(made, volumes, strict=True):
        np.testing.assert_array_equal(one[0].numpy(), superresolve_through_plane(network, volume[0].numpy(), 2))
    flat = NETWORKS["fast2d"].build((2, 2), inference=True)
    assert SliceSuperResolutionInferer(plane=(0, 1))(volumes, flat).shape == (2, 1, 24, 28, 5)
    with pytest.raises(UsageError, match="axis across"):
        SliceSuperResolutionInferer()
    with pytest.raises(InputError, match="batch of volumes"):
        SliceSuperResolutionInferer(axis=2)(volumes[0], network)
