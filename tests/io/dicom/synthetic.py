"""DICOM files of known geometry, written with pydicom alone."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
)

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
Edit = Callable[[Dataset, int, int], None]


def rotation(*degrees: float) -> np.ndarray:
    """Turned about x, then y, then z."""
    a, b, c = np.radians(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return z @ y @ x


def affine_of(directions: np.ndarray, spacing, origin=(-31.5, 12.25, 7.0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = directions * np.array(spacing)
    affine[:3, 3] = origin
    return affine


AXIAL = np.array([[-1, 0, 0], [0, -1, 0], [0, 0, 1.0]])
SAGITTAL = np.array([[0, 0, -1], [-1, 0, 0], [0, -1, 0.0]])
CORONAL = np.array([[-1, 0, 0], [0, 0, -1], [0, -1, 0.0]])
GEOMETRIES = {
    "axial": affine_of(AXIAL, (0.8, 0.8, 3)),
    "sagittal": affine_of(SAGITTAL, (1, 1, 4.5)),
    "coronal": affine_of(CORONAL, (1, 1, 2)),
    "oblique": affine_of(rotation(12, -23, 31) @ AXIAL, (0.7, 0.9, 5)),
    "oblique sagittal": affine_of(rotation(-7, 16, 4) @ SAGITTAL, (1.1, 0.6, 0.9)),
    "slices downwards": affine_of(rotation(5, 5, 5) @ AXIAL @ np.diag([1, 1, -1.0]), (0.9, 1.2, 2.5)),
    "rows to the right": affine_of(np.diag([1, 1, 1.0]), (1, 2, 3)),
}


def numbers(*shape: int) -> np.ndarray:
    """Different values everywhere, below 4096."""
    return (np.random.default_rng(7).permutation(int(np.prod(shape))) % 4096).astype(np.uint16).reshape(shape)


def base(sop_class: str = MRImageStorage, seed: str = "1") -> Dataset:
    """What any MR object of these tests has."""
    data = Dataset()
    data.SOPClassUID = sop_class
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.826.1.5", f"1.2.826.1.6.{seed}"
    data.FrameOfReferenceUID = "1.2.826.1.7"
    data.Modality, data.Manufacturer = "MR", "Maker"
    data.PatientName, data.PatientID = "Doe^Jane", "P1"
    data.PatientBirthDate, data.PatientSex, data.StudyID = "19700101", "F", "1"
    data.StudyDate, data.StudyTime, data.AccessionNumber, data.ReferringPhysicianName = (
        "20240102",
        "101112",
        "",
        "",
    )
    data.SeriesNumber, data.SeriesDescription = int(seed.split(".", maxsplit=1)[0]), "t1 ax"
    data.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    data.ScanningSequence, data.SequenceVariant, data.MRAcquisitionType = "SE", "SK", "2D"
    data.RepetitionTime, data.EchoTime = "600", "12.5"
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    return data


def save(data: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.ImplementationClassUID = "1.2.826.1.9"
    data.file_meta = meta
    data.preamble = bytes(128)
    path.parent.mkdir(parents=True, exist_ok=True)
    if syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
        big = syntax == ExplicitVRBigEndian
        data.save_as(path, implicit_vr=not big, little_endian=not big, enforce_file_format=True)
    else:
        data.save_as(path, enforce_file_format=True)
    return path


def cosines(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orientation (6), pixel spacing (2), and the LPS affine."""
    lps = LPS @ affine
    lengths = np.linalg.norm(lps[:3, :3], axis=0)
    return np.concatenate([lps[:3, 0] / lengths[0], lps[:3, 1] / lengths[1]]), lengths[[1, 0]], lps


def decimals(values) -> list[str]:
    return [f"{v:.10f}"[:16] for v in values]


