"""Figures of merit against formulas written out here, against scipy and MONAI, and on their terms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from medsr.errors import GeometryError, InputError, UsageError
from medsr.evaluation.image import FIGURES, Comparison, evaluate
from medsr.volume import Grid, Volume

SHAPE = (24, 21, 19)


def _grid(shape: tuple[int, int, int] = SHAPE) -> Grid:
    """Oblique, flipped, anisotropic."""
    angle = math.radians(20)
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-0.9, 1.1, 2.0])
    affine[:3, 3] = (31.0, -7.5, 12.25)
    return Grid(shape, affine)


def _pair(seed: int = 0) -> tuple[Volume, Volume]:
    """A smooth object in empty air, and a worse image of it."""
    rng = np.random.default_rng(seed)
    r = ndimage.gaussian_filter(rng.random(SHAPE), 1.0)
    r = 400 * (r - r.min()) / (r.max() - r.min())
    r[:3] = 0
    r[:, -3:] = 0
    x = ndimage.gaussian_filter(r, 0.6) + rng.normal(0, 3, SHAPE)
    return Volume(x.astype(np.float32), _grid()), Volume(r.astype(np.float32), _grid())


def test_figures_are_their_formulas() -> None:
    image, reference = _pair()
    found = evaluate(image, reference)
    peak = np.percentile(reference.data, 99.5)
    inside = reference.data > 0.05 * peak
    x, r = image.data[inside].astype(float), reference.data[inside].astype(float)
    assert found.peak == pytest.approx(peak)
    assert found.voxels == inside.sum()
    assert found.psnr == pytest.approx(20 * np.log10(peak) - 10 * np.log10(np.mean((x - r) ** 2)))
    assert found.nrmse == pytest.approx(np.sqrt(np.sum((x - r) ** 2) / np.sum(r**2)))
    assert found.mae == pytest.approx(np.abs(x - r).mean())
    edges = [ndimage.gaussian_laplace(v.data.astype(float), 1.5)[inside] for v in (image, reference)]
    assert found.hfen == pytest.approx(np.linalg.norm(edges[0] - edges[1]) / np.linalg.norm(edges[1]), rel=1e-4)
    low, high = reference.data.min(), reference.data.max()
    bins = [np.minimum(((v.clip(low, high) - low) / (high - low) * 256).astype(int), 255) for v in (x, r)]
    p, q = (np.bincount(b, minlength=256) / b.size for b in bins)
    assert found.bc == pytest.approx(np.sqrt(p * q).sum(), abs=2e-3)  # a value on an edge may fall either side


def test_ssim_is_the_definition_at_a_voxel() -> None:
    image, reference = _pair()
    at = (11, 9, 10)
    alone = np.zeros(SHAPE, dtype=np.float32)
    alone[at] = 1
    found = evaluate(image, reference, mask=Volume(alone, _grid()), peak=400.0)
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.einsum("i,j,k->ijk", window, window, window)
    weights /= weights.sum()
    box = tuple(slice(c - 5, c + 6) for c in at)
    x, r = image.data[box].astype(float), reference.data[box].astype(float)
    mx, mr = (weights * x).sum(), (weights * r).sum()
    vx, vr = (weights * (x - mx) ** 2).sum(), (weights * (r - mr) ** 2).sum()
    cov = (weights * (x - mx) * (r - mr)).sum()
    c1, c2 = (0.01 * 400) ** 2, (0.03 * 400) ** 2
    expected = (2 * mx * mr + c1) * (2 * cov + c2) / ((mx**2 + mr**2 + c1) * (vx + vr + c2))
    assert found.ssim == pytest.approx(expected, rel=1e-5)
    assert found.voxels == 1


def test_ssim_is_monais() -> None:
    from monai.metrics.regression import compute_ssim_and_cs

    rng = np.random.default_rng(3)
    r = ndimage.gaussian_filter(rng.random((70, 16, 18)), 1.2).astype(np.float32)
    x = (r + rng.normal(0, 0.02, r.shape)).astype(np.float32)
    grid = _grid((70, 16, 18))
    found = evaluate(Volume(x, grid), Volume(r, grid), mask="all", peak=1.0, border=5)
    similarity, _ = compute_ssim_and_cs(
        torch.from_numpy(x)[None, None], torch.from_numpy(r)[None, None], 3, (11,) * 3, (1.5,) * 3
    )
    assert similarity.shape[2:] == (60, 6, 8)
    assert found.voxels == similarity.numel()
    assert found.ssim == pytest.approx(float(similarity.mean()), abs=1e-5)


def test_an_image_is_like_itself() -> None:
    _, reference = _pair()
    found = evaluate(reference, reference)
    assert found.psnr == math.inf
    assert found.ssim == pytest.approx(1, abs=1e-6)
    assert (found.nrmse, found.mae, found.hfen) == (0, 0, 0)
    assert found.bc == pytest.approx(1)
    assert found.as_dict()["psnr"] == "inf"


def test_a_constant_error_and_a_shift() -> None:
    _, reference = _pair()
    brighter = reference.with_data(reference.data + np.float32(4))
    found = evaluate(brighter, reference, peak=400.0)
    assert found.psnr == pytest.approx(40, abs=1e-4)
    assert found.mae == pytest.approx(4, rel=1e-5)
    assert found.hfen < 1e-4  # no edge has changed
    moved = [reference.with_data(np.roll(reference.data, n, axis=0)) for n in (1, 2)]
    near, far = (evaluate(m, reference, border=4) for m in moved)
    assert 0 < far.ssim < near.ssim < 0.9
    assert far.psnr < near.psnr


def test_nothing_is_rescaled() -> None:
    image, reference = _pair()
    double = evaluate(image.with_data(2 * image.data), reference)
    assert double.nrmse == pytest.approx(1, abs=0.1)
    both = evaluate(image.with_data(2 * image.data), reference.with_data(2 * reference.data))
    single = evaluate(image, reference)
    for name in ("psnr", "ssim", "nrmse", "bc", "hfen"):
        assert getattr(both, name) == pytest.approx(getattr(single, name), rel=1e-4), name
    assert both.mae == pytest.approx(2 * single.mae, rel=1e-4)


@pytest.mark.parametrize("peak", ["max", 255])
def test_the_range_is_what_was_asked(peak: object) -> None:
    image, reference = _pair()
    expected = float(reference.data.max()) if peak == "max" else 255.0
    found = evaluate(image, reference, peak=peak)  # type: ignore[arg-type]
    assert found.peak == pytest.approx(expected)
    default = evaluate(image, reference)
    assert found.psnr - default.psnr == pytest.approx(20 * math.log10(expected / default.peak), abs=1e-6)


def test_the_mask_limits_every_figure() -> None:
    """What lies far outside the mask changes nothing, and what lies inside does."""
    image, reference = _pair()
    inside = np.zeros(SHAPE, dtype=np.float32)
    inside[2:5, 8:12, 8:12] = 1
    mask = Volume(inside, _grid(), source="lesions.nii.gz")
    before = evaluate(image, reference, mask=mask)
    spoiled = image.data.copy()
    spoiled[16:] += 100  # beyond the reach of any window
    after = evaluate(image.with_data(spoiled), reference, mask=mask)
    assert [getattr(before, n) for n in FIGURES] == [getattr(after, n) for n in FIGURES]
    assert "lesions.nii.gz" in before.statement
    spoiled[3, 9, 9] += 1000
    assert evaluate(image.with_data(spoiled), reference, mask=mask).psnr < before.psnr


def test_border_and_central_box() -> None:
    image, reference = _pair()
    assert evaluate(image, reference, mask="all", border=2).voxels == 20 * 17 * 15
    found = evaluate(image, reference, mask="all", central=20)
    assert found.voxels == 20 * 20 * 19
    middle = (slice(2, 22), slice(0, 20), slice(0, 19))
    error = (image.data[middle] - reference.data[middle]).astype(float)
    assert found.mae == pytest.approx(np.abs(error).mean())
    assert "central 20" in found.statement
    assert "border 2" in evaluate(image, reference, border=2).statement


def test_one_slice_can_be_compared() -> None:
    image, reference = _pair()
    grid = _grid((24, 21, 1))
    found = evaluate(Volume(image.data[..., 9:10], grid), Volume(reference.data[..., 9:10], grid))
    assert all(math.isfinite(getattr(found, n)) for n in FIGURES)


def test_a_part_of_the_lattice_is_compared_there() -> None:
    """A result that was cut to whole slices lies on the reference's voxels."""
    image, reference = _pair()
    part = Volume(image.data[1:, :, 2:17], reference.grid.cut((1, 0, 2), (23, 21, 15)))
    found = evaluate(part, reference, mask="all")
    error = (image.data - reference.data)[1:, :, 2:17].astype(float)
    assert found.mae == pytest.approx(np.abs(error).mean())
    assert found.region == "the 23 x 21 x 15 voxels that both have"
    assert found.peak == pytest.approx(np.percentile(reference.data, 99.5))  # of the whole reference
    assert evaluate(reference, part, mask="all").mae == pytest.approx(found.mae)


