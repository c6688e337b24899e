"""NIfTI read and written, against nibabel and SimpleITK: where each corner lies, and which value lies there."""

from __future__ import annotations

import gzip
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from medsr.errors import GeometryError, InputError, MemoryLimitError, OutputError, UsageError
from medsr.io import nifti, open_header, open_volume, voxels
from medsr.volume import Grid, ScanFacts, Volume
from tests.io.files import GEOMETRIES, nifti_bytes, nifti_file, rotation, values

TOLERANCE = 1e-4  # mm


def corner_indices(shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
    return [(x, y, z) for x in {0, shape[0] - 1} for y in {0, shape[1] - 1} for z in {0, shape[2] - 1}]


def assert_same_as_nibabel(volume: Volume, path: Path) -> None:
    """Every corner of `volume` at nibabel's place, with nibabel's value, and all values alike."""
    other = nib.load(path)
    data = np.asanyarray(other.dataobj, dtype=np.float64)
    data = np.moveaxis(data, -1, 0) if data.ndim == 4 else data
    for corner in corner_indices(volume.grid.shape):
        world = volume.grid.to_world(np.array(corner))
        np.testing.assert_allclose(world, (other.affine @ [*corner, 1])[:3], atol=TOLERANCE, rtol=0)
        there = np.linalg.solve(other.affine, [*world, 1])[:3]
        index = np.round(there).astype(int)
        np.testing.assert_allclose(there, index, atol=1e-3)
        np.testing.assert_array_equal(volume.data[..., *corner], data[..., *index].astype(np.float32))
    np.testing.assert_allclose(volume.data, data, rtol=1e-6)
    assert volume.data.dtype == np.float32
    assert volume.data.flags.c_contiguous


def assert_same_as_itk(volume: Volume, path: Path) -> None:
    image = sitk.ReadImage(str(path))
    for corner in corner_indices(volume.grid.shape):
        index = (*corner, volume.frames - 1) if volume.data.ndim == 4 else corner
        world = np.array(image.TransformIndexToPhysicalPoint([int(i) for i in index]))[:3] * (-1, -1, 1)
        # ITK keeps directions as unit quaternions of float32 for some files: its own error grows with distance
        np.testing.assert_allclose(world, volume.grid.to_world(np.array(corner)), atol=2e-3, rtol=0)
        value = volume.data[-1][corner] if volume.data.ndim == 4 else volume.data[corner]
        assert image.GetPixel([int(i) for i in index]) == pytest.approx(float(value), rel=1e-6)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize(
    "variant", ["nii", "nii.gz", "nii2", "nii2.gz", "pair", "packed pair", "big", "big nii2", "4d"]
)
def test_read_agrees_with_nibabel(geometry: str, variant: str, tmp_path: Path) -> None:
    shape, matrix = GEOMETRIES[geometry]
    series = variant == "4d"
    data = values((*shape, 3) if series else shape, dtype="i2" if "big" in variant else "f4")
    options: dict[str, Any] = {
        "version": 2 if "nii2" in variant else 1,
        "endian": ">" if "big" in variant else "<",
        "matrix": matrix,
    }
    if "pair" in variant:
        head, stored = nifti_bytes(data, paired=True, **options)
        pack = gzip.compress if variant == "packed pair" else bytes
        suffix = ".gz" if variant == "packed pair" else ""
        path = tmp_path / f"scan.hdr{suffix}"
        path.write_bytes(pack(head[:348]))
        (tmp_path / f"scan.img{suffix}").write_bytes(pack(stored))
        assert_same_as_nibabel(nifti.read(tmp_path / f"scan.img{suffix}"), path)
    else:
        path = nifti_file(tmp_path / ("scan.nii.gz" if "gz" in variant else "scan.nii"), data, **options)
    volume = nifti.read(path)
    assert volume.data.shape == ((3, *shape) if series else shape)
    assert volume.xform_code == 1
    assert volume.notes == ()
    assert_same_as_nibabel(volume, path)
    if "nii2" not in variant and "pair" not in variant and min(shape) > 1:
        assert_same_as_itk(volume, path)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("endian", "<>")
@pytest.mark.parametrize("scale", [(0.0, 5.0), (1.0, 0.0), (0.25, -1000.0), (-2.0, 3.0), (np.nan, 0.0)])
def test_every_type_and_scale(dtype: str, endian: str, scale: tuple[float, float], tmp_path: Path) -> None:
    data = values((5, 4, 3), dtype=dtype)
    raw = {"scl_slope": scale[0], "scl_inter": scale[1]}
    path = nifti_file(tmp_path / "scan.nii", data, endian=endian, raw=raw)
    assert_same_as_nibabel(nifti.read(path), path)


def test_blocks_and_wholes_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = values((40, 30, 20, 3), dtype="i2")
    path = nifti_file(tmp_path / "scan.nii.gz", data, raw={"scl_slope": 0.5, "scl_inter": 1})
    whole = nifti.read(path)
    for block in (100, 5000, 20_000):
        monkeypatch.setattr(voxels, "BLOCK", block)
        again = nifti.read(path)
        np.testing.assert_array_equal(again.data, whole.data)
        for frame in range(3):
            np.testing.assert_array_equal(again.data[frame], data[..., frame] * 0.5 + 1)
        nifti.write(again, tmp_path / f"{block}.nii")
    assert len({(tmp_path / f"{b}.nii").read_bytes() for b in (100, 5000, 20_000)}) == 1


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 4, 1), (6, 5, 4, 1, 1), (6, 5, 1, 1, 1, 1, 1)])
def test_trailing_axes_of_one_are_dropped(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = nifti_file(tmp_path / "scan.nii", values(shape))
    volume = nifti.read(path)
    assert volume.data.shape == (*shape, 1)[:3]
    assert volume.facts.tr is None


def test_one_frame_series_of_single_slices(tmp_path: Path) -> None:
    data = values((6, 5, 1, 7))
    volume = nifti.read(nifti_file(tmp_path / "scan.nii", data))
    assert volume.data.shape == (7, 6, 5, 1)
    np.testing.assert_array_equal(volume.data[3, 2, 1, 0], data[2, 1, 0, 3])


class TestForms:
    def test_sform_wins_and_the_qform_is_named(self, tmp_path: Path) -> None:
        path = nifti_file(
            tmp_path / "scan.nii", matrix=np.diag([1.0, 1, 2, 1]), raw={"qoffset_x": 12.5, "sform_code": 4}
        )
        volume = nifti.read(path)
        assert_same_as_nibabel(volume, path)
        assert volume.xform_code == 4
        (note,) = volume.notes
        assert "12.5 mm apart" in note
        assert "the sform is used" in note

    def test_qform_alone(self, tmp_path: Path) -> None:
        shape, matrix = GEOMETRIES["left-handed oblique"]
        raw = {"sform_code": 0, "srow_x": (0, 0, 0, 0), "qform_code": 3}
        path = nifti_file(tmp_path / "scan.nii", values(shape), matrix=matrix, raw=raw)
        volume = nifti.read(path)
        assert_same_as_nibabel(volume, path)
        assert volume.xform_code == 3
        np.testing.assert_allclose(volume.grid.affine, matrix, atol=1e-4)

    @pytest.mark.parametrize("qfac", [0.0, -0.5, -1.0, 7.0])
    def test_odd_sign_of_the_third_axis(self, qfac: float, tmp_path: Path) -> None:
        path = nifti_file(tmp_path / "scan.nii", raw={"sform_code": 0, "pixdim.0": qfac})
        assert nifti.read(path).grid.affine[2, 2] == (-1 if qfac < 0 else 1)

    def test_no_form_is_nibabels_default_and_noted(self, tmp_path: Path) -> None:
        raw = {"sform_code": 0, "qform_code": 0, "pixdim.1": 2.0, "pixdim.3": 3.5}
        path = nifti_file(tmp_path / "scan.nii", raw=raw)
        volume = nifti.read(path)
        assert_same_as_nibabel(volume, path)
        assert volume.xform_code == 2
        assert "no orientation" in volume.notes[0]

    def test_unsound_qform_beside_a_sform(self, tmp_path: Path) -> None:
        volume = nifti.read(nifti_file(tmp_path / "scan.nii", raw={"quatern_b": np.nan}))
        assert "the qform is no sound geometry" in volume.notes[0]
        volume = nifti.read(nifti_file(tmp_path / "scan.nii", raw={"quatern_b": 0.9, "quatern_c": 0.9}))
        assert "longer than 1" in volume.notes[0]

    def test_pixdim_that_contradicts_the_sform(self, tmp_path: Path) -> None:
        volume = nifti.read(nifti_file(tmp_path / "scan.nii", raw={"qform_code": 0, "pixdim.3": 5.0}))
        assert "by pixdim" in volume.notes[0]
        assert volume.grid.spacing == (1, 1, 1)

    def test_negative_voxel_sizes(self, tmp_path: Path) -> None:
        volume = nifti.read(nifti_file(tmp_path / "scan.nii", raw={"sform_code": 0, "pixdim.1": -2.0}))
        assert volume.grid.spacing == (2, 1, 1)
        assert "negative voxel sizes" in volume.notes[0]

    def test_unknown_code(self, tmp_path: Path) -> None:
        volume = nifti.read(nifti_file(tmp_path / "scan.nii", raw={"sform_code": 77}))
        assert "77" in volume.notes[0]
        assert volume.xform_code == 2

    def test_a_little_shear_is_kept(self, tmp_path: Path) -> None:
        raw = {"srow_x": (1, 0.005, 0, 0)}
        volume = nifti.read(nifti_file(tmp_path / "scan.nii", raw=raw))
        nifti.write(volume, tmp_path / "out.nii")
        again = nib.load(tmp_path / "out.nii")
        np.testing.assert_allclose(again.affine, volume.grid.affine, atol=1e-6)
        with pytest.raises(GeometryError, match="right angle"):
            nifti.read(nifti_file(tmp_path / "scan.nii", raw={"srow_x": (1, 0.05, 0, 0), "qform_code": 0}))


class TestUnits:
    @pytest.mark.parametrize(
        ("code", "factor", "says"), [(1, 1e3, "metres"), (2, 1, ""), (3, 1e-3, "micrometres"), (0, 1, "no unit")]
    )
    @pytest.mark.parametrize("form", ["sform", "qform", "none"])
    def test_lengths(self, code: int, factor: float, says: str, form: str, tmp_path: Path) -> None:
        raw: dict[str, Any] = {"xyzt_units": code | 8}
        if form != "sform":
            raw["sform_code"] = 0
        if form == "none":
            raw["qform_code"] = 0
        path = nifti_file(tmp_path / "scan.nii", matrix=np.diag([2.0, 3, 4, 1]), raw=raw)
        volume = nifti.read(path)
        np.testing.assert_allclose(volume.grid.spacing, np.array([2, 3, 4]) * factor)
        np.testing.assert_allclose(volume.grid.affine[:3], nib.load(path).affine[:3] * factor, atol=1e-12)
        assert says in "".join(volume.notes)

    @pytest.mark.parametrize(
        ("unit", "value", "tr"),
        [
            (8, 2.5, 2.5),
            (8, 0.72, 0.72),
            (8, 1.0, 1.0),
            (16, 2000, 2.0),
            (24, 3e6, 3.0),
            (0, 2.0, 2.0),
            (0, 2000, None),
            (0, 1, None),
            (32, 2.0, None),
            (8, 0, None),
            (8, -1, None),
            (8, np.nan, None),
            (8, np.inf, None),
        ],
    )
    def test_repetition_time_of_a_series(self, unit: int, value: float, tr: float | None, tmp_path: Path) -> None:
        path = nifti_file(
            tmp_path / "scan.nii", values((4, 4, 3, 5)), raw={"xyzt_units": 2 | unit, "pixdim.4": value}
        )
        assert nifti.read(path).facts.tr == (tr if tr is None else pytest.approx(tr, rel=1e-12))

    @pytest.mark.parametrize(
        ("unit", "value", "tr"), [(8, 2.5, 2.5), (8, 1.0, None), (0, 2.5, None), (16, 8.4, 0.0084)]
    )
    def test_repetition_time_of_a_single_volume(
        self, unit: int, value: float, tr: float | None, tmp_path: Path
    ) -> None:
        path = nifti_file(tmp_path / "scan.nii", raw={"xyzt_units": 2 | unit, "pixdim.4": value})
        assert nifti.read(path).facts.tr == (tr if tr is None else pytest.approx(tr, rel=1e-12))

    @pytest.mark.parametrize("axis", [None, 0, 1, 2])
    def test_slice_axis(self, axis: int | None, tmp_path: Path) -> None:
        code = 0 if axis is None else (axis + 1) << 4 | 0b1001
        assert nifti.read(nifti_file(tmp_path / "scan.nii", raw={"dim_info": code})).facts.slice_axis == axis


class TestValues:
    def test_nan_outside_a_mask_becomes_zero(self, tmp_path: Path) -> None:
        data = values((6, 5, 4))
        data[:, :, 2:] = np.nan
        volume = nifti.read(nifti_file(tmp_path / "scan.nii", data))
        np.testing.assert_array_equal(volume.data, np.nan_to_num(data))
        assert "60 of 120 voxels" in volume.notes[0]

    def test_integers_that_float32_rounds_are_noted(self, tmp_path: Path) -> None:
        data = values((6, 5, 4), dtype="i4") + (1 << 24)
        assert "rounded" in nifti.read(nifti_file(tmp_path / "scan.nii", data)).notes[0]
        assert nifti.read(nifti_file(tmp_path / "scan.nii", values((6, 5, 4), dtype="i4"))).notes == ()

    @pytest.mark.parametrize(
        ("code", "says"), [(1002, "label map"), (3, "statistics"), (1007, "no grey values"), (0, "")]
    )
    def test_intent(self, code: int, says: str, tmp_path: Path) -> None:
        assert says in "".join(nifti.read(nifti_file(tmp_path / "scan.nii", raw={"intent_code": code})).notes)

    def test_a_label_map_is_noted_and_an_image_is_not(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 6, (30, 30, 30)).astype("f4")
        image = rng.integers(0, 255, (30, 30, 30)).astype("u1")
        assert "label map" in nifti.read(nifti_file(tmp_path / "scan.nii", labels)).notes[0]
        assert nifti.read(nifti_file(tmp_path / "scan.nii", labels * 0.5)).notes == ()
        assert nifti.read(nifti_file(tmp_path / "scan.nii", image)).notes == ()

    def test_maps_and_masks_may_be_constant(self, tmp_path: Path) -> None:
        for value in (0, 1):
            path = nifti_file(tmp_path / "map.nii.gz", np.full((20, 20, 20), value, "f4"))
            volume = open_volume(path, allow_constant=True)
            assert (volume.data == value).all()
            assert volume.notes == ()
        with pytest.raises(InputError, match="NaN"):
            open_volume(nifti_file(tmp_path / "map.nii", np.full((6, 5, 4), np.nan, "f4")), allow_constant=True)

    def test_memory_limit(self, tmp_path: Path) -> None:
        path = nifti_file(tmp_path / "scan.nii")
        assert open_header(path).nbytes == 480
        open_volume(path, max_bytes=480)
        with pytest.raises(MemoryLimitError, match="480 bytes"):
            open_volume(path, max_bytes=479)


class TestFiles:
    def test_gzip_in_members_and_with_padding(self, tmp_path: Path) -> None:
        blob = b"".join(nifti_bytes(values((6, 5, 4))))
        path = tmp_path / "scan.nii.gz"
        path.write_bytes(
            b"".join(gzip.compress(blob[i : i + 100]) + bytes(i % 3) for i in range(0, len(blob), 100))
        )
        assert_same_as_nibabel(nifti.read(path), path)

    def test_content_counts_not_the_name(self, tmp_path: Path) -> None:
        packed = nifti_file(tmp_path / "a.nii.gz").rename(tmp_path / "packed.nii")
        plain = nifti_file(tmp_path / "b.nii").rename(tmp_path / "plain.nii.gz")
        for path in (packed, plain):
            volume = nifti.read(path)
            np.testing.assert_array_equal(volume.data, values((6, 5, 4)))
            assert "gzipped" in volume.notes[0]

    def test_upper_case_names(self, tmp_path: Path) -> None:
        head, stored = nifti_bytes(values((6, 5, 4)), paired=True)
        (tmp_path / "SCAN.HDR").write_bytes(head)
        (tmp_path / "SCAN.IMG").write_bytes(stored)
        np.testing.assert_array_equal(open_volume(tmp_path / "SCAN.IMG").data, values((6, 5, 4)))
        np.testing.assert_array_equal(open_volume(tmp_path / "SCAN.HDR").data, values((6, 5, 4)))

    def test_extensions_are_stepped_over(self, tmp_path: Path) -> None:
        image = nib.Nifti1Image(values((6, 5, 4)), np.diag([1.0, 2, 3, 1]))
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"patient name " * 50))
        nib.save(image, tmp_path / "scan.nii.gz")
        assert_same_as_nibabel(nifti.read(tmp_path / "scan.nii.gz"), tmp_path / "scan.nii.gz")

    def test_a_few_bytes_after_the_voxels_are_noted(self, tmp_path: Path) -> None:
        path = nifti_file(tmp_path / "scan.nii")
        path.write_bytes(path.read_bytes() + b"footer")
        assert "6 bytes after the voxels" in nifti.read(path).notes[0]

    def test_both_halves_of_a_pair_may_differ_in_packing(self, tmp_path: Path) -> None:
        head, stored = nifti_bytes(values((6, 5, 4)), paired=True)
        (tmp_path / "scan.hdr").write_bytes(head)
        (tmp_path / "scan.img.gz").write_bytes(gzip.compress(stored))
        np.testing.assert_array_equal(nifti.read(tmp_path / "scan.hdr").data, values((6, 5, 4)))
        np.testing.assert_array_equal(nifti.read(tmp_path / "scan.img.gz").data, values((6, 5, 4)))


