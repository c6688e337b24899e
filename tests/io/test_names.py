"""Which names are images, what lies beside them, and how little is imported to know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medsr.io import IMAGE_SUFFIXES, companions, is_image, list_images, stem
from tests.io.files import nifti_bytes, nifti_file, values


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scan.nii", "scan"),
        ("a/b/sub-01_T1w.nii.gz", "sub-01_T1w"),
        ("v1.2.nii.gz", "v1.2"),
        ("SCAN.NII.GZ", "SCAN"),
        ("scan.hdr", "scan"),
        ("scan.img.gz", "scan"),
        ("scan.nrrd", "scan"),
        ("scan.mhd", "scan"),
        ("notes.txt", "notes"),
        ("scan.nii.gz.json", "scan.nii.gz"),
    ],
)
def test_stem(name: str, expected: str) -> None:
    assert stem(name) == expected
    assert stem(Path(name)) == expected


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_images(suffix: str) -> None:
    assert is_image(f"scan{suffix}")
    assert is_image(f"SCAN{suffix.upper()}")
    assert not is_image(f"._scan{suffix}")
    assert not is_image(suffix)
    assert not is_image(f"scan{suffix}.json")


@pytest.mark.parametrize("name", ["scan", "scan.gz", "scan.tar.gz", "scan.json", "nii", "scan.nii.bak", ""])
def test_not_images(name: str) -> None:
    assert not is_image(name)


def test_list_images(tmp_path: Path) -> None:
    for name in (
        "b.nii",
        "a.nii.gz",
        "c.hdr",
        "c.img",
        "alone.img",
        "d.mhd",
        "d.raw",
        ".e.nii",
        "._b.nii",
        "f.txt",
        "g.HDR",
        "g.IMG",
    ):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.nii").mkdir()
    assert [p.name for p in list_images(tmp_path)] == ["a.nii.gz", "alone.img", "b.nii", "c.hdr", "d.mhd", "g.HDR"]


def test_companions(tmp_path: Path) -> None:
    path = nifti_file(tmp_path / "dwi.nii.gz", values((4, 4, 3, 6)))
    assert companions(path) == ()
    (tmp_path / "dwi.bvec").write_text("")
    assert companions(path) == (tmp_path / "dwi.bvec",)
    (tmp_path / "dwi.bval").write_text("")
    (tmp_path / "other.bval").write_text("")
    assert companions(str(path)) == (tmp_path / "dwi.bval", tmp_path / "dwi.bvec")


def test_the_longest_name_a_file_may_have(tmp_path: Path) -> None:
    """Its sidecar's name would be too long: there is none, and that is no error."""
    from medsr.io import open_volume

    path = tmp_path / ("x" * 251 + ".nii")
    path.write_bytes(b"".join(nifti_bytes(values((6, 5, 4)))))
    assert open_volume(path).facts.te is None


def test_nothing_heavy_is_imported_to_know_a_name() -> None:
    code = (
        "import sys, medsr.io\nmedsr.io.is_image('a.nii')\n"
        "print([m for m in ('torch', 'nibabel', 'SimpleITK', 'numpy', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_imports_no_torch_and_no_simpleitk(tmp_path: Path) -> None:
    path = nifti_file(tmp_path / "scan.nii")
    code = (
        "import sys, medsr.io\nmedsr.io.open_volume(sys.argv[1])\n"
        "print([m for m in ('torch', 'SimpleITK') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