@pytest.mark.parametrize("change", ["half a voxel", "spacing", "flipped", "turned", "elsewhere"])
def test_another_grid_is_refused(change: str) -> None:
    image, reference = _pair()
    affine = np.array(reference.grid.affine)
    if change == "half a voxel":
        affine[:3, 3] = reference.grid.to_world((0, 0, 0.5))
    elif change == "spacing":
        affine[:3, 2] *= 1.01
    elif change == "flipped":
        affine[:3, 3] = reference.grid.to_world((SHAPE[0] - 1, 0, 0))
        affine[:3, 0] *= -1
    elif change == "turned":
        affine[:3, :3] = affine[:3, :3] @ np.array([[1, -0.005, 0], [0.005, 1, 0], [0, 0, 1]])
    else:
        affine[:3, 3] = reference.grid.to_world((50, 0, 0))
    with pytest.raises(GeometryError, match=r"different grids.*resample"):
        evaluate(Volume(image.data, Grid(SHAPE, affine)), reference)
    with pytest.raises(GeometryError, match=r"the mask and the reference are on different grids"):
        evaluate(image, reference, mask=Volume(np.ones(SHAPE, dtype=np.float32), Grid(SHAPE, affine)))


def test_grids_that_differ_by_rounding_agree() -> None:
    image, reference = _pair()
    rounded = Grid(SHAPE, reference.grid.affine.astype(np.float32).astype(np.float64) + 1e-5)
    assert evaluate(Volume(image.data, rounded), reference).voxels == evaluate(image, reference).voxels


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"mask": "brain"}, UsageError),
        ({"peak": "p50"}, UsageError),
        ({"peak": 0.0}, UsageError),
        ({"peak": math.nan}, UsageError),
        ({"border": -1}, UsageError),
        ({"border": 12}, UsageError),
        ({"central": 0}, UsageError),
        ({"mask": Volume(np.zeros(SHAPE, dtype=np.float32), _grid())}, UsageError),
    ],
)
def test_absurd_options_are_refused(options: dict[str, object], error: type[Exception]) -> None:
    image, reference = _pair()
    with pytest.raises(error):
        evaluate(image, reference, **options)  # type: ignore[arg-type]


def test_unusable_images_are_refused() -> None:
    image, reference = _pair()
    with pytest.raises(InputError, match="series"):
        evaluate(image.with_data(np.stack([image.data] * 2)), reference)
    holed = image.data.copy()
    holed[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        evaluate(image.with_data(holed), reference)
    with pytest.raises(InputError, match="no signal"):
        evaluate(image, reference.with_data(np.zeros_like(reference.data)))


def test_the_statement_says_it_all() -> None:
    found = evaluate(*_pair())
    assert isinstance(found, Comparison)
    for word in ("range", "99.5th percentile", "foreground", "5%", "border 0", str(found.voxels), "24 x 21 x 19"):
        assert word in found.statement
