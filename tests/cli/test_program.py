"""The command line as a process: signals, terminals, pipes, closed streams, start-up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, names, program, thick_scan

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and terminals")


@posix
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_cancelled(name: str, code: int, tmp_path: Path) -> None:
    """In the middle of a run of many: what was finished stays, whole, and nothing else; then it goes on."""
    for i in range(30):
        thick_scan(tmp_path / "in" / f"{i:02}.nii", (40, 40, 20), seed=i)
    arguments = ["reconstruct", tmp_path / "in", "-o", tmp_path / "out", "--log-json"]
    child = program(*arguments)
    assert child.stdout is not None
    done = []
    for line in child.stdout:
        event = json.loads(line)
        if event["event"] == "done":
            done.append(event)
        if event["event"] == "progress" and len(done) == 2:
            child.send_signal(getattr(signal, name))
            time.sleep(0.01)
            child.send_signal(getattr(signal, name))  # somebody who is impatient
            break
    _, err = child.communicate()
    assert child.returncode == code
    assert err == b"medsr: cancelled; what was finished stays, nothing else\n"
    left = names(tmp_path / "out")
    assert len(left) % 5 == 0
    assert 10 <= len(left) < 125
    assert not [n for n in left if n.startswith(".")]
    for event in done:
        assert all(Path(p).exists() for p in event["written"])


@posix
@pytest.mark.slow
def test_a_killed_batch_loses_nothing(tmp_path: Path) -> None:
    """Killed at random times: every file that has its name is whole, and no image is made twice."""
    import random

    chance = random.Random(7)
    for i in range(24):
        thick_scan(tmp_path / "in" / f"{i:02}.nii", (48, 48, 16), seed=i)
    arguments = ["reconstruct", tmp_path / "in", "--skip-existing", "--no-report", "--threads", "1"]
    finish(*arguments, "-o", tmp_path / "reference")
    whole = images(tmp_path / "reference")
    stamps: dict[str, int] = {}
    for _ in range(50):
        child = program(*arguments, "-o", tmp_path / "out", "--log-json")
        assert child.stdout is not None
        stop = chance.randint(1, 40)
        for number, _line in enumerate(child.stdout):
            if number == stop:
                time.sleep(chance.uniform(0, 0.05))
                break
        child.kill()
        child.communicate()
        for name, data in images(tmp_path / "out").items():
            assert data == whole[name]
            stamp = (tmp_path / "out" / name).stat().st_mtime_ns
            if not name.endswith("_residual.nii.gz"):  # which has its name a moment before the image has
                assert stamps.setdefault(name, stamp) == stamp, "done twice"
    finish(*arguments, "-o", tmp_path / "out")
    assert images(tmp_path / "out") == whole


def finish(*arguments: object) -> None:
    child = program(*arguments)
    _, err = child.communicate()
    assert (child.returncode, err) == (0, b"")


def images(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.glob("[!.]*.nii.gz"))}


@posix
def test_a_bar_on_the_terminal_and_results_in_the_pipe(scan: Path) -> None:
    import pty

    for environment, colours in (({}, True), ({"NO_COLOR": "1"}, False)):
        ours, theirs = pty.openpty()
        extra = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | environment
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "environ", extra)
            child = program("reconstruct", scan, "--force", stderr=theirs, stdin=theirs)
        os.close(theirs)
        out, _ = child.communicate()
        seen = b""
        with contextlib.suppress(OSError):  # the terminal is closed
            while part := os.read(ours, 1 << 16):
                seen += part
        os.close(ours)
        assert child.returncode == 0
        assert out.decode().startswith("scan.nii.gz: 10 x 12 x 6 voxels")
        assert b"\x1b" not in out
        assert b"scan.nii.gz" in seen
        assert b"voxels" not in seen
        assert (b"\x1b[38" in seen or b"\x1b[35" in seen) is colours
        assert seen.rstrip(b"\r\n").endswith((b"\x1b[2K", b"\x1b[?25h"))  # the bar is gone, the cursor is back
        assert b"\x1b[?25h" in seen


def test_nothing_but_results_where_there_is_no_terminal(scan: Path) -> None:
    child = program("reconstruct", scan)
    out, err = child.communicate()
    assert (child.returncode, err) == (0, b"")
    assert b"\x1b" not in out
    assert out.decode().splitlines()[-1] == f"  wrote {scan.parent / 'scan_desc-sr.html'}"


@posix
@pytest.mark.parametrize("command", ["--help", "models --json", "models", "reconstruct --help"])
def test_a_reader_that_goes_away(command: str) -> None:
    line = f"'{sys.executable}' -m medsr {command} | true; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(
        ["bash", "-c", line], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


@posix
def test_closed_and_full_streams(scan: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def shell(line: str) -> subprocess.CompletedProcess[bytes]:
        line = line.replace("medsr", f"'{sys.executable}' -m medsr")
        return subprocess.run(["bash", "-c", line], env=environment, capture_output=True, check=False)

    assert shell("medsr models >&-").returncode == 0
    assert shell("medsr models magic 2>&-").returncode == 2
    if Path("/dev/full").exists():
        full = shell("medsr models > /dev/full")
        assert full.returncode == 4
        assert full.stderr == b"medsr: error: standard output cannot be written; got No space left on device\n"
        # the result is a file, and it is whole: that it could not be told of is no failure
        done = shell(f"medsr reconstruct '{scan}' <&- > /dev/full")
        assert (done.returncode, done.stderr) == (0, b"")
        assert (scan.parent / "scan_desc-sr.nii.gz").exists()


def test_streams_that_know_no_greek() -> None:
    child = program("models", "spline", env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"})
    out, err = child.communicate()
    assert (child.returncode, err) == (0, b"")
    assert b"\\u03c3" in out


@pytest.mark.parametrize("command", ["--help", "--version", "reconstruct --help", "models", "models spline"])
def test_starts_without_torch_and_numpy(command: str) -> None:
    code = (
        "import sys\nfrom medsr.cli.main import main\n"
        f"code = main({command.split()!r})\n"
        "heavy = {'torch', 'numpy', 'monai', 'nibabel', 'SimpleITK', 'scipy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\nsys.exit(code)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_refused_and_informed_without_torch(scan: Path) -> None:
    """A scan that is too large is refused at once; so it is before torch is loaded."""
    code = (
        "import sys\nfrom medsr.cli.main import main\n"
        f"assert main(['reconstruct', {str(scan)!r}, '--max-mem', '1MiB']) == 6\n"
        f"assert main(['info', {str(scan)!r}]) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks by Linux")
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((64, 64, 16), (1.0, 1.0, 4.0)),
        pytest.param((256, 256, 45), (1.0, 1.0, 4.0), marks=pytest.mark.slow),
        pytest.param((160, 160, 160), (1.6, 1.6, 1.6), marks=pytest.mark.slow),
        pytest.param((30, 128, 128, 30), (2.0, 2.0, 4.0), marks=pytest.mark.slow),
    ],
)
def test_the_peak_stays_below_the_plan(
    shape: tuple[int, ...], spacing: tuple[float, float, float], tmp_path: Path
) -> None:
    import numpy as np

    from medsr.io import open_header, save_volume
    from medsr.models.card import card
    from medsr.reconstruction import blank, need, plan_acquisition
    from medsr.volume import Grid, Volume

    data = np.random.default_rng(0).normal(500, 20, shape).astype("f4")
    grid = Grid(shape[-3:], np.diag([*spacing, 1.0]))  # type: ignore[arg-type]
    path = tmp_path / "scan.nii"
    save_volume(Volume(data, grid), path)
    header = open_header(path)
    planned = need(plan_acquisition(blank(header), noise=0.0), header.frames or 1, card("spline"))
    code = (
        "import sys\nfrom pathlib import Path\nfrom medsr.cli.main import main\n"
        f"code = main(['reconstruct', {str(path)!r}, '--method', 'spline', '-q', '--threads', '1',"
        f"'--max-mem', '{planned}'])\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "print(code, next(int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    exit_code, peak = map(int, ran.stdout.split())
    assert exit_code == 0, ran.stderr
    assert peak <= 1.1 * planned, f"{peak / 2**20:.0f} MiB, planned {planned / 2**20:.0f}"
    if planned > 1 << 29:
        assert peak >= 0.6 * planned, "a plan that is far too careful refuses what would fit"
