"""Windows and macOS, as far as it can be told from elsewhere: folders, programs, and how a run is ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from MedSRLib import interpreters, process, settings


class Windows:
    """The module `os`, which says that this is Windows."""

    name = "nt"

    def __init__(self, **environ: str) -> None:
        self.environ = environ

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def test_the_folder_of_settings_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDSR_SLICER_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert settings.folder() == Path("/home/me/.local/share/medsr/slicer")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert settings.folder() == Path("/home/me/Library/Application Support/medsr/slicer")
    monkeypatch.setattr(settings, "os", Windows(LOCALAPPDATA="C:/Users/me/AppData/Local"))
    assert settings.folder() == Path("C:/Users/me/AppData/Local/medsr/slicer")
    monkeypatch.setattr(settings, "os", Windows())
    assert settings.folder() == Path("/home/me/AppData/Local/medsr/slicer")


def test_interpreters_on_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(interpreters, "os", Windows(LOCALAPPDATA="L", PROGRAMFILES="P"))
    assert Path(interpreters.inside("S")) == Path("S/bin/python-real.exe")
    usual = {Path(p).as_posix() for p in interpreters._in_usual_places(["python3.12"])}
    assert {"L/Programs/Python/Python312/python.exe", "P/Python311/python.exe"} <= usual
    (tmp_path / "Scripts").mkdir()
    (tmp_path / "Scripts" / "python.exe").touch()
    assert interpreters.in_folder(str(tmp_path)) == str(tmp_path / "Scripts" / "python.exe")
    (tmp_path / "conda").mkdir()
    (tmp_path / "conda" / "python.exe").touch()
    assert interpreters.in_folder(str(tmp_path / "conda")) == str(tmp_path / "conda" / "python.exe")


def test_the_shop_is_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has a python.exe that opens its shop."""
    monkeypatch.setattr(interpreters.shutil, "which", lambda name: f"C:/Users/me/WindowsApps/{name}.exe")
    monkeypatch.setattr(interpreters, "os", Windows(LOCALAPPDATA="L", PROGRAMFILES="P"))
    assert not any("WindowsApps" in p for p in interpreters._on_this_machine())


def test_interpreters_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    usual = set(interpreters._in_usual_places(["python3.13", "python3.12", "python3.11", "python3"]))
    assert "/opt/homebrew/bin/python3.12" in usual
    assert "/Library/Frameworks/Python.framework/Versions/3.12/bin/python3.12" in usual


def test_windows_ends_the_whole_tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By taskkill, at once: a program without a console cannot be asked."""
    called: list[Any] = []
    child = SimpleNamespace(pid=4711, poll=lambda: None, wait=lambda: None)

    def start(command: list[str], **options: Any) -> Any:
        called.append(options)
        return child

    stand_in = SimpleNamespace(
        Popen=start,
        run=lambda command, **options: called.append(command),
        DEVNULL=subprocess.DEVNULL,
        CREATE_NO_WINDOW=0x08000000,
    )
    monkeypatch.setattr(process, "os", Windows())
    monkeypatch.setattr(process, "subprocess", stand_in)
    running = process.Process(["medsr"], {}, tmp_path)
    assert called[0]["creationflags"] == stand_in.CREATE_NO_WINDOW
    assert "start_new_session" not in called[0]
    running.cancel()
    assert called[1] == ["taskkill", "/T", "/F", "/PID", "4711"]


def test_lines_that_end_as_windows_has_them(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.buffer.write('σ one\\r\\ntwo'.encode())"
    running = process.Process([sys.executable, "-c", code], dict(os.environ), tmp_path)
    said: list[str] = []
    while running.code is None:
        said += running.lines()
    assert said + running.lines() == ["σ one", "two"]
