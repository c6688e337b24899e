"""NRRD and MetaImage, against SimpleITK: where each corner lies, and which value lies there."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from medsr.errors import UsageError
from medsr.io import itk, open_header, open_volume, save_volume
from medsr.volume import Grid, ScanFacts, Volume
from tests.io.files import GEOMETRIES, META, meta_file, nrrd_file, values

TOLERANCE = 1e-4
RAS = np.array([-1.0, -1.0, 1.0])


def itk_image(data: NDArray[Any], matrix: NDArray[np.float64], tr: float = 1.0) -> sitk.Image:
    """An ITK image of (x, y, z[, t]) voxels at a RAS+ place."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.T), isVector=False)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    turn = np.eye(data.ndim)
    turn[:3, :3] = RAS[:, None] * matrix[:3, :3] / spacing
    more = data.ndim - 3
    image.SetSpacing([*map(float, spacing), *[tr] * more])
    image.SetOrigin([*map(float, RAS * matrix[:3, 3]), *[0.0] * more])
    image.SetDirection([float(v) for v in turn.ravel()])
    return image


def assert_same(volume: Volume, image: sitk.Image) -> None:
    ends = [{0, n - 1} for n in volume.grid.shape]
    for corner in [(x, y, z) for x in ends[0] for y in ends[1] for z in ends[2]]:
        for frame in {0, volume.frames - 1}:
            index = (*corner, frame) if volume.data.ndim == 4 else corner
            world = np.array(image.TransformIndexToPhysicalPoint(index))[:3] * RAS
            np.testing.assert_allclose(volume.grid.to_world(np.array(corner)), world, atol=TOLERANCE, rtol=0)
            value = volume.data[frame][corner] if volume.data.ndim == 4 else volume.data[corner]
            assert float(value) == image.GetPixel(index)
    np.testing.assert_array_equal(
        volume.data,
        np.moveaxis(sitk.GetArrayFromImage(image).T, -1, 0)
        if volume.data.ndim == 4
        else sitk.GetArrayFromImage(image).T,
    )
    assert volume.data.dtype == np.float32
    assert volume.data.flags.c_contiguous


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("frames", [None, 3])
def test_reads_what_itk_writes(
    geometry: str, suffix: str, packed: bool, frames: int | None, tmp_path: Path
) -> None:
    shape, matrix = GEOMETRIES[geometry]
    image = itk_image(values((*shape, frames) if frames else shape), matrix, tr=2.5)
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(image, str(path), packed)
    volume = open_volume(path)
    assert_same(volume, image)
    assert volume.facts.tr == (2.5 if frames else None)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_every_type(dtype: str, suffix: str, tmp_path: Path) -> None:
    image = itk_image(values((5, 4, 3), dtype=dtype), np.eye(4))
    sitk.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    assert_same(open_volume(tmp_path / f"scan{suffix}"), image)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("frames", [None, 3])
def test_itk_reads_what_we_write(geometry: str, suffix: str, frames: int | None, tmp_path: Path) -> None:
    shape, matrix = GEOMETRIES[geometry]
    data = values((frames, *shape) if frames else shape)
    volume = Volume(data, Grid(shape, matrix), ScanFacts(tr=2.5 if frames else None))
    path = tmp_path / f"out{suffix}"
    save_volume(volume, path)
    assert_same(volume, sitk.ReadImage(str(path)))
    again = open_volume(path)
    np.testing.assert_array_equal(again.data, data)
    assert again.grid.is_close(volume.grid, 1e-9)
    assert again.facts == volume.facts
    assert again.notes == ()
    first = path.read_bytes()
    save_volume(volume, path, force=True)
    assert path.read_bytes() == first


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float64", "int32", "int8"])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_types_written(dtype: str, suffix: str, tmp_path: Path) -> None:
    volume = Volume(values((5, 4, 3)), Grid((5, 4, 3), np.eye(4)))
    save_volume(volume, tmp_path / f"out{suffix}", dtype=dtype)
    image = sitk.ReadImage(str(tmp_path / f"out{suffix}"))
    assert sitk.GetArrayViewFromImage(image).dtype == np.dtype(dtype)
    assert_same(volume, image)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_no_scale_is_kept_so_none_is_used(suffix: str, tmp_path: Path) -> None:
    volume = Volume(values((5, 4, 3)) / 7, Grid((5, 4, 3), np.eye(4)))
    with pytest.raises(UsageError, match="without a scale"):
        save_volume(volume, tmp_path / f"out{suffix}", dtype="int16")
    assert not list(tmp_path.iterdir())


