"""The workflow on this machine, and on a real Slurm of one node where a job is killed."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import medsr
from medsr.volume import Grid, Volume
from pipelines.cluster.__main__ import main
from pipelines.cluster.merge import merge
from pipelines.cluster.shard import main as shard
from tests.conftest import smooth_head
from tests.pipelines.cluster.slurm import THERE, OneNode

ROOT = Path(__file__).parents[3]
needs_snakemake = pytest.mark.skipif(importlib.util.find_spec("snakemake") is None, reason="needs snakemake")
needs_slurm = pytest.mark.skipif(
    not THERE or importlib.util.find_spec("snakemake_executor_plugin_slurm") is None,
    reason="needs Debian's slurm-wlm and munge, root, and snakemake-executor-plugin-slurm",
)


def scans(folder: Path, count: int, shape: tuple[int, int, int]) -> Path:
    folder.mkdir()
    for n in range(count):
        volume = Volume(smooth_head(shape, n), Grid(shape, np.diag([1.0, 1.0, 4.0, 1.0])))
        medsr.save_volume(volume, folder / f"scan{n:02d}.nii.gz")
    return folder


def command(source: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "pipelines.cluster", str(source), "-o", str(out), *more]


def results(out: Path) -> dict[str, tuple[str, int]]:
    """Checksum and time of every result."""
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in out.glob("*_desc-sr.nii.gz")
    }


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


@needs_snakemake
def test_on_this_machine(tmp_path):
    """Two shards, one table; a scan that cannot be used is told of, and fails nothing else."""
    source = scans(tmp_path / "scans", 3, (12, 10, 5))
    (source / "broken.nii.gz").write_bytes(b"no image")
    out = tmp_path / "out"
    run = command(source, out, "--shards", "2", "--", "--noise", "0")
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 8, done.stderr
    table = rows(out / "outcomes.csv")
    assert [Path(row["input"]).name for row in table] == [
        "broken.nii.gz",
        *(f"scan{n:02d}.nii.gz" for n in range(3)),
    ]
    assert [row["status"] for row in table] == ["failed", "done", "done", "done"]
    assert len(results(out)) == 3
    first = results(out)
    again = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 8
    assert "Nothing to be done" in again.stderr
    assert results(out) == first


@pytest.mark.slow
@needs_snakemake
@needs_slurm
@pytest.mark.parametrize("again", ["by hand", "by itself"])
def test_on_slurm_with_a_job_killed(tmp_path, again):
    """12 scans in 4 shards. One job is killed as soon as there are results: the same command again, or the retry
    of the workflow, brings the rest; what was finished is not made again.
    """
    source, out = scans(tmp_path / "scans", 12, (128, 128, 24)), tmp_path / "out"
    cluster = OneNode(tmp_path / "slurm")
    log = (tmp_path / "log").open("w+")
    try:
        extra = ["--slurm-init-seconds-before-status-checks", "3", "--slurm-status-command", "squeue"]
        extra += ["--slurm-no-account", "--retries", "0" if again == "by hand" else "2"]
        run = command(source, out, "--shards", "4", "--profile", "slurm", "--memory-mb", "3000")
        run += [f"--snakemake={word}" for word in extra] + ["--", "--no-report", "--noise", "0"]
        environment = cluster.environment | {"OMP_NUM_THREADS": "1"}
        first = subprocess.Popen(run, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            early = kill_one(cluster, out, first, tmp_path / "log")
            code = first.wait(900)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(first.pid, signal.SIGKILL)
        finished = results(out)
        if again == "by hand":
            assert code == 1, (tmp_path / "log").read_text()[-3000:]
            assert not (out / "outcomes.csv").exists()
            done = subprocess.run(run, cwd=ROOT, env=environment, stdout=log, stderr=log, timeout=900, check=False)
            code = done.returncode
        assert code == 0, (tmp_path / "log").read_text()[-3000:]
        table = rows(out / "outcomes.csv")
        assert len(table) == 12
        assert {row["status"] for row in table} <= {"done", "unchanged"}
        assert len(results(out)) == 12
        for name, (checksum, when) in (early | (finished if again == "by hand" else {})).items():
            assert results(out)[name] == (checksum, when), f"{name} was made again"
        assert not [path for path in out.rglob("*") if ".medsr-" in path.name]
    finally:
        cluster.close()
        log.close()


def kill_one(
    cluster: OneNode, out: Path, workflow: subprocess.Popen[bytes], log: Path
) -> dict[str, tuple[str, int]]:
    """Kills a running job once there is a result; all results until then."""
    end = time.monotonic() + 400
    while time.monotonic() < end:
        assert workflow.poll() is None, log.read_text()[-3000:]
        early = results(out)
        running = [job.split("|")[0] for job in cluster.jobs("%T") if job.endswith("RUNNING")]
        if early and running:
            cluster.command("scancel", "--signal=KILL", "--full", running[0])
            return early
        time.sleep(0.05)
    raise AssertionError("no job had a result in time")


def table(path: Path, *outcomes: tuple[str, str, str]) -> Path:
    lines = ["input,status,exit_code", *(",".join(outcome) for outcome in outcomes)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_tables_become_one(tmp_path):
    shards = [
        table(tmp_path / "1.csv", ("c", "done", "0"), ("a", "failed", "3")),
        table(tmp_path / "2.csv", ("b", "done", "0")),
    ]
    assert merge(tmp_path / "all.csv", shards) == {"done": 2, "failed": 1}
    assert [row["input"] for row in rows(tmp_path / "all.csv")] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("code", "failure", "attempt", "expected"),
    [
        (0, "0", 1, 0), (7, "0", 1, 0),
        (8, "3", 1, 0), (8, "6", 1, 8), (8, "1", 2, 8), (8, "6", 3, 0),
        (1, "0", 1, 1), (2, "0", 3, 2), (143, "0", 3, 143), (-9, "0", 1, 137),
    ],
)  # fmt: skip
def test_which_shards_are_tried_again(tmp_path, monkeypatch, code, failure, attempt, expected):
    def batch(command, check):
        table(tmp_path / "outcomes-2-of-4.csv", ("a", "done", "0"), ("b", "?", failure))
        assert command[-2:] == ["--spacing", "1"]
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(subprocess, "run", batch)
    target = tmp_path / "target.csv"
    words = ["scans", str(tmp_path), "2/4", str(target), "--attempt", str(attempt), "--", "--spacing", "1"]
    assert shard(words) == expected
    assert target.exists() == (expected == 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "-o", "out", "--shards", "2"], "does not exist"),
        ([".", "-o", "out", "--shards", "0"], "above 0"),
        ([".", "-o", "out", "--shards", "2", "--profile", "pbs"], "no profile"),
        ([".", "-o", "out", "--shards", "2", "--", "--sharpen"], "sharpen"),
    ],
)
def test_wrong_usage(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) in (2, 3)
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
