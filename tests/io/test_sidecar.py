"""What a BIDS sidecar adds to a scan, and what a bad one cannot do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsr.io import open_header, open_volume
from medsr.volume import ScanFacts, Volume
from tests.io.files import meta_file, nifti_file, values

MATRIX = np.diag([1.0, 1.0, 5.0, 1.0])


def scan(tmp_path: Path, fields: Any, *, series: bool = False, **raw: Any) -> Volume:
    """A 1 x 1 x 5 mm scan with a sidecar: fields, or text, or bytes."""
    header = {k.replace("_at_", "."): v for k, v in raw.items()}
    data = values((6, 5, 4, 3) if series else (6, 5, 4))
    path = nifti_file(tmp_path / "sub-01_T2w.nii.gz", data, matrix=MATRIX, raw=header)
    content = (
        fields
        if isinstance(fields, bytes)
        else (fields if isinstance(fields, str) else json.dumps(fields)).encode()
    )
    (tmp_path / "sub-01_T2w.json").write_bytes(content)
    return open_volume(path)


def test_all_that_it_may_say(tmp_path: Path) -> None:
    fields = {
        "SliceThickness": 4,
        "SpacingBetweenSlices": 5.0,
        "MRAcquisitionType": "2D",
        "RepetitionTime": 3.2,
        "EchoTime": 0.085,
        "SliceEncodingDirection": "k-",
        "Manufacturer": "x",
        "Modality": "MR",
    }
    volume = scan(tmp_path, fields)
    assert volume.facts == ScanFacts(slice_thickness=4.0, acquisition_type="2D", slice_axis=2, tr=3.2, te=0.085)
    assert volume.notes == ()
    assert open_header(tmp_path / "sub-01_T2w.nii.gz").facts == volume.facts


def test_of_other_formats(tmp_path: Path) -> None:
    (tmp_path / "scan.json").write_text('{"EchoTime": 0.03}')
    assert open_volume(meta_file(tmp_path / "scan.mha")).facts.te == 0.03


def test_byte_order_mark(tmp_path: Path) -> None:
    assert scan(tmp_path, b'\xef\xbb\xbf{"EchoTime": 0.03}').facts.te == 0.03


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"EchoTime": ' + b"9" * 6000 + b"}", "cannot be read"),
        (b"[1, 2]", "no JSON object"),
        (b"null", "no JSON object"),
        (b'"text"', "no JSON object"),
        (b" " * (17 << 20), "absurdly large"),
    ],
)
def test_broken_ones_are_noted(content: bytes, says: str, tmp_path: Path) -> None:
    volume = scan(tmp_path, content)
    assert volume.facts == ScanFacts()
    (note,) = volume.notes
    assert says in note
    assert "sub-01_T2w.json" in note
    assert note.isprintable()


@pytest.mark.parametrize("key", ["SliceThickness", "SpacingBetweenSlices", "RepetitionTime", "EchoTime"])
@pytest.mark.parametrize(
    "value", ["3", -1, 1e9, True, [3], {}, float("nan"), float("inf"), 10**400, "a\nb\x1b[31m"]
)
def test_values_that_are_none_are_noted(key: str, value: Any, tmp_path: Path) -> None:
    volume = scan(tmp_path, {key: value})
    assert volume.facts == ScanFacts()
    (note,) = volume.notes
    assert f"{key} is " in note
    assert note.isprintable()


def test_zero_and_null_mean_unknown(tmp_path: Path) -> None:
    volume = scan(tmp_path, {"SliceThickness": 0, "EchoTime": None})
    assert volume.facts == ScanFacts()
    assert volume.notes == ()


def test_times_in_milliseconds_are_not_believed(tmp_path: Path) -> None:
    assert "EchoTime is 85" in scan(tmp_path, {"EchoTime": 85}).notes[0]


@pytest.mark.parametrize("kind", ["4D", 2, None, ["2D"]])
def test_odd_acquisition_types(kind: Any, tmp_path: Path) -> None:
    volume = scan(tmp_path, {"MRAcquisitionType": kind})
    assert volume.facts.acquisition_type is None
    assert bool(volume.notes) == (kind is not None)


@pytest.mark.parametrize("direction", ["", "x", 3, None, ["k"]])
def test_odd_slice_directions(direction: Any, tmp_path: Path) -> None:
    assert scan(tmp_path, {"SliceEncodingDirection": direction}).facts.slice_axis is None


def test_the_header_tells_the_slice_axis(tmp_path: Path) -> None:
    volume = scan(tmp_path, {"SliceEncodingDirection": "i"}, dim_info=3 << 4)
    assert volume.facts.slice_axis == 2
    assert "the header is used" in volume.notes[0]


def test_another_spacing_between_slices_is_noted(tmp_path: Path) -> None:
    assert "resampled" in scan(tmp_path, {"SpacingBetweenSlices": 4.4}).notes[0]
    assert "resampled" in scan(tmp_path, {"SpacingBetweenSlices": 1.0, "SliceEncodingDirection": "k"}).notes[0]
    assert scan(tmp_path, {"SpacingBetweenSlices": 5.02}).notes == ()


def test_another_modality_is_noted(tmp_path: Path) -> None:
    assert "CT" in scan(tmp_path, {"Modality": "CT"}).notes[0]


@pytest.mark.parametrize(("series", "tr"), [(True, 2.0), (False, 2.5)])
def test_repetition_time_of_both(series: bool, tr: float, tmp_path: Path) -> None:
    """That of a series is its sampling, so the header's stays; a single volume's is the sidecar's to tell."""
    volume = scan(tmp_path, {"RepetitionTime": 2.5}, series=series, pixdim_at_4=2.0)
    assert volume.facts.tr == tr
    assert "RepetitionTime is 2.5 s, the image's header says 2 s" in volume.notes[0]
    assert scan(tmp_path, {"RepetitionTime": 2.0}, series=series, pixdim_at_4=2.0).notes == ()