class TestNrrd:
    def read(self, tmp_path: Path, data: NDArray[Any] | None = None, **change: str | None) -> Volume:
        fields = {k.replace("_", " "): v for k, v in change.items()}
        return open_volume(nrrd_file(tmp_path / "scan.nrrd", data, fields))

    @pytest.mark.parametrize(
        ("space", "signs"),
        [
            ("left-posterior-superior", (-1, -1, 1)),
            ("LPS", (-1, -1, 1)),
            ("right-anterior-superior", (1, 1, 1)),
            ("RAS", (1, 1, 1)),
            ("left-anterior-superior", (-1, 1, 1)),
        ],
    )
    def test_spaces(self, space: str, signs: tuple[int, ...], tmp_path: Path) -> None:
        volume = self.read(tmp_path, space=space)
        np.testing.assert_array_equal(volume.grid.affine[:3, :3], np.diag([1, 1, 2.5]) * np.array(signs)[:, None])
        np.testing.assert_array_equal(volume.grid.affine[:3, 3], np.array([-3, 4, 5]) * signs)
        assert_same(volume, sitk.ReadImage(str(tmp_path / "scan.nrrd")))

    def test_big_endian(self, tmp_path: Path) -> None:
        volume = self.read(tmp_path, values((6, 5, 4), dtype=">i2"), type="int16", endian="big")
        np.testing.assert_array_equal(volume.data, values((6, 5, 4)))
        assert_same(volume, sitk.ReadImage(str(tmp_path / "scan.nrrd")))

    def test_spacings_alone(self, tmp_path: Path) -> None:
        volume = self.read(tmp_path, space=None, space_directions=None, space_origin=None, spacings="1 2 3")
        assert volume.grid.spacing == (1, 2, 3)
        assert "no orientation" in volume.notes[0]
        assert_same(volume, sitk.ReadImage(str(tmp_path / "scan.nrrd")))

    def test_nothing_said(self, tmp_path: Path) -> None:
        volume = self.read(tmp_path, space=None, space_directions=None, space_origin=None, kinds=None)
        assert "1 mm is assumed" in volume.notes[1]

    def test_units(self, tmp_path: Path) -> None:
        volume = self.read(tmp_path, space_units='"cm" "cm" "cm"')
        np.testing.assert_allclose(volume.grid.spacing, (10, 10, 25))
        assert "converted" in volume.notes[0]
        assert "taken as mm" in self.read(tmp_path, space_units='"furlong" "mm" "mm"').notes[0]
        assert self.read(tmp_path, space_units='"mm" "mm" "mm"').notes == ()

    def test_a_header_cannot_forge_a_line(self, tmp_path: Path) -> None:
        (note,) = self.read(tmp_path, space_units='"\x1b[31m\rERROR" "mm" "mm"').notes
        assert note.isprintable()

    @pytest.mark.parametrize("first", [True, False])
    def test_list_of_frames(self, first: bool, tmp_path: Path) -> None:
        """As Slicer writes sequences: the frames fastest; or slowest."""
        frames = values((2, 6, 5, 4))
        ways = "(1,0,0) (0,1,0) (0,0,2.5)"
        volume = self.read(
            tmp_path,
            frames if first else np.moveaxis(frames, 0, -1),
            dimension="4",
            sizes="2 6 5 4" if first else "6 5 4 2",
            kinds="list domain domain domain" if first else "domain domain domain time",
            space_directions=f"none {ways}" if first else f"{ways} none",
        )
        np.testing.assert_array_equal(volume.data, frames)
        assert volume.grid.spacing == (1, 1, 2.5)
        assert volume.data.flags.c_contiguous

    @pytest.mark.parametrize("suffix", [".raw", ".raw.gz"])
    def test_detached(self, suffix: str, tmp_path: Path) -> None:
        raw = b"skipped" + values((6, 5, 4)).tobytes("F")
        (tmp_path / f"voxels{suffix}").write_bytes(gzip.compress(raw) if suffix.endswith("gz") else raw)
        change = {
            "data file": f"voxels{suffix}",
            "encoding": "gzip" if suffix.endswith("gz") else "raw",
            "byte skip": "7",
        }
        path = nrrd_file(tmp_path / "scan.nhdr", change=change, blob=b"")
        np.testing.assert_array_equal(open_volume(path).data, values((6, 5, 4)))
        path.write_bytes(path.read_bytes().rstrip(b"\n"))  # without the empty line
        np.testing.assert_array_equal(open_volume(path).data, values((6, 5, 4)))

    def test_byte_skip_from_the_end(self, tmp_path: Path) -> None:
        (tmp_path / "voxels.raw").write_bytes(b"a header of unknown length" * 9 + values((6, 5, 4)).tobytes("F"))
        change = {"data file": "voxels.raw", "byte skip": "-1"}
        volume = open_volume(nrrd_file(tmp_path / "scan.nhdr", change=change, blob=b""))
        np.testing.assert_array_equal(volume.data, values((6, 5, 4)))

    def test_windows_line_ends(self, tmp_path: Path) -> None:
        path = nrrd_file(tmp_path / "scan.nrrd", blob=b"")
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + values((6, 5, 4)).tobytes("F"))
        np.testing.assert_array_equal(open_volume(path).data, values((6, 5, 4)))


