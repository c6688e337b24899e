"""Each command at its work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from medsr.io import open_volume, save_volume
from medsr.models.card import cards
from medsr.volume import Grid, Volume
from tests.cli.conftest import Command, names, thick_scan
from tests.conftest import GRIDS, smooth_head
from tests.io.badfiles import BAD_FILES


def test_simulate_reconstruct_evaluate(tmp_path: Path, medsr: Command) -> None:
    """The round trip: the default method beats plain resampling."""
    truth = tmp_path / "head.nii.gz"
    save_volume(Volume(smooth_head((40, 40, 40)), Grid((40, 40, 40), np.eye(4))), truth)
    thick = tmp_path / "thick.nii.gz"
    ran = medsr("simulate", "lowres", truth, "--spacing", "1,1,4", "--noise", "1", "--seed", "3", "-o", thick)
    assert ran.code == 0
    assert ran.out.splitlines()[:2] == [f"wrote {thick}", f"wrote {tmp_path / 'thick.json'}"]
    assert json.loads((tmp_path / "thick.json").read_text())["SliceThickness"] == 4
    for method in ("bspline", "spline"):
        ran = medsr("reconstruct", thick, "--method", method, "-o", tmp_path / f"{method}.nii.gz")
        assert ran.code == 0
        assert "slice thickness 4 mm, by the header" in ran.out
    ran = medsr(
        "evaluate", tmp_path / "bspline.nii.gz", tmp_path / "spline.nii.gz", "-r", truth, "--format", "json"
    )
    plain, ours = json.loads(ran.out)
    assert ours["psnr"] > plain["psnr"] + 0.2
    assert ours["nrmse"] < plain["nrmse"]
    assert ours["ssim"] > plain["ssim"]
    # the same seed, the same scan
    again = tmp_path / "again.nii.gz"
    medsr("simulate", "lowres", truth, "--spacing", "1,1,4", "--noise", "1", "--seed", "3", "-o", again)
    assert again.read_bytes() == thick.read_bytes()


def test_evaluate_with_a_mask(tmp_path: Path, medsr: Command) -> None:
    scan = thick_scan(tmp_path / "a" / "scan.nii.gz")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    mask = tmp_path / "mask.nii.gz"
    volume = open_volume(scan)
    save_volume(volume.with_data(np.ones_like(volume.data)), mask)  # every voxel the same, and a mask all the same
    other = tmp_path / "b" / "scan.nii.gz"
    ran = medsr("evaluate", scan, other, "-r", scan, "--mask", mask, "--border", "1", "--range", "100")
    assert ran.code == 0, ran
    assert "inf" in ran.out
    assert "range 0 to 100 (as given)" in ran.out
    assert str(scan) in ran.out
    assert str(other) in ran.out, "one name, two folders"
    ran = medsr("evaluate", scan, "-r", scan, "--mask", tmp_path / "nowhere.nii")
    assert ran.code == 3
    assert "nowhere.nii: there is no such file" in ran.line
    other_grid = thick_scan(tmp_path / "other.nii.gz", (9, 12, 6))
    assert medsr("evaluate", other_grid, "-r", scan).code in (0, 3)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_report_again(suffix: str, tmp_path: Path, medsr: Command) -> None:
    scan = thick_scan(tmp_path / "scans" / "scan.nii.gz")
    image = tmp_path / "results" / f"scan{suffix}"
    assert medsr("reconstruct", scan, "-o", image, "--no-report").code == 0
    report = tmp_path / "results" / "scan.html"
    assert not report.exists()
    ran = medsr("report", image)
    assert ran.code == 3
    assert "with --scan" in ran.line
    ran = medsr("report", image, "--scan", scan)
    assert (ran.code, ran.out) == (0, f"wrote {report}\n")
    assert "scan.nii.gz" in report.read_text(encoding="utf-8")
    assert medsr("report", image, "--scan", scan).code == 4
    assert medsr("report", image, "--scan", scan, "--force").code == 0
    picture = tmp_path / "picture.png"
    assert medsr("report", image, "--scan", scan, "--picture", picture).code == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_report_of_a_residual_that_is_zero(scan: Path, medsr: Command) -> None:
    """Maps may be all zero, which a scan may not."""
    assert medsr("reconstruct", scan).code == 0
    residual = scan.parent / "scan_desc-sr_residual.nii.gz"
    volume = open_volume(scan)
    save_volume(volume.with_data(np.zeros_like(volume.data)), residual, force=True)
    assert medsr("report", scan.parent / "scan_desc-sr.nii.gz", "--force").code == 0


@pytest.mark.parametrize(
    "sidecar",
    [
        None,
        "{",
        "[]",
        "{}",
        '{"medsr": 1}',
        '{"medsr": {"input": {"name": "../../etc/passwd"}}}',
        '{"medsr": {"input": {"name": ""}}}',
        '{"medsr": {"input": {"name": "scan.nii.gz"}}}',
        '{"medsr": {"input": {"name": ["scan.nii.gz"]}, "method": 5, "figures": 7}}',
        "[" * 100_000,
    ],
)
def test_report_without_a_sidecar_of_ours(sidecar: str | None, scan: Path, medsr: Command) -> None:
    assert medsr("reconstruct", scan, "--no-report").code == 0
    path = scan.parent / "scan_desc-sr.json"
    path.write_text(sidecar) if sidecar is not None else path.unlink()
    before = names(scan.parent)
    ran = medsr("report", scan.parent / "scan_desc-sr.nii.gz")
    assert ran.code == 3, ran
    assert len(ran.line) < 1000
    assert names(scan.parent) == before


def test_models(medsr: Command) -> None:
    listed = medsr("models").out.splitlines()
    assert [line.split()[0] for line in listed] == list(cards())
    assert len({line.index(c.summary) for line, c in zip(listed, cards().values(), strict=True)}) == 1, "aligned"
    assert [line.split()[0] for line in listed if " The default for " in line] == [
        c.name for c in cards().values() if c.default
    ]
    assert [c["name"] for c in json.loads(medsr("models", "--json").out)] == list(cards())
    for name, card in cards().items():
        ran = medsr("models", name)
        assert card.summary in ran.out
        assert card.citation in ran.out
        assert not {"{", "None", "True", "False"} & set(ran.out.replace("{", " { ").split()), "no Python in it"
        assert json.loads(medsr("models", name, "--json").out)[0]["name"] == name
    assert "‖A x - y‖ at most 0.001 ‖y‖" in medsr("models", "spline").out


@pytest.mark.parametrize("name", GRIDS)
def test_info(name: str, tmp_path: Path, medsr: Command) -> None:
    grid = GRIDS[name]
    path = tmp_path / "scan.nii.gz"
    save_volume(Volume(smooth_head(grid.shape) + 1, grid), path)
    facts = json.loads(medsr("info", path, "--json").out)
    assert facts["shape"] == list(grid.shape)
    assert facts["spacing_mm"] == pytest.approx(list(grid.spacing), abs=1e-5)
    assert facts["centre_mm"] == pytest.approx(grid.centre.tolist(), abs=1e-3)
    assert facts["axes"] == {"flipped": "LAI", "left-handed": "LAS", "sagittal": "RSP"}.get(name, "RAS")
    assert "noise" in facts
    assert facts["reconstruct_would"][-1].startswith("give ")
    text = medsr("info", path).out
    assert " x ".join(map(str, grid.shape)) in text
    assert not set("[]{}'") & set(text.replace(str(path), ""))
    header = json.loads(medsr("info", path, "--json", "--header-only").out)
    assert "noise" not in header
    assert header["reconstruct_would"][-1] == facts["reconstruct_would"][-1]


def test_info_of_what_would_be_refused(tmp_path: Path, medsr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, says in [("all NaN", "NaN"), ("gzip checksum", "damaged"), ("constant", "the same")]:
        folder = tmp_path / name
        folder.mkdir()
        ran = medsr("info", BAD_FILES[name].build(folder))
        assert ran.code == 0
        assert "shape" in ran.out
        assert "refuse: " in ran.out
        assert says in ran.out
    scan = thick_scan(tmp_path / "scan.nii", (8, 8, 1))
    assert "refuse: there is one slice only" in medsr("info", scan, "--header-only").out
    monkeypatch.setattr("medsr.memory.available", lambda: 1 << 20)
    monkeypatch.setattr("medsr.io.image.ImageHeader.load", None)  # voxels for which there is no room are not read
    ran = medsr("info", thick_scan(tmp_path / "large.nii"))
    assert ran.code == 0
    assert "too large for the memory that is free" in ran.out


def test_quiet_and_verbose(scan: Path, medsr: Command) -> None:
    ran = medsr("reconstruct", scan, "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert "exists already" in medsr("reconstruct", scan, "-q").line
    assert medsr("reconstruct", scan, "-q", "--skip-existing").out == ""
    plain = medsr("reconstruct", scan, "--force").out
    wordy = medsr("reconstruct", scan, "--force", "-v").out
    assert set(plain.splitlines()) < set(wordy.splitlines())
    assert "reconstruct 0." in wordy


def test_log_json(scan: Path, medsr: Command) -> None:
    bad = BAD_FILES["RGB"].build(scan.parent)
    done = thick_scan(scan.parent / "done.nii")
    assert medsr("reconstruct", done).code == 0
    ran = medsr("reconstruct", scan, bad, done, "--skip-existing", "--log-json")
    assert ran.code == 8
    events = [json.loads(line) for line in ran.out.splitlines()]
    kinds = [e["event"] for e in events]
    assert [k for k in kinds if k != "progress"] == ["started", "done", "started", "failed", "skipped", "finished"]
    first, *_, last = events
    assert first == {"event": "started", "input": str(scan), "number": 1, "total": 3}
    assert last["exit_code"] == 8
    fractions = [e["fraction"] for e in events if e["event"] == "progress"]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] <= 1
    finished = next(e for e in events if e["event"] == "done")
    assert finished["promises"] == "kept"
    assert all(Path(p).exists() for p in finished["written"])
    failed = next(e for e in events if e["event"] == "failed")
    assert failed["exit_code"] == 3
    assert "RGB" in failed["error"]
    assert len(ran.err.splitlines()) == 2, "people are told too"


def test_a_folder_is_searched_for_scans(tmp_path: Path, medsr: Command) -> None:
    for name in ("a.nii.gz", "b.nrrd", ".hidden.nii", "deep/c.nii"):
        thick_scan(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    assert medsr("reconstruct", tmp_path).code == 0
    assert [n for n in names(tmp_path) if n.endswith("_desc-sr.nii.gz")] == [
        "a_desc-sr.nii.gz",
        "b_desc-sr.nii.gz",
    ]
    ran = medsr("reconstruct", tmp_path, "--skip-existing")
    assert ran.code == 0
    assert ran.out.count("skipped") == 2, "results are no scans"
