"""What a batch finds in a folder, in a list, in a BIDS data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from medsr.batch.items import find_items, parse_shard
from medsr.errors import InputError, UsageError
from tests.cli.conftest import thick_scan
from tests.io.dicom.synthetic import GEOMETRIES, numbers, write_classic

pytest.importorskip("pydicom")


def found(source: Path, output: Path) -> list[tuple[str, str]]:
    return [
        (item.path.relative_to(source).as_posix(), item.place.as_posix()) for item in find_items(source, output)
    ]


def test_a_folder_to_any_depth(tmp_path: Path) -> None:
    source = tmp_path / "in"
    thick_scan(source / "a.nii.gz") if source.mkdir() is None else None
    (source / "s1" / "deep").mkdir(parents=True)
    thick_scan(source / "s1" / "deep" / "b.mha")
    thick_scan(source / "s1" / "b_desc-sr.nii.gz")
    write_classic(source / "s2" / "dicom", numbers(4, 4, 5), GEOMETRIES["axial"])
    (source / ".hidden").mkdir()
    thick_scan(source / ".hidden" / "c.nii")
    thick_scan(source / "out" / "d.nii.gz")
    assert found(source, source / "out") == [("a.nii.gz", "."), ("s1/deep/b.mha", "s1/deep"), ("s2/dicom", "s2")]


def test_a_series_in_two_folders_is_one_item(tmp_path: Path) -> None:
    """As archives do that start a new folder after so many files."""
    files = sorted(write_classic(tmp_path / "0000", numbers(4, 4, 6), GEOMETRIES["axial"]))
    (tmp_path / "0001").mkdir()
    for file in files[3:]:
        file.rename(tmp_path / "0001" / file.name)
    write_classic(tmp_path / "0002", numbers(4, 4, 6), GEOMETRIES["axial"], seed="2")
    items = find_items(tmp_path, tmp_path / "out")
    assert [[f.name for f in item.folders] for item in items] == [["0000", "0001"], ["0002"]]


def test_a_csv_list(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "input,series,spacing,psf,deidentify,output\nx/a.nii.gz,,1,,,\n"
        'dicom,5,"0.9,0.9,1","x=kspace,z=boxcar",yes,sub-02\n/abs/b.nii,,,,,\n'
    )
    first, second, third = find_items(path, tmp_path)
    assert (first.path, first.place, first.options) == (tmp_path / "x/a.nii.gz", Path("x"), {"spacing": (1, 1, 1)})
    assert (second.path, second.series, second.place) == (tmp_path / "dicom", "5", Path("sub-02"))
    assert second.options == {"spacing": (0.9, 0.9, 1), "psf": {"x": "kspace", "z": "boxcar"}, "deidentify": True}
    assert (third.path, third.place) == (Path("/abs/b.nii"), Path())


def test_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(
        '[options]\nnoise = 0\nformat = "dicom"\n[[scan]]\ninput = "a.nii"\nspacing = [0.9, 0.9, 1]\n'
        '[[scan]]\ninput = "dicom"\nseries = 5\nnoise = "auto"\npsf = {z = "boxcar"}\n'
    )
    first, second = find_items(path, tmp_path)
    assert first.options == {"noise": 0.0, "format": "dicom", "spacing": (0.9, 0.9, 1.0)}
    assert second.options == {"noise": None, "format": "dicom", "psf": {"z": "boxcar"}}
    assert second.series == "5"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "scan\na.nii\n", "no column `input`"),
        ("a.csv", "input,spacing\na.nii,1\nb.nii,-1\n", "line 3: --spacing is not a voxel size"),
        ("a.csv", "input,color\na.nii,red\n", "no such option for a scan; got 'color'"),
        ("a.csv", "input,force\na.nii,yes\n", "no such option for a scan; got 'force'"),
        ("a.csv", "input,spacing\na.nii\n", "line 2: more or fewer columns"),
        ("a.csv", "input,output\na.nii,../elsewhere\n", "not a folder under the batch's"),
        ("a.csv", "input,format\na.nii,png\n", "format is none of nifti, dicom"),
        ("a.csv", "input,deidentify\na.nii,perhaps\n", "deidentify is yes or no"),
        ("a.csv", 'input\n"a.nii\n', "not a CSV list"),
        ("a.csv", "input\n", "the list is empty"),
        ("a.toml", "[[scan]]\nspacing = 1\n", "scan 1: no input is named"),
        ("a.toml", "scan = 3\n", "a manifest has [options] and [[scan]]"),
        ("a.toml", "[[scan]\n", "not a TOML manifest"),
        ("a.txt", "a.nii\n", "this is no list of scans"),
    ],
)
def test_lists_that_are_none(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises((UsageError, InputError)) as error:
        find_items(tmp_path / name, tmp_path / "out")
    assert words in str(error.value)


def test_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text('{"Name": "a", "BIDSVersion": "1.10.0"}')
    for name in ("sub-1/anat/sub-1_T1w.nii.gz", "sub-1/ses-2/anat/sub-1_ses-2_acq-ax_T2w.nii", "sub-1/anat/x.nii",
                 "sub-1/anat/sub-1_T1map.nii.gz", "sub-1/func/sub-1_task-a_bold.nii.gz"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    items = find_items(tmp_path, tmp_path / "derivatives")
    assert [item.path.name for item in items if not item.left_out] == [
        "sub-1_T1w.nii.gz",
        "sub-1_ses-2_acq-ax_T2w.nii",
    ]
    assert [item.left_out for item in items if item.left_out][1] == "its name is not BIDS"


def test_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no scan in this folder"):
        find_items(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="no such folder or list"):
        find_items(tmp_path / "none", tmp_path / "out")


def test_shards() -> None:
    assert parse_shard("2/4") == (2, 4)
    for text in ("0/4", "5/4", "2", "2/", "a/b", "-1/4", "1.5/4"):
        with pytest.raises(UsageError, match="--shard is not one"):
            parse_shard(text)
