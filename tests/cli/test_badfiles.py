"""Every bad file, through the command line: exit code 3, one line, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command, names
from tests.io.badfiles import BAD_FILES


@pytest.mark.parametrize("name", BAD_FILES)
def test_refused(name: str, tmp_path: Path, medsr: Command) -> None:
    path = BAD_FILES[name].build(tmp_path)
    before = names(tmp_path)
    ran = medsr("reconstruct", path, "--max-mem", "1TiB")  # not what the machine of the test has
    assert ran.code == 3, ran
    assert ran.line.startswith("medsr: error: ")
    assert path.name[:200] in ran.line
    assert "folder" in name or BAD_FILES[name].says in ran.line
    assert ran.out == ""
    assert names(tmp_path) == before


@pytest.mark.parametrize("command", ["info", "evaluate", "simulate", "report"])
@pytest.mark.parametrize("name", ["missing", "text", "gzip checksum", "NaN in the sform", "RGB", "nrrd huge"])
def test_by_the_other_commands(name: str, command: str, tmp_path: Path, medsr: Command) -> None:
    path = BAD_FILES[name].build(tmp_path)
    before = names(tmp_path)
    arguments = {
        "info": ["info", path],
        "evaluate": ["evaluate", path, "-r", path],
        "simulate": ["simulate", "lowres", path, "--spacing", "4", "-o", tmp_path / "out.nii"],
        "report": ["report", path],
    }
    ran = medsr(*arguments[command])
    if command == "info" and name == "gzip checksum":  # the header is sound, and that is what info is about
        assert ran.code == 0
        assert "refuse: " in ran.out
    else:
        assert ran.code == 3, ran
        assert "bad." in ran.line
    assert names(tmp_path) == before


def test_folders(tmp_path: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "a_desc-sr.nii.gz").write_text("an earlier result")
    before = names(tmp_path)
    ran = medsr("reconstruct", tmp_path)
    assert ran.code == 3
    assert "no image in this folder" in ran.line
    assert "sub-folders are not searched" in ran.line

    def refuse(folder: object) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("medsr.run.list_images", refuse)
    ran = medsr("reconstruct", tmp_path)
    assert ran.code == 3
    assert "cannot be read; got Permission denied" in ran.line
    assert names(tmp_path) == before
