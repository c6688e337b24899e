"""The manifests say what each data set is; with MEDSR_DATA set, `-m data` checks the files themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines.manifests import FIELDS, FOLDER, SPLITS, DataFile, Manifest, checksum, data_folder, load, load_all

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
TO_FETCH = {"ixi", "fastmri", "eth_spiral_fmri", "openneuro_ds004884"}


def test_what_is_named_is_there() -> None:
    assert {"colin27", "openneuro_ds002748", "openneuro_ds000011", "open_ms", *TO_FETCH} <= set(NAMES)
    assert [path.name for path in FOLDER.iterdir() if path.suffix != ".toml"] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_is_whole(name: str) -> None:
    manifest = load(FOLDER / f"{name}.toml")
    assert all(getattr(manifest, field).strip() for field in FIELDS)
    assert bool(manifest.files) == (name not in TO_FETCH)
    paths = [file.path for file in manifest.files]
    assert len(set(paths)) == len(paths)
    for file in manifest.files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.split in SPLITS
    assert not re.search(r"(^|[\s\"'=])/[a-z]+/", (FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def test_a_file_belongs_to_one_data_set() -> None:
    paths = [file.path for manifest in load_all().values() for file in manifest.files]
    assert len(set(paths)) == len(paths)
    sums = [file.sha256 for manifest in load_all().values() for file in manifest.files]
    assert len(set(sums)) == len(sums)


def test_no_subject_is_in_two_splits() -> None:
    for manifest in load_all().values():
        subjects: dict[str, set[str]] = {}
        for file in manifest.files:
            subject = re.search(r"sub-\d+|patient\d+|M\d{4}", file.path)
            if subject:
                subjects.setdefault(subject[0], set()).add(file.split)
        assert {s: v for s, v in subjects.items() if len(v) > 1} == {}, manifest.name


def test_splits_are_as_published() -> None:
    brains = load_all()["openneuro_ds002748"]
    assert [len(brains.of_split(split)) for split in ("train", "val", "test")] == [36, 5, 5]
    assert {file.split for file in load_all()["msd_hippocampus"].files} == {"train"}
    with pytest.raises(ValueError, match="not a split"):
        brains.of_split("all")


def test_the_sample_is_the_one_that_was_noted() -> None:
    for manifest in load_all().values():
        for derived in manifest.derived:
            assert checksum(ROOT / derived["path"])[1] == derived["sha256"]
    assert (ROOT / "tests/data/colin27_1x1x4mm.nii.gz").stat().st_size < 2_500_000


@pytest.mark.parametrize(
    ("what", "to"),
    [
        ('sha256 = "a0', 'sha256 = "z0'),
        ('split = "test"', 'split = "holdout"'),
        ('path = "structural', 'path = "/structural'),
        ("bytes = 3510351", "bytes = 0"),
        ("https://", "www."),
        ('name = "colin27"', 'name = "colin"'),
    ],
)
def test_a_spoiled_manifest_is_refused(tmp_path: Path, what: str, to: str) -> None:
    text = (FOLDER / "colin27.toml").read_text(encoding="utf-8")
    assert what in text
    (tmp_path / "colin27.toml").write_text(text.replace(what, to), encoding="utf-8")
    with pytest.raises(ValueError, match="colin27"):
        load(tmp_path / "colin27.toml")


def test_checksum_of_a_folder_is_that_of_its_files_in_order(tmp_path: Path) -> None:
    for name, text in (("b", "2"), ("a", "1")):
        (tmp_path / name).write_bytes(text.encode())
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "x").write_bytes(b"12")
    whole = checksum(tmp_path / "whole")
    (tmp_path / "whole" / "x").unlink()
    (tmp_path / "whole").rmdir()
    assert checksum(tmp_path) == whole


def _all_files() -> list[tuple[Manifest, DataFile]]:
    return [(manifest, file) for manifest in load_all().values() for file in manifest.files]


@pytest.mark.data
def test_the_files_are_the_ones_named() -> None:
    folder = data_folder()
    wrong = [f.path for _, f in _all_files() if checksum(folder / f.path) != (f.bytes, f.sha256)]
    assert wrong == []


@pytest.mark.data
def test_the_sample_can_be_made_again() -> None:
    import nibabel as nib
    import numpy as np

    from pipelines.benchmarks.make_sample import make

    scan = make(data_folder() / load_all()["colin27"].files[0].path)
    kept = nib.load(ROOT / "tests/data/colin27_1x1x4mm.nii.gz")
    assert np.allclose(kept.affine, scan.grid.affine)
    difference = np.abs(np.asarray(kept.dataobj, dtype=np.float32) - scan.data)
    assert difference.max() <= 1 and np.count_nonzero(difference) < 100  # a rounding may fall either way elsewhere
