"""Raw data on the command line: simulated, looked into, reconstructed, evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medsr.io import open_volume, save_volume
from medsr.simulation.spiral_fmri import save_run
from medsr.volume import Grid, Volume
from tests.cli.conftest import Command, names
from tests.simulation.heads import head
from tests.simulation.runs import small_run


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw.h5"
    save_run(small_run(frames=36), path)
    return path


def test_simulate_info_reconstruct_evaluate(tmp_path: Path, medsr: Command) -> None:
    image, raw = tmp_path / "head.nii.gz", tmp_path / "run" / "raw.h5"
    raw.parent.mkdir()
    save_volume(head(4.0, shape=(44, 52, 40)), image)
    small = (
        "--matrix",
        24,
        "--interleaves",
        4,
        "--coils",
        4,
        "--frames",
        40,
        "--tr",
        2,
        "--seed",
        3,
        "--off-resonance",
        5,
    )
    ran = medsr("simulate", "spiral-fmri", image, "-o", raw, *small)
    assert ran.code == 0, ran.err
    made = ["raw.h5", "raw_activation.nii.gz", "raw_events.tsv", "raw_fieldmap.nii.gz", "raw_protocol.json"]
    assert names(raw.parent) == [*made, "raw_truth.nii.gz"]
    assert medsr("simulate", "spiral-fmri", image, "-o", raw, *small).code == 4
    first = raw.read_bytes()
    assert medsr("simulate", "spiral-fmri", image, "-o", raw, *small, "--force").code == 0
    again = medsr("info", raw, "--json")
    facts = json.loads(again.out)
    assert (facts["frames"], facts["coils"], facts["shape"]) == (40, 4, [24, 24, 1])
    assert any("acceleration 4" in line for line in facts["reconstruct_would"])
    assert len(first) == raw.stat().st_size

    ran = medsr("reconstruct", raw, "--threads", 1)
    assert ran.code == 0, ran.err
    assert "method spiral-fmri-dc" in ran.out
    assert "promise kept" in ran.out
    assert "acceleration 4" in ran.out
    result = nib.load(raw.with_name("raw_desc-sr.nii.gz"))
    truth = nib.load(raw.with_name("raw_truth.nii.gz"))
    assert result.shape == (24, 24, 1, 40)
    assert result.header["pixdim"][4] == 2.0
    np.testing.assert_allclose(result.affine, truth.affine, atol=1e-4)
    np.testing.assert_array_equal(result.get_sform(), result.get_qform())
    tsnr = open_volume(raw.with_name("raw_desc-sr_tsnr.nii.gz"))
    assert tsnr.data.shape == (24, 24, 1)
    assert np.median(tsnr.data[truth.get_fdata().mean(axis=-1) > 0.5]) > 5
    said = json.loads(raw.with_name("raw_desc-sr.json").read_text())
    assert said["RepetitionTime"] == 2.0
    assert said["medsr"]["figures"]["residual_over_noise"] > 0
    page = raw.with_name("raw_desc-sr.html").read_text(encoding="utf-8")
    assert "gridded" in page
    assert "Temporal" in page or "temporal" in page
    raw.with_name("raw_desc-sr.html").unlink()
    ran = medsr("report", raw.with_name("raw_desc-sr.nii.gz"))
    assert ran.code == 0, ran.err
    again_page = raw.with_name("raw_desc-sr.html").read_text(encoding="utf-8")
    assert abs(len(again_page) - len(page)) < 0.02 * len(page)
    assert "gridded" in again_page

    ran = medsr("evaluate", "fmri", raw, "--methods", "gridding,sliding-window", "--json")
    rows = {row["method"]: row for row in json.loads(ran.out)}
    assert rows["sliding-window"]["nrmse"] < rows["gridding"]["nrmse"]
    assert {"ssim", "tsnr", "amplitude_bias", "auc", "false_positives", "transfer"} <= set(rows["gridding"])


def test_the_options_of_raw_data(raw: Path, medsr: Command, tmp_path: Path) -> None:
    field = raw.with_name("raw_fieldmap.nii.gz")
    options = ("--method", "sliding-window", "--coils", 4, "--delay", "1.5,2", "--field-map", field)
    ran = medsr("reconstruct", raw, "-o", tmp_path / "out.nii.gz", "--frames", "4:16", *options, "--threads", 1)
    assert ran.code == 0, ran.err
    for words in ("compressed to 4", "delayed by 1.5, 2 µs", "time segments"):
        assert words in ran.out
    assert open_volume(tmp_path / "out.nii.gz").frames == 12
    ran = medsr("reconstruct", raw, "-o", tmp_path / "late.nii.gz", "--delay", "auto", "--method", "gridding")
    assert "the delay is estimated from the data" in ran.out
    ran = medsr("reconstruct", raw, "-o", tmp_path / "four.nii.gz", "--readouts", 4, "--method", "cg-sense")
    assert open_volume(tmp_path / "four.nii.gz").frames == 9
    assert nib.load(tmp_path / "four.nii.gz").header["pixdim"][4] == 8.0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--method", "spline"), 2, "spline is a method for images, not for raw data"),
        (("--spacing", "1"), 2, "--spacing: this is raw data"),
        (("--noise", "0"), 2, "--noise: this is raw data"),
        (("--coils", "99"), 2, "no such number of virtual coils"),
        (("--frames", "40:50"), 3, "no slice or no frame is selected"),
        (("--readouts", "1000"), 3, "cannot have that many readouts"),
        (("--delay", "much"), 2, "--delay is not a delay"),
        (("--field-map", "nowhere.nii.gz"), 3, "nowhere.nii.gz"),
        (("--device", "cuda"), 2, "on the CPU"),
        (("--max-mem", "1MB"), 6, "memory"),
        (("--method", "kt2"), 2, "unknown method"),
    ],
)
def test_one_line_where_it_cannot_be_done(
    raw: Path, medsr: Command, options: tuple[str, ...], code: int, words: str
) -> None:
    before = names(raw.parent)
    ran = medsr("reconstruct", raw, *options)
    assert ran.code == code, ran.err
    assert words in ran.line
    assert names(raw.parent) == before


def test_options_of_raw_data_are_refused_for_an_image(scan: Path, medsr: Command) -> None:
    ran = medsr("reconstruct", scan, "--coils", "4")
    assert ran.code == 2
    assert "--coils: this is an image" in ran.line
    assert "for images" in medsr("reconstruct", scan, "--method", "kt").line


def test_a_field_map_that_lies_elsewhere_is_refused(raw: Path, medsr: Command, tmp_path: Path) -> None:
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = 900
    elsewhere = Volume(np.random.default_rng(0).normal(0, 9, (8, 8, 8)).astype("f4"), Grid((8, 8, 8), affine))
    save_volume(elsewhere, tmp_path / "f.nii.gz")
    ran = medsr("reconstruct", raw, "--method", "gridding", "--field-map", tmp_path / "f.nii.gz")
    assert ran.code == 3
    assert "the field map lies elsewhere than the scan" in ran.line


def test_a_folder_of_raw_data_and_images(raw: Path, medsr: Command, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    raw.rename(folder / "raw.h5")
    ran = medsr("reconstruct", folder, "-o", tmp_path / "out", "--frames", "0:8")
    assert ran.code in (0, 7), ran.err
    assert "raw_desc-sr.nii.gz" in names(tmp_path / "out")


def test_what_evaluation_needs_is_named(raw: Path, medsr: Command) -> None:
    raw.with_name("raw_truth.nii.gz").unlink()
    ran = medsr("evaluate", "fmri", raw)
    assert ran.code == 3
    assert "raw_truth.nii.gz: not there; say where it is with --truth" in ran.line
    assert medsr("evaluate", "fmri", raw, "--methods", "spline").code in (2, 3)


def test_evaluation_draws_what_it_compares(raw: Path, medsr: Command, tmp_path: Path) -> None:
    picture = tmp_path / "c.png"
    ran = medsr("evaluate", "fmri", raw, "--methods", "sliding-window", "--pictures", picture, "--threads", 1)
    assert ran.code == 0, ran.err
    from PIL import Image

    image = np.asarray(Image.open(picture))
    assert image.shape[1] > 300
    assert image.std() > 10
    assert medsr("evaluate", "fmri", raw, "--pictures", picture).code == 4
