"""Memory that is planned, and what the machine has left."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from medsr import memory
from medsr.errors import MemoryLimitError

MEMINFO = "MemTotal:       16000000 kB\nMemFree:          100000 kB\nMemAvailable:    8000000 kB\n"


def test_need_grows_with_each_part() -> None:
    base = memory.need((10, 10, 10), (10, 10, 40), (10, 10, 40), 1, 1.4)
    assert base == int(memory.FIXED + 4 * (7 * 1000 + 1.4 * 4000 + 4000))
    assert memory.need((10, 10, 10), (10, 10, 40), (10, 10, 40), 5, 1.4) == base + 4 * (2 * 4 * 1000 + 4 * 4000)
    assert memory.need((10, 10, 10), (10, 10, 40), (10, 10, 40), 1, 1.4, uncertainty=True) == base + 4 * 4000
    assert memory.need((10, 10, 10), (10, 10, 40), (5, 5, 40), 1, 1.4) == base - 4 * 3000
    huge = memory.need((2**17,) * 3, (2**20,) * 3, (2**20,) * 3, 2**17, 3.0)
    assert huge > 2**77  # Python integers: nothing overflows


def test_a_limit_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1)
    memory.check(100, 100, "x")  # what the user allows is the user's business
    with pytest.raises(MemoryLimitError, match="--max-mem"):
        memory.check(101, 100, "x")
    with pytest.raises(MemoryLimitError, match=r"free; got .* insist with --max-mem"):
        memory.check(2, None, "x")
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.check(10**20, None, "x")  # nothing is known, nothing is refused


def test_what_is_left_here() -> None:
    left = memory.available()
    assert left is None or 2**20 < left < 2**50


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux machine made of files."""
    real = Path

    class Here(type(Path())):  # type: ignore[misc]
        def __new__(cls, *parts: str) -> Path:
            path = real(*parts)
            return tmp_path / path.relative_to("/") if path.is_relative_to("/proc") else path

    monkeypatch.setattr(memory, "Path", Here)
    monkeypatch.setattr(memory, "CONTROL_GROUPS", tmp_path / "groups")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    return tmp_path


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.mark.skipif(sys.platform == "win32", reason="asks the system itself")
class TestLinux:
    def test_plain(self, machine: Path) -> None:
        assert memory.available() == 8_000_000 * 1024

    def test_group_of_today(self, machine: Path) -> None:
        (machine / "proc/self/cgroup").write_text("0::/slurm/job_7\n")
        group(machine / "groups/slurm/job_7", memory__max="max", memory__current=5, memory__stat="inactive_file 0")
        assert memory.available() == 8_000_000 * 1024
        stat = "anon 7\ninactive_file 1000"
        group(machine / "groups/slurm", memory__max=1_000_000, memory__current=400_000, memory__stat=stat)
        assert memory.available() == 601_000
        group(machine / "groups/slurm/job_7", memory__max=300_000, memory__current=400_000)
        assert memory.available() == 0

    def test_group_within_a_container(self, machine: Path) -> None:
        (machine / "proc/self/cgroup").write_text("0::/docker/0123\n")  # the host's name for it
        group(machine / "groups", memory__max=2_000_000, memory__current=0, memory__stat="inactive_file 0")
        assert memory.available() == 2_000_000

    def test_group_of_old(self, machine: Path) -> None:
        (machine / "proc/self/cgroup").write_text("5:cpuset:/\n4:cpu,memory:/box\n0::/\n")
        group(
            machine / "groups/memory/box",
            memory__limit_in_bytes=700_000,
            memory__usage_in_bytes=100_000,
            memory__stat="total_inactive_file 50",
        )
        assert memory.available() == 600_050

    @pytest.mark.parametrize("text", ["", "0\n", "0::/\n", "nonsense", "4:memory:/gone\n"])
    def test_odd_answers(self, text: str, machine: Path) -> None:
        (machine / "proc/self/cgroup").write_text(text)
        assert memory.available() == 8_000_000 * 1024
        (machine / "proc/meminfo").write_text("MemAvailable: many kB")
        left = memory.available()
        assert left is None or left > 2**20, "all physical memory"
