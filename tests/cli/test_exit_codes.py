"""What the exit code says, and what stands on stderr beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import medsr.errors
from medsr.cli.main import EXIT_CODES
from medsr.errors import Cancelled, MedsrError, WeightsError
from tests.cli.conftest import Command, names, thick_scan
from tests.io.badfiles import BAD_FILES


def method(monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]) -> None:
    """Puts `run` in the place of every method."""
    monkeypatch.setattr("medsr.reconstruction.load_method", lambda name, using=None, fast=False: run)


def raising(error: BaseException) -> Callable[..., Any]:
    def run(*arguments: object) -> object:
        raise error

    return run


def test_5_weights(scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    method(monkeypatch, raising(WeightsError("the weights of x are missing", hint="medsr models import")))
    ran = medsr("reconstruct", scan)
    assert ran.code == 5
    assert ran.line == f"medsr: error: {scan}: the weights of x are missing; medsr models import"
    assert names(scan.parent) == ["scan.nii.gz"]


def test_6_memory(scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medsr.io.image.ImageHeader.load", None)  # refused before a voxel is read
    ran = medsr("reconstruct", scan, "--max-mem", "100MiB")
    assert ran.code == 6
    assert "scan.nii.gz" in ran.line
    assert "0.10 GiB allowed" in ran.line
    monkeypatch.setattr("medsr.memory.available", lambda: 10 << 20)
    ran = medsr("reconstruct", scan)
    assert ran.code == 6
    assert "0.01 GiB free" in ran.line
    assert names(scan.parent) == ["scan.nii.gz"]


def test_6_insisted_on(scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medsr.memory.available", lambda: 10 << 20)
    assert medsr("reconstruct", scan, "--max-mem", "4GiB").code == 0


def test_6_taken_by_others(scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    method(monkeypatch, raising(MemoryError()))
    ran = medsr("reconstruct", scan)
    assert ran.code == 6
    assert "scan.nii.gz: out of memory" in ran.line
    assert names(scan.parent) == ["scan.nii.gz"]


def test_7_a_promise_was_missed(scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from medsr.methods.interpolation import linear

    method(monkeypatch, linear)
    ran = medsr("reconstruct", scan, "--noise", "0")
    assert ran.code == 7
    assert "a promise of the card of consensus was missed for scan.nii.gz" in ran.line
    assert "promise missed" in ran.out
    assert "wrote" in ran.out
    said = json.loads((scan.parent / "scan_desc-sr.json").read_text(encoding="utf-8"))["medsr"]
    assert said["promises"] == "missed"
    assert [f["level"] for f in said["flags"]] == ["missed"]
    assert (scan.parent / "scan_desc-sr.nii.gz").exists()
    monkeypatch.undo()
    ran = medsr("reconstruct", scan, "--noise", "0", "--method", "linear", "--force")
    assert ran.code == 0, "linear promises nothing"
    assert "promise kept" not in ran.out


def test_0_with_warnings(scan: Path, medsr: Command) -> None:
    (scan.parent / "scan.json").write_text("{broken")
    ran = medsr("reconstruct", scan)
    assert (ran.code, ran.err) == (0, "")
    assert "warning: scan.json: the sidecar cannot be read" in ran.out


def test_8_one_of_three(scan: Path, medsr: Command) -> None:
    bad = BAD_FILES["gzip checksum"].build(scan.parent)
    other = thick_scan(scan.parent / "other.nii")
    ran = medsr("reconstruct", scan, bad, other, "-o", scan.parent / "out")
    assert ran.code == 8
    first, last = ran.err.splitlines()
    assert first.startswith(f"medsr: error: {bad}: ")
    assert last == "medsr: error: 1 of 3 inputs failed; see the lines above"
    assert "out" in names(scan.parent)
    images = [n for n in names(scan.parent / "out") if n.endswith("_desc-sr.nii.gz")]
    assert images == ["other_desc-sr.nii.gz", "scan_desc-sr.nii.gz"]


def test_8_whatever_goes_wrong_with_one(scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that one input does stops the others: not a bug, not a folder without images."""
    from medsr.methods.spline import spline

    (scan.parent / "empty").mkdir()
    other = thick_scan(scan.parent / "other.nii", (9, 12, 6))

    def run(y: Any, *more: Any) -> Any:
        if y.shape[0] == 9:
            raise ZeroDivisionError("a\nbug")
        return spline(y, *more)

    method(monkeypatch, run)
    ran = medsr("reconstruct", other, scan.parent / "empty", scan.parent / "nowhere.nii", scan)
    assert ran.code == 8
    lines = ran.err.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(
        f"medsr: error: {other}: unexpected ZeroDivisionError: a\\nbug; run it again with --debug"
    )
    assert "no image in this folder" in lines[1]
    assert "no such file" in lines[2]
    assert "3 of 4" in lines[3]
    assert (scan.parent / "scan_desc-sr.nii.gz").exists()


def test_1_unexpected(scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    method(monkeypatch, raising(RuntimeError("oh")))
    ran = medsr("reconstruct", scan)
    assert ran.code == 1
    assert "unexpected RuntimeError: oh; run it again with --debug and report it" in ran.line
    ran = medsr("reconstruct", scan, "--debug")
    assert ran.code == 1
    assert "Traceback" in ran.err
    assert "RuntimeError: oh" in ran.err
    assert names(scan.parent) == ["scan.nii.gz"]
    monkeypatch.setattr("medsr.models.card.cards", raising(RuntimeError("oh")))
    assert medsr("models").code == 1


def test_debug_shows_where_and_keeps_the_exit_code(scan: Path, medsr: Command) -> None:
    for place in (0, 1, 2):
        arguments = ["reconstruct", scan.parent / "nowhere.nii"]
        arguments.insert(place, "--debug")
        ran = medsr(*arguments)
        assert ran.code == 3
        assert "Traceback" in ran.err
        assert ran.err.splitlines()[-1] == f"medsr: error: {scan.parent / 'nowhere.nii'}: there is no such file"
    assert "Traceback" not in medsr("reconstruct", scan.parent / "nowhere.nii").err


def test_130_cancelled(scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (KeyboardInterrupt(), Cancelled("stopped by the user")):
        method(monkeypatch, raising(error))
        ran = medsr("reconstruct", scan)
        assert ran.code == 130
        assert names(scan.parent) == ["scan.nii.gz"]


def errors(base: type[MedsrError]) -> list[type[MedsrError]]:
    return [c for s in base.__subclasses__() if s.__module__ == "medsr.errors" for c in (s, *errors(s))]


def test_the_table_in_the_help_is_that_of_the_classes() -> None:
    """Two columns: a code at the start of a line or in its middle."""
    rows: dict[int, str] = {}
    for line in EXIT_CODES.splitlines()[1:]:
        for half in (line[:34], line[34:]):
            code, _, text = half.strip().partition(" ")
            if code.isdigit():
                rows[int(code)] = text.strip()
    assert set(rows) == {0, 1, *(c.exit_code for c in errors(MedsrError))}
    words = {"UsageError": "usage", "InputError": "input", "OutputError": "output", "WeightsError": "weights"}
    words |= {"MemoryLimitError": "memory", "PromiseMissedError": "promise", "SomeFailedError": "some of several"}
    words |= {"Cancelled": "cancelled", "GeometryError": "input"}
    assert {c.__name__ for c in errors(medsr.errors.MedsrError)} == set(words)
    for kind in errors(medsr.errors.MedsrError):
        assert words[kind.__name__] in rows[kind.exit_code]