def made(geometry: str = "oblique", frames: int | None = None, **options: Any) -> Volume:
    shape, matrix = GEOMETRIES[geometry]
    data = values((frames, *shape) if frames else shape)
    return Volume(data, Grid(shape, matrix), **options)


class TestWriting:
    @pytest.mark.parametrize("geometry", GEOMETRIES)
    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
    @pytest.mark.parametrize("frames", [None, 3])
    def test_round_trip(self, geometry: str, suffix: str, frames: int | None, tmp_path: Path) -> None:
        volume = made(geometry, frames, facts=ScanFacts(tr=2.5, slice_axis=1), xform_code=4)
        path = tmp_path / f"out{suffix}"
        nifti.write(volume, path)
        assert_same_as_nibabel(volume, path)
        if min(volume.grid.shape) > 1:
            assert_same_as_itk(volume, path)
        again = nifti.read(path)
        assert again.grid.is_close(volume.grid, TOLERANCE)
        assert (again.facts, again.xform_code, again.notes) == (volume.facts, 4, ())
        np.testing.assert_array_equal(again.data, volume.data)

    def test_header(self, tmp_path: Path) -> None:
        nifti.write(made(frames=4, facts=ScanFacts(tr=0.72)), tmp_path / "out.nii.gz", description="medsr 0.1")
        header = nib.load(tmp_path / "out.nii.gz").header
        raw = nib.Nifti1Header(gzip.decompress((tmp_path / "out.nii.gz").read_bytes())[:348], check=False)
        sform, qform = header.get_sform(coded=True), header.get_qform(coded=True)
        assert sform[1] == qform[1] == 1
        np.testing.assert_allclose(sform[0], qform[0], atol=1e-3)
        assert header.get_xyzt_units() == ("mm", "sec")
        assert header["pixdim"][4] == np.float32(0.72)
        assert raw["scl_slope"] == 1.0
        assert raw["scl_inter"] == 0.0
        assert header["descrip"] == b"medsr 0.1"
        assert header.get_data_dtype() == np.float32

    def test_same_bytes(self, tmp_path: Path) -> None:
        for name in ("a.nii.gz", "b.nii.gz"):
            nifti.write(made(), tmp_path / name)
        first = (tmp_path / "a.nii.gz").read_bytes()
        assert first == (tmp_path / "b.nii.gz").read_bytes()
        assert first[3:8] == bytes(5)  # neither name nor time

    def test_long_axes_make_it_nifti_2(self, tmp_path: Path) -> None:
        data = values((40_000, 2, 1))
        nifti.write(Volume(data, Grid((40_000, 2, 1), np.diag([0.01, 1, 1, 1.0]))), tmp_path / "out.nii")
        assert open_header(tmp_path / "out.nii").format == "NIfTI-2"
        np.testing.assert_array_equal(nifti.read(tmp_path / "out.nii").data, data)
        np.testing.assert_array_equal(nib.load(tmp_path / "out.nii").get_fdata(), data)

    @pytest.mark.parametrize("dtype", ["int16", "uint16", "uint8", "int8", "int32", "uint32", "float64"])
    def test_types(self, dtype: str, tmp_path: Path) -> None:
        rng = np.random.default_rng(3)
        data = rng.normal(-5, 100, (6, 5, 4)).astype("f4")
        volume = replace(made("plain"), data=data, grid=Grid((6, 5, 4), np.eye(4)))
        nifti.write(volume, tmp_path / "out.nii", dtype=dtype)
        other = nib.load(tmp_path / "out.nii")
        assert other.get_data_dtype() == np.dtype(dtype)
        bits = {1: 8, 2: 16}.get(np.dtype(dtype).itemsize, 24)
        step = float(np.ptp(data)) / 2**bits
        np.testing.assert_allclose(other.get_fdata(), data, atol=step * 0.51 + 1e-5 * (bits == 24))
        np.testing.assert_allclose(nifti.read(tmp_path / "out.nii").data, other.get_fdata(), rtol=1e-6)

    def test_whole_numbers_are_stored_as_they_are(self, tmp_path: Path) -> None:
        volume = made()
        nifti.write(volume, tmp_path / "out.nii", dtype="int16")
        dataobj = nib.load(tmp_path / "out.nii").dataobj
        assert (dataobj.slope, dataobj.inter) == (1.0, 0.0)
        np.testing.assert_array_equal(nifti.read(tmp_path / "out.nii").data, volume.data)

    def test_constant_fraction(self, tmp_path: Path) -> None:
        volume = replace(made(), data=np.full((7, 6, 5), 0.1, "f4"))
        nifti.write(volume, tmp_path / "out.nii", dtype="int16")
        np.testing.assert_allclose(nib.load(tmp_path / "out.nii").get_fdata(), 0.1, rtol=1e-6)

    def test_a_residual_of_zeros_is_written(self, tmp_path: Path) -> None:
        nifti.write(replace(made(), data=np.zeros((7, 6, 5), "f4")), tmp_path / "out.nii.gz")
        assert not nib.load(tmp_path / "out.nii.gz").get_fdata().any()

    @pytest.mark.parametrize("dtype", ["int64", "complex64", "bool", "float16", "S3"])
    def test_types_that_are_not_written(self, dtype: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="not written as"):
            nifti.write(made(), tmp_path / "out.nii", dtype=dtype)
        assert not list(tmp_path.iterdir())

    def test_nan_is_not_written_as_an_integer(self, tmp_path: Path) -> None:
        volume = made()
        volume.data[0, 0, 0] = np.nan
        with pytest.raises(UsageError, match="not finite"):
            nifti.write(volume, tmp_path / "out.nii", dtype="int16")

    @pytest.mark.parametrize("name", ["out.img", "out.hdr", "out.nrrd", "out.txt", "out"])
    def test_names_that_are_not_written(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"\.nii"):
            nifti.write(made(), tmp_path / name)

    def test_a_small_tilt_keeps_the_sform_alone(self, tmp_path: Path) -> None:
        matrix = np.eye(4)
        matrix[0, 1] = 0.008
        volume = Volume(values((200, 200, 1)), Grid((200, 200, 1), matrix))
        nifti.write(volume, tmp_path / "out.nii")
        header = nib.load(tmp_path / "out.nii").header
        assert (header["sform_code"], header["qform_code"]) == (1, 0)
        assert nifti.read(tmp_path / "out.nii").notes == ()

    def test_any_order_in_memory(self, tmp_path: Path) -> None:
        volume = made(frames=3)
        for i, data in enumerate((np.asfortranarray(volume.data), volume.data[:, ::-1][:, ::-1])):
            nifti.write(replace(volume, data=data), tmp_path / f"{i}.nii")
        nifti.write(volume, tmp_path / "plain.nii")
        assert len({p.read_bytes() for p in tmp_path.iterdir()}) == 1