class TestMetaImage:
    def test_big_endian(self, tmp_path: Path) -> None:
        change = {"ElementType": "MET_SHORT", "BinaryDataByteOrderMSB": "True"}
        path = meta_file(tmp_path / "scan.mha", values((6, 5, 4), dtype=">i2"), change)
        assert_same(open_volume(path), sitk.ReadImage(str(path)))

    def test_other_names_of_fields(self, tmp_path: Path) -> None:
        change = {
            "TransformMatrix": None,
            "Offset": None,
            "ElementSpacing": None,
            "Rotation": "0 1 0 -1 0 0 0 0 1",
            "Position": "1 2 3",
            "ElementSize": "1 2 3",
        }
        path = meta_file(tmp_path / "scan.mha", change=change)
        volume = open_volume(path)
        assert volume.grid.spacing == (1, 2, 3)
        assert_same(volume, sitk.ReadImage(str(path)))

    def test_rows_of_the_matrix_are_axes(self, tmp_path: Path) -> None:
        path = meta_file(tmp_path / "scan.mha", change={"TransformMatrix": "0 1 0 0 0 1 1 0 0"})
        volume = open_volume(path)
        np.testing.assert_array_equal(volume.grid.direction[:, 0], (0, -1, 0))
        assert_same(volume, sitk.ReadImage(str(path)))

    def test_no_orientation(self, tmp_path: Path) -> None:
        volume = open_volume(meta_file(tmp_path / "scan.mha", change={"TransformMatrix": None}))
        assert "no orientation" in volume.notes[0]

    def test_plane_image(self, tmp_path: Path) -> None:
        image = sitk.GetImageFromArray(values((5, 6)).astype("i2"))
        for suffix in (".mha", ".nrrd"):
            sitk.WriteImage(image, str(tmp_path / f"scan{suffix}"))
            volume = open_volume(tmp_path / f"scan{suffix}")
            np.testing.assert_array_equal(volume.data[:, :, 0].T, values((5, 6)))
            assert "plane image" in volume.notes[-1]

    @pytest.mark.parametrize("skip", [0, 13, -1])
    def test_detached(self, skip: int, tmp_path: Path) -> None:
        raw = values((6, 5, 4)).tobytes("F")
        (tmp_path / "scan.raw").write_bytes((b"x" * 13 if skip else b"") + raw)
        path = meta_file(
            tmp_path / "scan.mhd", change={"HeaderSize": str(skip), "ElementDataFile": "scan.raw"}, blob=b""
        )
        np.testing.assert_array_equal(open_volume(path).data, values((6, 5, 4)))

    def test_zlib_beside_the_header(self, tmp_path: Path) -> None:
        (tmp_path / "scan.zraw").write_bytes(zlib.compress(values((6, 5, 4)).tobytes("F")))
        change = {"CompressedData": "True", "ElementDataFile": "scan.zraw"}
        volume = open_volume(meta_file(tmp_path / "scan.mhd", change=change, blob=b""))
        np.testing.assert_array_equal(volume.data, values((6, 5, 4)))

    def test_local_in_any_case(self, tmp_path: Path) -> None:
        assert META["ElementDataFile"] == "LOCAL"
        volume = open_volume(meta_file(tmp_path / "scan.mha", change={"ElementDataFile": "local"}))
        np.testing.assert_array_equal(volume.data, values((6, 5, 4)))


def test_headers_alone(tmp_path: Path) -> None:
    header = open_header(nrrd_file(tmp_path / "scan.nrrd"))
    assert (header.format, header.grid.shape, header.frames, header.nbytes) == ("NRRD", (6, 5, 4), None, 480)
    assert itk.read_header(meta_file(tmp_path / "scan.mha")).format == "MetaImage"
