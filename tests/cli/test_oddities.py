"""Valid oddities go through `reconstruct`, and every voxel of the result lies where it should."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medsr.io import open_volume
from medsr.volume import Grid
from tests.cli.conftest import Command
from tests.conftest import smooth_head
from tests.io.files import GEOMETRIES, meta_file, nifti_bytes, nifti_file, nrrd_file

THICK = np.array([[1.0, 0, 0, -5], [0, 1, 0, 7], [0, 0, 3, 11], [0, 0, 0, 1]])


def head(shape: tuple[int, ...] = (8, 9, 5)) -> np.ndarray:
    return smooth_head(shape) + np.random.default_rng(1).uniform(1, 3, shape).astype("f4")


def reconstructed(medsr: Command, path: Path, *options: str) -> nib.Nifti1Image:
    """Read by nibabel, not by our reader."""
    ran = medsr("reconstruct", path, "-o", path.parent / "out.nii", *options)
    assert (ran.code, ran.err) == (0, ""), ran
    return nib.load(path.parent / "out.nii")


def check_grid(image: nib.Nifti1Image, grid: Grid, spacing: tuple[float, ...]) -> None:
    """The same axes and field of view at `spacing`, to 1e-4 mm; sform, qform and codes agree."""
    expected = grid.resampled(spacing)
    assert image.shape[:3] == expected.shape
    ends = [(0, n - 1) for n in expected.shape]
    corners = np.array([(x, y, z) for x in ends[0] for y in ends[1] for z in ends[2]])
    for affine in (image.get_sform(), image.get_qform()):
        assert np.abs(nib.affines.apply_affine(affine, corners) - expected.to_world(corners)).max() < 1e-4
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) > 0
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.get_data_dtype() == np.float32


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_versions_and_byte_orders(version: int, endian: str, dtype: str, tmp_path: Path, medsr: Command) -> None:
    data = head().astype(dtype)
    path = nifti_file(tmp_path / "scan.nii", data, version=version, endian=endian, matrix=THICK)
    image = reconstructed(medsr, path, "--noise", "0")
    check_grid(image, Grid(data.shape, THICK), (1, 1, 1))
    plain = nifti_file(tmp_path / "plain.nii.gz", data, matrix=THICK)
    assert medsr("reconstruct", plain, "--noise", "0").code == 0
    np.testing.assert_array_equal(image.get_fdata(), nib.load(tmp_path / "plain_desc-sr.nii.gz").get_fdata())


@pytest.mark.parametrize("suffix", ["hdr", "img"])
def test_pairs(suffix: str, tmp_path: Path, medsr: Command) -> None:
    for ending, blob in zip(("hdr", "img"), nifti_bytes(head(), paired=True, matrix=THICK), strict=True):
        (tmp_path / f"scan.{ending}").write_bytes(blob)
    check_grid(reconstructed(medsr, tmp_path / f"scan.{suffix}"), Grid((8, 9, 5), THICK), (1, 1, 1))


@pytest.mark.parametrize("name", [n for n, (shape, _) in GEOMETRIES.items() if min(shape) > 1])
def test_geometries(name: str, tmp_path: Path, medsr: Command) -> None:
    """Left-handed, flipped, oblique, sagittal, far from the origin: half the spacing along all axes."""
    shape, matrix = GEOMETRIES[name]
    path = nifti_file(tmp_path / "scan.nii", head(shape), matrix=matrix)
    grid = Grid(shape, matrix)
    half = tuple(s / 2 for s in grid.spacing)
    image = reconstructed(medsr, path, "--spacing", ",".join(map(repr, half)))
    check_grid(image, grid, half)
    assert np.sign(np.linalg.det(image.affine)) == np.sign(np.linalg.det(matrix))


def test_single_slice_refined_in_plane(tmp_path: Path, medsr: Command) -> None:
    shape, matrix = GEOMETRIES["single slice"]
    path = nifti_file(tmp_path / "scan.nii", head(shape), matrix=matrix)
    image = reconstructed(medsr, path, "--spacing", "0.5,0.5,8")
    check_grid(image, Grid(shape, matrix), (0.5, 0.5, 8))
    ran = medsr("reconstruct", path)
    assert ran.code == 2
    assert "--spacing 0.5,0.5,8" in ran.line, "the hint works"


def test_tiny(tmp_path: Path, medsr: Command) -> None:
    path = nifti_file(tmp_path / "scan.nii", head((2, 2, 2)), matrix=np.diag([2.0, 2, 2, 1]))
    check_grid(reconstructed(medsr, path), Grid((2, 2, 2), np.diag([2.0, 2, 2, 1])), (1, 1, 1))


def test_series(tmp_path: Path, medsr: Command) -> None:
    data = np.stack([head() * (1 + t) for t in range(3)], axis=-1)
    units = {"pixdim.4": 2.5, "xyzt_units": 2 | 8}
    path = nifti_file(tmp_path / "scan.nii", data, matrix=THICK, raw=units)
    image = reconstructed(medsr, path, "--noise", "0")
    check_grid(image, Grid((8, 9, 5), THICK), (1, 1, 1))
    assert image.shape[3] == 3
    assert image.header["pixdim"][4] == pytest.approx(2.5)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    frame = nifti_file(tmp_path / "frame.nii", data[..., 2], matrix=THICK)
    assert medsr("reconstruct", frame, "--noise", "0").code == 0
    alone = nib.load(tmp_path / "frame_desc-sr.nii.gz").get_fdata()
    np.testing.assert_array_equal(image.get_fdata()[..., 2], alone)


def test_scaled_integers(tmp_path: Path, medsr: Command) -> None:
    stored = (head() * 10).astype("i2")
    path = nifti_file(tmp_path / "scan.nii", stored, matrix=THICK, raw={"scl_slope": 0.5, "scl_inter": -3.0})
    image = reconstructed(medsr, path, "--noise", "0")
    true = nifti_file(tmp_path / "true.nii", (stored * 0.5 - 3).astype("f4"), matrix=THICK)
    assert medsr("reconstruct", true, "--noise", "0").code == 0
    np.testing.assert_allclose(
        image.get_fdata(), nib.load(tmp_path / "true_desc-sr.nii.gz").get_fdata(), atol=1e-4
    )


@pytest.mark.parametrize("kind", ["nrrd", "mha"])
def test_itk_formats(kind: str, tmp_path: Path, medsr: Command) -> None:
    make = nrrd_file if kind == "nrrd" else meta_file
    path = make(tmp_path / f"scan.{kind}", head((6, 5, 4)))
    grid = open_volume(path).grid
    check_grid(reconstructed(medsr, path), grid, (1, 1, 1))
    assert np.abs(np.linalg.norm(grid.affine[:3, :3], axis=0) - (1, 1, 2.5)).max() < 1e-6


def test_values_of_any_size(tmp_path: Path, medsr: Command) -> None:
    images = []
    for scale in (1e-9, 1.0, 1e9):
        path = nifti_file(tmp_path / f"{scale}.nii", (head() * scale).astype("f4"), matrix=THICK)
        images.append(reconstructed(medsr, path, "--force").get_fdata() / scale)
    for image in images:
        np.testing.assert_allclose(image, images[1], atol=1e-3 * images[1].max())