def write_classic(
    folder: Path,
    data: np.ndarray,
    affine: np.ndarray,
    *,
    thickness: float | None = None,
    syntax: str = ExplicitVRLittleEndian,
    seed: str = "1",
    edit: Edit = lambda data, time, place: None,
) -> list[Path]:
    """(x, y, z) or (t, x, y, z) codes, a file for each slice, with names in a shuffled order."""
    volumes = data if data.ndim == 4 else data[None]
    orientation, spacing, lps = cosines(affine)
    count = volumes.shape[0] * volumes.shape[3]
    names = np.random.default_rng(3).permutation(count)
    paths = []
    for time, volume in enumerate(volumes):
        for place in range(volume.shape[2]):
            n = time * volume.shape[2] + place
            one = base(seed=seed)
            one.SOPInstanceUID = f"1.2.826.1.8.{seed}.{n + 1}"
            one.InstanceNumber, one.AcquisitionNumber = n + 1, time + 1
            one.ImageOrientationPatient = decimals(orientation)
            one.ImagePositionPatient = decimals((lps @ [0, 0, place, 1])[:3])
            one.PixelSpacing = decimals(spacing)
            one.SliceThickness = str(thickness if thickness is not None else np.linalg.norm(lps[:3, 2]).round(6))
            one.Rows, one.Columns = volume.shape[1], volume.shape[0]
            big = syntax == ExplicitVRBigEndian
            one.PixelData = np.ascontiguousarray(volume[:, :, place].T).astype(">u2" if big else "<u2").tobytes()
            edit(one, time, place)
            paths.append(save(one, folder / f"{names[n]:04d}", syntax))
    return paths


def write_enhanced(path: Path, data: np.ndarray, affine: np.ndarray, *, shuffle: bool = True, edit=None) -> Path:
    """(t, x, y, z) codes in one file, frames in a shuffled order."""
    volumes = data if data.ndim == 4 else data[None]
    orientation, spacing, lps = cosines(affine)
    one = base(EnhancedMRImageStorage)
    one.SOPInstanceUID = "1.2.826.1.8.77"
    del one.RepetitionTime, one.EchoTime
    one.InstanceNumber, one.Rows, one.Columns = 1, volumes.shape[2], volumes.shape[1]
    order = [(t, z) for t in range(volumes.shape[0]) for z in range(volumes.shape[3])]
    if shuffle:
        order = [order[n] for n in np.random.default_rng(5).permutation(len(order))]
    one.NumberOfFrames = len(order)
    shared, measures, turned, timing, echo = Dataset(), Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = decimals(spacing), "2"
    turned.ImageOrientationPatient = decimals(orientation)
    timing.RepetitionTime, echo.EffectiveEchoTime = "2500", 33.0
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turned]
    shared.MRTimingAndRelatedParametersSequence, shared.MREchoSequence = [timing], [echo]
    one.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for time, place in order:
        group, position, content, values = Dataset(), Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = decimals((lps @ [0, 0, place, 1])[:3])
        content.StackID, content.InStackPositionNumber, content.TemporalPositionIndex = "1", place + 1, time + 1
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = str(time + 2), "-3", "US"
        group.PlanePositionSequence, group.FrameContentSequence = [position], [content]
        group.PixelValueTransformationSequence = [values]
        frames.append(group)
    one.PerFrameFunctionalGroupsSequence = frames
    one.PixelData = b"".join(np.ascontiguousarray(volumes[t, :, :, z].T).astype("<u2").tobytes() for t, z in order)
    if edit:
        edit(one)
    return save(one, path)


def csa_block(values: dict[str, list[str]]) -> bytes:
    """A CSA header of the newer layout."""
    block = b"SV10\4\3\2\1" + struct.pack("<II", len(values), 77)
    for name, texts in values.items():
        block += name.encode().ljust(64, b"\0") + struct.pack("<I4sIII", len(texts), b"FD\0\0", 4, len(texts), 77)
        for text in texts:
            data = text.encode() + b"\0"
            block += struct.pack("<4I", len(data), len(data), 77, len(data)) + data + b"\0" * (-len(data) % 4)
    return block


