"""Finding and choosing a series."""

from __future__ import annotations

import pytest

from medsr.errors import GeometryError, InputError
from medsr.io.dicom import choose_series, list_series, read
from tests.io.dicom.synthetic import GEOMETRIES, numbers, write_classic


def add(folder, number, description, shape=(4, 4, 5), geometry="axial"):
    def edit(one, time, place):
        one.SeriesDescription = description

    return write_classic(folder / f"s{number}", numbers(*shape), GEOMETRIES[geometry], seed=number, edit=edit)


@pytest.fixture
def study(tmp_path):
    """A localiser (1), a T1w (3), a broken series (5), a FLAIR (12)."""
    add(tmp_path / "deep" / "er", "12", "Axial T2 FLAIR")
    add(tmp_path, "3", "sag t1 mprage", (6, 4, 3), "oblique sagittal")
    add(tmp_path, "1", "3-plane Localizer")
    add(tmp_path, "5", "t1 broken", (4, 4, 7))[3].unlink()
    return tmp_path


def test_listing(study):
    found = list_series(study)
    assert [info.number for info in found] == [1, 3, 5, 12]
    assert [info.localiser for info in found] == [True, False, False, False]
    assert [info.count for info in found] == [5, 3, 6, 5]
    assert found[1].grid is not None
    assert found[1].grid.shape == (6, 4, 3)
    assert "missing slices" in (found[2].reason or "")
    assert found[1].describe() == "3 (MR, 3 images): 6 x 4 x 3 voxels of 1.1 x 0.6 x 0.9 mm, sagittal"


def test_choosing_by_number_uid_and_description(study):
    found = list_series(study)
    flair = found[3]
    for selector in ("12", flair.uid, "axial t2 flair", "FLAIR"):
        assert choose_series(found, selector) is flair
    assert choose_series(found, "1").localiser
    assert read(study, "mprage").data.shape == (6, 4, 3)


def test_several_fit_and_are_listed_without_descriptions(study):
    with pytest.raises(
        InputError, match=r"2 series fit; got 3 \(MR, 3 images\).* \| 12 \(MR, 5 images\)"
    ) as caught:
        read(study)
    assert "--series" in str(caught.value)
    assert "mprage" not in str(caught.value)


def test_nothing_is_called_so(study):
    with pytest.raises(
        InputError, match=r"no series are called so; got 1 .* \| 3 .* \| 5 .*missing slices.* \| 12"
    ):
        read(study, "T2*")


def test_several_are_called_so(study):
    with pytest.raises(InputError, match=r"3 series are called so; got 1 .* \| 3 .* \| 12 "):
        read(study, "a")


def test_a_broken_one_says_why(study):
    with pytest.raises(GeometryError, match=r"series 5: missing slices; got 1 between"):
        read(study, "5")


def test_the_only_one_that_fits_is_taken(tmp_path):
    """Localisers and broken series do not stand in the way."""
    add(tmp_path, "1", "localizer")
    add(tmp_path, "5", "t1 broken", (4, 4, 7))[3].unlink()
    add(tmp_path, "7", "t2", (4, 4, 6))
    assert read(tmp_path).data.shape == (4, 4, 6)


def test_equal_numbers_are_told_apart_by_uid(tmp_path):
    add(tmp_path, "7", "a")
    add(tmp_path, "7.5", "b")
    with pytest.raises(InputError, match=r"UID 1\.2\.826\.1\.6\.7: .*UID 1\.2\.826\.1\.6\.7\.5: "):
        read(tmp_path, "7")
    assert read(tmp_path, "1.2.826.1.6.7.5").data.shape == (4, 4, 5)


def test_a_broken_file_is_said(tmp_path):
    add(tmp_path, "7", "a")
    (tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM" + bytes(40))
    volume = read(tmp_path)
    assert any("broken.dcm" in note for note in volume.notes)
