"""``medsr batch``: the table, resuming by content, shards, kills."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from medsr.io import open_volume
from tests.cli.conftest import Command, names, program, thick_scan

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


def table(folder: Path, name: str = "outcomes.csv") -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def statuses(folder: Path, name: str = "outcomes.csv") -> list[str]:
    return [row["status"] for row in table(folder, name)]


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Three scans in two folders, and one that is broken."""
    for name in ("s1/a.nii.gz", "s1/b.nii", "s2/a.nii.gz"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        thick_scan(tmp_path / "in" / name, seed=len(name))
    (tmp_path / "in" / "s2" / "broken.nii.gz").write_bytes(b"no image")
    return tmp_path / "in"


def test_outcomes_of_a_folder(cohort: Path, tmp_path: Path, medsr: Command) -> None:
    out = tmp_path / "out"
    ran = medsr("batch", cohort, "-o", out)
    assert ran.code == 8
    assert "1 of 4 scans failed" in ran.err.splitlines()[-1]
    assert "broken.nii.gz" in ran.err.splitlines()[0]
    rows = table(out)
    assert [(Path(row["input"]).name, row["status"], row["exit_code"]) for row in rows] == [
        ("a.nii.gz", "done", "0"),
        ("b.nii", "done", "0"),
        ("a.nii.gz", "done", "0"),
        ("broken.nii.gz", "failed", "3"),
    ]
    assert rows[0]["output"] == "s1/a_desc-sr.nii.gz"
    assert rows[0]["before"] == "10 x 12 x 6 of 1 x 1 x 3 mm"
    assert rows[0]["after"] == "10 x 12 x 18 of 1 x 1 x 1 mm"
    assert rows[0]["promises"] == "kept"
    assert float(rows[0]["memory_gib"]) > 0
    for row in rows[:3]:
        said = json.loads((out / row["output"].replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
        assert said["medsr"]["outputs"][Path(row["output"]).name] == row["sha256"]
    html = (out / "outcomes.html").read_text(encoding="utf-8")
    assert html.count("<tr>") == 5
    assert "s1/a_desc-sr.html" in html
    assert "still running" not in html


def test_what_is_finished_is_passed_over(cohort: Path, tmp_path: Path, medsr: Command) -> None:
    out = tmp_path / "out"
    medsr("batch", cohort, "-o", out)
    stamps = {name: (out / name).stat().st_mtime_ns for name in names(out) if name.endswith(".nii.gz")}
    ran = medsr("batch", cohort, "-o", out)
    assert statuses(out) == ["unchanged"] * 3 + ["failed"]
    assert ran.out.count("is finished") == 3
    assert {name: (out / name).stat().st_mtime_ns for name in stamps} == stamps
    # as it is when the files are copied elsewhere: what counts is what is in them
    shutil.copytree(out, tmp_path / "moved")
    medsr("batch", cohort, "-o", tmp_path / "moved")
    assert statuses(tmp_path / "moved") == ["unchanged"] * 3 + ["failed"]


@pytest.mark.parametrize(
    "harm", ["cut", "changed", "residual gone", "report gone", "no sidecar's checksum", "input"]
)
def test_what_is_not_finished_is_made_again(harm: str, cohort: Path, tmp_path: Path, medsr: Command) -> None:
    out = tmp_path / "out"
    medsr("batch", cohort, "-o", out)
    image, residual = out / "s1" / "a_desc-sr.nii.gz", out / "s1" / "a_desc-sr_residual.nii.gz"
    whole = image.read_bytes()
    if harm == "cut":
        image.write_bytes(whole[:-100])
    elif harm == "changed":
        image.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif harm == "residual gone":
        residual.unlink()
    elif harm == "report gone":
        (out / "s1" / "a_desc-sr.html").unlink()
    elif harm == "no sidecar's checksum":
        sidecar = out / "s1" / "a_desc-sr.json"
        said = json.loads(sidecar.read_text(encoding="utf-8"))
        del said["medsr"]["outputs"]
        sidecar.write_text(json.dumps(said), encoding="utf-8")
    else:
        (cohort / "s1" / "a.nii.gz").unlink()
        thick_scan(cohort / "s1" / "a.nii.gz", seed=99)
    medsr("batch", cohort, "-o", out)
    assert statuses(out) == ["done", "unchanged", "unchanged", "failed"]
    assert (image.read_bytes() == whole) is (harm != "input")
    assert residual.exists()


def test_results_that_were_made_otherwise_stay(cohort: Path, tmp_path: Path, medsr: Command) -> None:
    out = tmp_path / "out"
    medsr("batch", cohort, "-o", out)
    before = (out / "s1" / "a_desc-sr.nii.gz").read_bytes()
    (out / "s2" / "a_desc-sr.json").unlink()  # so this one is nobody's
    ran = medsr("batch", cohort, "-o", out, "--spacing", "1.5")
    assert ran.code == 8
    rows = table(out)
    assert [row["exit_code"] for row in rows] == ["4", "4", "4", "3"]
    assert "made otherwise; got another options; --force" in rows[0]["message"]
    assert "no sidecar of medsr beside it" in rows[2]["message"]
    assert (out / "s1" / "a_desc-sr.nii.gz").read_bytes() == before
    assert medsr("batch", cohort, "-o", out, "--spacing", "1.5", "--force").code == 8
    assert statuses(out) == ["done"] * 3 + ["failed"]
    # options that shape nothing are no difference
    medsr("batch", cohort, "-o", out, "--spacing", "1.5", "--threads", "1", "--max-mem", "2GiB", "--no-report")
    assert statuses(out) == ["unchanged"] * 3 + ["failed"]


def test_shards_make_the_whole(cohort: Path, tmp_path: Path, medsr: Command) -> None:
    (cohort / "s2" / "broken.nii.gz").unlink()
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert medsr("batch", cohort, "-o", whole).code == 0
    for shard in ("1/2", "2/2"):
        assert medsr("batch", cohort, "-o", parts, "--shard", shard).code == 0
    assert len(table(parts, "outcomes-1-of-2.csv")) == 2
    assert len(table(parts, "outcomes-2-of-2.csv")) == 1
    for name in names(whole):
        if name.endswith(".nii.gz"):
            assert (whole / name).read_bytes() == (parts / name).read_bytes()
    assert medsr("batch", cohort, "-o", parts).code == 0
    assert statuses(parts) == ["unchanged"] * 3


def test_options_of_a_list(cohort: Path, tmp_path: Path, medsr: Command) -> None:
    (cohort / "list.csv").write_text("input,spacing,output\ns1/a.nii.gz,1.5,x\ns1/b.nii,,y\nnone.nii,,\n")
    out = tmp_path / "out"
    assert medsr("batch", cohort / "list.csv", "-o", out, "--noise", "0").code == 8
    assert open_volume(out / "x" / "a_desc-sr.nii.gz").grid.spacing == pytest.approx((1.5, 1.5, 1.5))
    assert open_volume(out / "y" / "b_desc-sr.nii.gz").grid.spacing == pytest.approx((1, 1, 1))
    assert [row["exit_code"] for row in table(out)] == ["0", "0", "3"]


def test_memory_is_planned_for_each(cohort: Path, tmp_path: Path, medsr: Command) -> None:
    thick_scan(cohort / "s1" / "large.nii", (64, 64, 40))
    ran = medsr("batch", cohort, "-o", tmp_path / "out", "--spacing", "0.5", "--max-mem", "360MiB")
    rows = {Path(row["input"]).name: row["exit_code"] for row in table(tmp_path / "out")}
    assert rows == {"a.nii.gz": "0", "b.nii": "0", "broken.nii.gz": "3", "large.nii": "6"}
    assert "too large for --max-mem" in ran.err


def test_two_scans_of_one_name(tmp_path: Path, medsr: Command) -> None:
    for name in ("a.nii", "a.nii.gz"):
        (tmp_path / "in").mkdir(exist_ok=True)
        thick_scan(tmp_path / "in" / name, seed=len(name))
    assert medsr("batch", tmp_path / "in", "-o", tmp_path / "out").code == 8
    rows = table(tmp_path / "out")
    assert [row["status"] for row in rows] == ["done", "failed"]
    assert "would have the same output" in rows[1]["message"]


def test_wrong_batches(cohort: Path, tmp_path: Path, medsr: Command) -> None:
    for arguments, code in [
        ((cohort,), 2),  # no -o
        ((cohort, "-o", tmp_path / "o", "--shard", "3/2"), 2),
        ((cohort, "-o", tmp_path / "o", "--method", "magic"), 2),
        ((tmp_path / "none", "-o", tmp_path / "o"), 3),
        ((cohort, "-o", cohort / "s1" / "b.nii"), 4),
    ]:
        ran = medsr("batch", *arguments)
        assert (ran.code, ran.out) == (code, "")
        assert ran.line.startswith("medsr: error: ")
    assert not (tmp_path / "o").exists()


def test_the_table_is_no_program(tmp_path: Path, medsr: Command) -> None:
    """Names that a spreadsheet would take for a formula, and a browser for markup."""
    folder = tmp_path / "in" / "=1+1"
    folder.mkdir(parents=True)
    (folder / "<b>x.nii").write_bytes(b"none")
    (tmp_path / "list.csv").write_text("input\nin/=1+1/<b>x.nii\n=nothing\n")
    medsr("batch", tmp_path / "list.csv", "-o", tmp_path / "out")
    assert "<b>x" not in (tmp_path / "out" / "outcomes.html").read_text(encoding="utf-8")
    assert all(not value.startswith("=") for row in table(tmp_path / "out") for value in row.values())


@posix
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nifti", "dicom"])
def test_fifty_kills(kind: str, tmp_path: Path) -> None:
    """Eight scans, killed at random times: what has its name is whole, nothing is made twice, and in the end all
    is as if nothing had happened.
    """
    chance = random.Random(11)
    for i in range(8):
        thick_scan(tmp_path / "in" / f"{i}.nii.gz", (48, 48, 16), seed=i)
    common = ["batch", tmp_path / "in", "--threads", "1", "--format", kind, "--log-json"]
    finish(*common, "-o", tmp_path / "reference")
    whole = voxels(tmp_path / "reference")
    assert len(whole) == (8 * 3 if kind == "nifti" else 8 * (48 + 1))
    out = tmp_path / "out"
    made: dict[str, int] = {}
    kills = again = 0
    while kills < 50:
        if len(made) == 8:  # all done before all kills were spent: begin anew
            shutil.rmtree(out)
            made.clear()
            again += 1
        child = program(*common, "-o", out)
        assert child.stdout is not None
        stop = chance.randint(1, 25)
        for number, line in enumerate(child.stdout):
            event = json.loads(line)
            if event["event"] == "started":
                assert event["input"] not in made, "a finished scan was begun again"
            if number == stop:
                time.sleep(chance.uniform(0, 0.03))
                break
        child.kill()
        child.communicate()
        kills += 1
        for name, data in voxels(out).items():
            assert data == whole[name], f"{name} is not whole"
        for sidecar in out.rglob("*.json"):
            said = json.loads(sidecar.read_text(encoding="utf-8"))
            image = sidecar.parent if kind == "dicom" else sidecar.with_name(f"{sidecar.stem}.nii.gz")
            if image.exists():
                made[str(tmp_path / "in" / said["medsr"]["input"]["name"])] = 1
        if (out / "outcomes.csv").exists():
            table(out)
    finish(*common, "-o", out)
    assert voxels(out) == whole
    assert sorted(set(statuses(out)) - {"unchanged"}) in ([], ["done"])


def finish(*arguments: object) -> None:
    child = program(*arguments)
    _, err = child.communicate()
    assert (child.returncode, err) == (0, b"")


def voxels(folder: Path) -> dict[str, bytes]:
    """All images that have their names."""
    files = [p for suffix in ("*.nii.gz", "*.dcm") for p in folder.rglob(suffix)]
    named = [p for p in files if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(named)}


def test_dicom_series_of_a_folder(tmp_path: Path, medsr: Command) -> None:
    pytest.importorskip("pydicom")
    from tests.io.dicom.synthetic import GEOMETRIES, numbers, write_classic

    def named(words: str):  # type: ignore[no-untyped-def]
        def edit(one, time, place):  # type: ignore[no-untyped-def]
            one.SeriesDescription = words

        return edit

    study = tmp_path / "study"
    for number, words in ((1, "localizer"), (2, "t1"), (3, "t2"), (4, "broken")):
        data = np.asarray(numbers(12, 12, 6))
        files = write_classic(
            study / "one", data, GEOMETRIES["oblique"], seed=str(number), thickness=4, edit=named(words)
        )
        if words == "broken":
            files.pop(2).unlink()
        for file in files:
            file.rename(file.with_name(f"{number}-{file.name}"))
    out = tmp_path / "out"
    ran = medsr("batch", study, "-o", out, "--spacing", "1", "--noise", "0")
    assert ran.code == 8
    assert "one series 2: 12 x 12 x 6 voxels" in ran.out
    rows = {row["series"]: row for row in table(out)}
    assert {k: v["status"] for k, v in rows.items()} == {"1": "left out", "2": "done", "3": "done", "4": "failed"}
    assert rows["1"]["message"] == "a localiser"
    assert "missing slices" in rows["4"]["message"]
    assert rows["2"]["output"] == "one_series-2_desc-sr.nii.gz"