def protocol_block(centres: np.ndarray) -> bytes:
    """The protocol text of a CSA series header, coordinates of 0 left out as Siemens does."""
    lines = [f"sSliceArray.lSize                        = {len(centres)}"]
    for n, centre in enumerate(centres):
        lines += [
            f"sSliceArray.asSlice[{n}].sPosition.{axis} = {value}"
            for axis, value in zip(("dSag", "dCor", "dTra"), centre, strict=True)
            if value
        ]
    return ("### ASCCONV BEGIN ###\n" + "\n".join(lines) + "\n### ASCCONV END ###\0").encode()


def write_mosaic(
    folder: Path,
    data: np.ndarray,
    affine: np.ndarray,
    *,
    count: bool = True,
    normal: bool = True,
    protocol: bool = False,
    reverse_protocol: bool = False,
) -> list[Path]:
    """(t, x, y, z) codes as mosaics; x and y are the rows' and columns' directions, tiles run along z."""
    orientation, spacing, lps = cosines(affine)
    nx, ny, nz = data.shape[1:]
    side = int(np.ceil(np.sqrt(nz)))
    corner = lps @ [-nx * (side - 1) / 2, -ny * (side - 1) / 2, 0, 1]
    across = lps[:3, 2] / np.linalg.norm(lps[:3, 2])
    centres = np.array([(lps @ [nx / 2, ny / 2, z, 1])[:3] for z in range(nz)])
    paths = []
    for time, volume in enumerate(data):
        tiles = np.zeros((side * ny, side * nx), np.uint16)
        for z in range(nz):
            row, column = z // side * ny, z % side * nx
            tiles[row : row + ny, column : column + nx] = volume[:, :, z].T
        one = base()
        one.SOPInstanceUID = f"1.2.826.1.8.3.{time + 1}"
        one.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
        one.InstanceNumber = one.AcquisitionNumber = time + 1
        one.AcquisitionDate, one.AcquisitionTime = "20240102", f"10{time // 30:02d}{time % 30 * 2:02d}.500000"
        one.RepetitionTime = "2000"
        one.ImageOrientationPatient, one.ImagePositionPatient = decimals(orientation), decimals(corner[:3])
        one.PixelSpacing, one.SliceThickness = decimals(spacing), "2"
        one.SpacingBetweenSlices = f"{np.linalg.norm(lps[:3, 2]):.8f}"
        one.Rows, one.Columns = tiles.shape
        values = {"EchoLinePosition": ["32", "64"]}
        if count:
            values["NumberOfImagesInMosaic"] = [f"{nz}      "]
        if normal:
            values["SliceNormalVector"] = [f"{v:.8f}" for v in across]
        block = one.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", csa_block(values))
        if protocol:
            block.add_new(0x20, "OB", b"SV10" + protocol_block(centres[::-1] if reverse_protocol else centres))
        one.PixelData = tiles.astype("<u2").tobytes()
        paths.append(save(one, folder / f"m{time}.dcm"))
    return paths


def assert_same_world(volume, data: np.ndarray, affine: np.ndarray, tolerance: float = 1e-3) -> None:
    """Every voxel of `data` on `affine` is in `volume`, at the same world coordinates, with the same value."""
    found = volume.data if volume.data.ndim == 4 else volume.data[None]
    wanted = data if data.ndim == 4 else data[None]
    assert sorted(found.shape) == sorted(wanted.shape)
    across = np.linalg.inv(volume.grid.affine) @ affine
    index = np.stack(np.meshgrid(*(np.arange(n) for n in wanted.shape[1:]), indexing="ij"), -1)
    exact = index @ across[:3, :3].T + across[:3, 3]
    near = np.rint(exact).astype(int)
    off = (exact - near) @ np.asarray(volume.grid.affine)[:3, :3].T
    assert np.abs(off).max() < tolerance
    assert near.min() >= 0 and (near.reshape(-1, 3).max(0) < found.shape[1:]).all()
    assert np.array_equal(found[:, near[..., 0], near[..., 1], near[..., 2]], wanted.astype(np.float32))
