"""Options that make no sense: exit code 2, one line that names the option or the rule, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from medsr.errors import UsageError
from medsr.job import Job, parse_bytes, parse_psf, parse_spacing
from tests.cli.conftest import Command, names

RECONSTRUCT = [
    ("--spacing", "0"),
    ("--spacing", "-1"),
    ("--spacing=-1",),
    ("--spacing", ""),
    ("--spacing", "nan"),
    ("--spacing", "inf"),
    ("--spacing", "one"),
    ("--spacing", "1,1"),
    ("--spacing", "1,1,1,1"),
    ("--spacing", "1,,1"),
    ("--spacing", "1x1x1"),
    ("--spacing", "0,9"),
    ("--spacing", "1_0"),
    ("--spacing", "1e-9"),
    ("--spacing", "0.05"),
    ("--spacing", "3"),
    ("--spacing", "1,1,3"),
    ("--spacing",),
    ("--slice-thickness", "0"),
    ("--slice-thickness", "-3"),
    ("--slice-thickness", "nan"),
    ("--slice-thickness", "thick"),
    ("--slice-thickness", "1000"),
    ("--slice-thickness", "0.01"),
    ("--psf", "square"),
    ("--psf", "identity"),
    ("--psf", ""),
    ("--psf", "w=gaussian"),
    ("--psf", "z="),
    ("--psf", "z=gaussian,z=boxcar"),
    ("--psf", "gaussian,boxcar"),
    ("--noise", "-1"),
    ("--noise", "nan"),
    ("--noise", "inf"),
    ("--noise", "loud"),
    ("--noise", ""),
    ("--method", "magic"),
    ("--method", ""),
    ("--method", "../spline"),
    ("--negative", "maybe"),
    ("--device", "gpu"),
    ("--device", "cuda:x"),
    ("--device", "cuda:"),
    ("--device", "cuda:²"),
    ("--device", "cuda:-1"),
    ("--device", "cuda:999999"),
    ("--device", "mps:1"),
    ("--max-mem", "0"),
    ("--max-mem", "-1GiB"),
    ("--max-mem", "lots"),
    ("--max-mem", "4XB"),
    ("--max-mem", "1e308GiB"),
    ("--max-mem", "nan"),
    ("--threads", "0"),
    ("--threads", "-2"),
    ("--threads", "1.5"),
    ("--threads", "²"),
    ("--threads", "99999999999999999999"),
    ("--force", "--skip-existing"),
    ("--quiet", "--verbose"),
    ("-q", "--log-json"),
    ("--spac", "1"),
    ("--frobnicate",),
    ("-o", ""),
    ("-o", "out.png"),
    ("-o", "out.hdr"),
    ("-o", "out.mhd"),
    ("-o", "out.dcm"),
    ("-o", ".nii.gz"),
    ("",),
]


@pytest.mark.parametrize("options", RECONSTRUCT, ids=" ".join)
def test_reconstruct(
    options: tuple[str, ...], scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scan.parent)
    before = names(scan.parent)
    ran = medsr("reconstruct", scan, *options)
    assert ran.code == 2, ran
    assert ran.line.startswith("medsr: error: ")
    assert ran.out == ""
    assert names(scan.parent) == before


OTHERS = [
    (),
    ("--frobnicate",),
    ("reconstrukt", "SCAN"),
    ("reconstruct",),
    ("models", "magic"),
    ("models", "spline", "linear"),
    ("info",),
    ("info", "SCAN", "SCAN"),
    ("report",),
    ("simulate",),
    ("simulate", "highres", "SCAN"),
    ("simulate", "lowres", "SCAN", "--spacing", "1,1,6"),
    ("simulate", "lowres", "SCAN", "-o", "out.nii"),
    ("simulate", "lowres", "SCAN", "-o", "out.nii", "--spacing", "0.5"),
    ("simulate", "lowres", "SCAN", "-o", "out.nii", "--spacing", "1,1,3"),
    ("simulate", "lowres", "SCAN", "-o", "out.nii", "--spacing", "1,1,300"),
    ("simulate", "lowres", "SCAN", "-o", "out.nii", "--spacing", "1,1,6", "--noise", "-1"),
    ("simulate", "lowres", "SCAN", "-o", "out.nii", "--spacing", "1,1,6", "--noise", "101"),
    ("simulate", "lowres", "SCAN", "-o", "out.nii", "--spacing", "1,1,6", "--seed", "1.5"),
    ("simulate", "lowres", "SCAN", "-o", "out.nii", "--spacing", "1,1,6", "--seed", "-1"),
    ("simulate", "lowres", "SCAN", "-o", "out.nii", "--spacing", "1,1,6", "--psf", "round"),
    ("simulate", "lowres", "SCAN", "-o", "folder/", "--spacing", "1,1,6"),
    ("simulate", "lowres", "SCAN", "-o", "out.png", "--spacing", "1,1,6"),
    ("evaluate", "SCAN"),
    ("evaluate", "-r", "SCAN"),
    ("evaluate", "SCAN", "-r", "SCAN", "--range", "0"),
    ("evaluate", "SCAN", "-r", "SCAN", "--range", "wide"),
    ("evaluate", "SCAN", "-r", "SCAN", "--border", "-1"),
    ("evaluate", "SCAN", "-r", "SCAN", "--border", "²"),
    ("evaluate", "SCAN", "-r", "SCAN", "--border", "100"),
    ("evaluate", "SCAN", "-r", "SCAN", "--central", "0"),
    ("evaluate", "SCAN", "-r", "SCAN", "--format", "html"),
]


@pytest.mark.parametrize("options", OTHERS, ids=" ".join)
def test_other_commands(
    options: tuple[str, ...], scan: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scan.parent)
    before = names(scan.parent)
    ran = medsr(*(str(scan) if o == "SCAN" else o for o in options))
    assert ran.code == 2, ran
    assert ran.line.startswith("medsr: error: ")
    assert ran.out == ""
    assert names(scan.parent) == before


def test_the_line_says_which_and_what_to_do(scan: Path, medsr: Command) -> None:
    line = medsr("reconstruct", scan, "--spacing", "1,2").line
    assert line == "medsr: error: --spacing is not a voxel size; got '1,2'; give mm, e.g. 1 or 0.9,0.9,1"
    assert "linear, bspline, spline" in medsr("reconstruct", scan, "--method", "magic").line
    assert "see medsr reconstruct --help" in medsr("reconstruct").line
    assert (
        "choose a --spacing of 0.0833 mm or more along x" in medsr("reconstruct", scan, "--spacing", "0.05").line
    )
    assert "scan.nii.gz" in medsr("reconstruct", scan, "--spacing", "0.05").line


def test_what_options_mean() -> None:
    assert parse_spacing("0.9,0.9,1") == (0.9, 0.9, 1.0)
    assert parse_spacing(" 1. ") == (1.0, 1.0, 1.0)
    assert parse_psf("x=KSPACE, z = boxcar") == {"x": "kspace", "z": "boxcar"}
    sizes = {
        "4GiB": 4 << 30,
        "4G": 4 << 30,
        "4 gib": 4 << 30,
        "500MB": 500 * 10**6,
        "1.5k": 1536,
        "7": 7,
        "2T": 2 << 40,
    }
    assert {text: parse_bytes(text) for text in sizes} == sizes


def test_a_job_from_python_is_checked() -> None:
    for wrong in (
        {"inputs": ("",)},
        {"output": ""},
        {"inputs": ("a\0b",)},
        {"force": True, "skip_existing": True},
    ):
        with pytest.raises(UsageError):
            Job(**wrong)