def test_random_rotations_survive_the_quaternion(tmp_path: Path) -> None:
    """sform and qform agree for any orientation, half turns included."""
    rng = np.random.default_rng(5)
    angles: list[NDArray[np.float64]] = [rng.uniform(-180, 180, 3) for _ in range(40)]
    angles += [np.array(a, float) for a in ((180, 0, 0), (0, 180, 0), (0, 0, 180), (180, 180, 0), (179.999, 0, 0))]
    for i, turn in enumerate(angles):
        matrix = np.eye(4)
        matrix[:3, :3] = rotation(*turn) * [1, 1.5, 3] * [1, 1, (-1) ** i]
        volume = Volume(values((5, 5, 5)), Grid((5, 5, 5), matrix))
        nifti.write(volume, tmp_path / "out.nii")
        header = nib.load(tmp_path / "out.nii").header
        np.testing.assert_allclose(header.get_qform(), matrix, atol=2e-3)
        again = nifti.read(tmp_path / "out.nii")
        assert again.grid.is_close(volume.grid, TOLERANCE)
        assert again.notes == ()


def test_not_an_image_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"scan\.nii"):
        nifti.read(tmp_path / "scan.nii")


def test_the_array_is_the_only_large_thing_in_memory(tmp_path: Path) -> None:
    data = np.zeros((256, 256, 128), "i2")
    data[::3] = 7
    path = nifti_file(tmp_path / "scan.nii.gz", data, raw={"scl_slope": 0.5})
    del data
    tracemalloc.start()
    try:
        volume = nifti.read(path)
        reading = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        nifti.write(volume, tmp_path / "out.nii.gz", dtype="int16")
        writing = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reading < volume.data.nbytes + (24 << 20)
    assert writing < volume.data.nbytes + (24 << 20)
