"""Where medsr runs: found, checked, made, and Slicer's own Python left alone."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from MedSRLib import environment, installing, interpreters, settings, variables
from MedSRLib.environment import Environment
from MedSRLib.problem import Problem

from tests.slicer.conftest import left_in, python_with_medsr
from tests.slicer.wheels import make

posix = pytest.mark.skipif(os.name != "posix", reason="shell scripts")


def script(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def says(path: Path, **facts: object) -> str:
    """An interpreter that says these facts of itself."""
    known = {"python": [3, 12], "medsr": "0.1.0", "torch": "2.13.0", "h5py": "3.16.0", **facts}
    return script(path, f"echo '{json.dumps(known)}'")


# what is there


def test_nothing_is_there(home: Path) -> None:
    with pytest.raises(Problem, match="not installed yet"):
        environment.current(settings.load())


def test_a_chosen_python(chosen: Path) -> None:
    there = environment.current(settings.load())
    assert there == Environment(python_with_medsr())
    assert there.check().startswith("medsr 0.1.0, torch 2.")
    assert (there.description() or "").startswith("<?xml")
    assert "spline" in there.cards()


def test_a_chosen_python_that_is_gone(home: Path) -> None:
    settings.save(settings.Settings(python="/no/such/python"))
    with pytest.raises(Problem, match="there is no Python here"):
        environment.current(settings.load())


@posix
@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"python": [3, 9]}, "is Python 3.9, medsr needs 3.11 or later"),
        ({"medsr": None}, "medsr is not installed for"),
        ({"medsr": "0.0.9"}, "medsr 0.0.9 is there, this module needs 0.1 or later"),
        ({"medsr": "1.0.0rc1"}, "below 1.0"),
        ({"torch": None}, "torch is not installed"),
    ],
)
def test_what_is_missing_is_said(facts: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(Problem, match=words) as raised:
        Environment(says(tmp_path / "python", **facts)).check()
    assert "\n" not in str(raised.value)


@posix
def test_raw_data_needs_more(tmp_path: Path) -> None:
    assert "raw data (.h5) cannot be read" in Environment(says(tmp_path / "python", h5py=None)).check()


@posix
def test_a_program_that_is_no_python(tmp_path: Path) -> None:
    for text in ("exit 1", "echo hello"):
        with pytest.raises(Problem, match="no Python that starts"):
            Environment(script(tmp_path / "python", text)).check()


def test_settings_survive_and_damage_does_not_matter(home: Path) -> None:
    kept = settings.Settings("/a/python", "/wheels", "medsr", True)
    settings.save(kept)
    assert settings.load() == kept
    for damage in ("", "[1]", "{", '{"python": 3, "gpu": "yes", "colour": "red"}'):
        (home / "settings.json").write_text(damage)
        assert settings.load() == settings.Settings()


# Slicer's variables


LAUNCHED = {
    "APPLAUNCHER_LEVEL": "1",
    "APPLAUNCHER_0_PATH": "/usr/bin",
    "APPLAUNCHER_0_HOME": "/home/me",
    "APPLAUNCHER_0_LD_LIBRARY_PATH": "/opt/cuda/lib",
    "PATH": "/Slicer/bin:/usr/bin",
    "HOME": "/home/me",
    "LD_LIBRARY_PATH": "/Slicer/lib:/opt/cuda/lib",
    "PYTHONHOME": "/Slicer/lib/Python",
    "PYTHONPATH": "/Slicer/bin/Python",
}


def test_another_python_sees_nothing_of_slicer() -> None:
    found = variables.for_python("/usr/bin/python3", "/own/packages", LAUNCHED)
    assert not any("/Slicer" in value for value in found.values())
    assert found["LD_LIBRARY_PATH"] == "/opt/cuda/lib"
    assert found["PYTHONPATH"] == "/own/packages"
    assert "PYTHONHOME" not in found


def test_slicers_python_keeps_its_library_and_sees_the_packages_first() -> None:
    found = variables.for_python("/Slicer/bin/python-real", "/own/packages", LAUNCHED)
    assert found["PYTHONHOME"] == "/Slicer/lib/Python"
    assert found["LD_LIBRARY_PATH"].startswith("/Slicer/lib")
    assert found["PYTHONPATH"] == "/own/packages"


def test_without_a_launcher_as_on_macos() -> None:
    known = {"PATH": "/usr/bin", "PYTHONHOME": "/Slicer", "PYTHONPATH": "/Slicer", "QT_PLUGIN_PATH": "/Slicer"}
    assert "/Slicer" not in variables.for_python("/usr/bin/python3", None, known).values()


@posix
def test_a_python_that_slicers_variables_would_break(chosen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Slicer: with its PYTHONHOME no other Python starts."""
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("APPLAUNCHER_0_PATH", os.defpath)
    there = environment.current(settings.load())
    broken = subprocess.run([there.python, "-c", ""], capture_output=True, check=False)
    assert broken.returncode != 0
    assert there.check().startswith("medsr ")


# a Python to make an environment with


@posix
def test_slicers_own_python_where_it_is_new_enough(tmp_path: Path) -> None:
    own = script(tmp_path / "bin" / "python-real", "echo 3 12")
    assert interpreters.inside(str(tmp_path)) == own
    assert interpreters.find(own) == own


@posix
def test_another_where_slicers_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = script(tmp_path / "bin" / "python-real", "echo 3 9")
    script(tmp_path / "path" / "python3.13", "exit 1")  # has no pip
    good = script(tmp_path / "path" / "python3", "echo 3 11")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert interpreters.find(own) == good
    Path(good).unlink()
    assert interpreters.find(own) is None


@pytest.mark.parametrize("inner", [("bin", "python3"), ("bin", "python")])
@posix
def test_the_folder_of_an_environment(inner: tuple[str, str], tmp_path: Path) -> None:
    python = script(tmp_path.joinpath(*inner), "")
    assert interpreters.in_folder(str(tmp_path)) == python
    assert interpreters.in_folder(python) == python


# making one


def wait(installation: installing.Installation) -> list[str]:
    log = []
    while installation.state == "running":
        log += installation.poll()
        time.sleep(0.02)
    return log


def test_the_command_by_platform(tmp_path: Path) -> None:
    chosen = settings.Settings()
    linux = installing.command("p", tmp_path, chosen, "linux")
    assert linux[linux.index("--extra-index-url") + 1].endswith("/cpu")
    for platform in ("win32", "darwin"):  # whose package index has the torch for the CPU
        assert "--extra-index-url" not in installing.command("p", tmp_path, chosen, platform)
    assert "--extra-index-url" not in installing.command("p", tmp_path, settings.Settings(gpu=True), "linux")
    offline = installing.command("p", tmp_path, settings.Settings(wheels=str(tmp_path)), "linux")
    assert "--no-index" in offline
    assert "--extra-index-url" not in offline
    with pytest.raises(Problem, match="this is no folder"):
        installing.command("p", tmp_path, settings.Settings(wheels=str(tmp_path / "no")), "linux")


def test_the_question_says_what_and_where(home: Path) -> None:
    assert str(home) in installing.question(settings.Settings())
    assert "Nothing is downloaded" in installing.question(settings.Settings(wheels="/wheels"))


def test_made_from_a_folder_of_wheels(home: Path, tmp_path: Path) -> None:
    """No network; the interpreter it is made with has no medsr, or another one, before and after."""
    wheels = tmp_path / "wheels"
    make(wheels, "medsr", "0.1.7", ("torch",))
    make(wheels, "torch", "2.10.0")
    make(wheels, "h5py", "3.12.0")
    chosen = settings.Settings(wheels=str(wheels))
    installation = installing.Installation(sys.executable, chosen)
    log = wait(installation)
    assert (installation.state, installation.error) == ("done", "")
    assert any("medsr" in line for line in log)
    there = environment.current(chosen)
    assert there.check().startswith("medsr 0.1.7, torch 2.10.0")
    said = subprocess.run(there.command("hello"), env=there.variables(), capture_output=True, check=True)
    assert said.stdout.decode().strip() == "stand-in hello"
    assert sorted(p.name for p in home.iterdir()) == ["environment"]
    # again, over the old one
    make(wheels, "medsr", "0.1.8", ("torch",))
    wait(installing.Installation(sys.executable, chosen))
    assert environment.current(chosen).check().startswith("medsr 0.1.8")


@posix
def test_made_with_slicers_own_python(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As inside Slicer: its interpreter needs PYTHONHOME, and its own packages stay out of the way."""
    wheels, own = tmp_path / "wheels", tmp_path / "Slicer"
    make(wheels, "medsr", "0.1.0", ("torch",))
    make(wheels, "torch", "2.10.0")
    (own / "bin").mkdir(parents=True)
    (own / "bin" / "python-real").symlink_to(Path(sys.executable).resolve())
    (own / "site-packages" / "medsr").mkdir(parents=True)
    (own / "site-packages" / "medsr" / "__init__.py").write_text("raise SystemExit('the wrong medsr')")
    monkeypatch.setenv("PYTHONHOME", sys.base_prefix)
    monkeypatch.setenv("PYTHONPATH", str(own / "site-packages"))
    python = interpreters.inside(str(own))
    assert interpreters.find(python) == python
    before = left_in(own)
    installation = installing.Installation(python, settings.Settings(wheels=str(wheels)))
    wait(installation)
    assert (installation.state, installation.error) == ("done", "")
    there = environment.current(settings.load())
    assert there.check().startswith("medsr 0.1.0")
    said = subprocess.run(there.command("x"), env=there.variables(), capture_output=True, check=True)
    assert said.stdout.decode().strip() == "stand-in x"
    assert left_in(own) == before


def test_a_wheel_is_missing(home: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    make(wheels, "medsr", "0.1.0", ("torch",))
    installation = installing.Installation(sys.executable, settings.Settings(wheels=str(wheels)))
    wait(installation)
    assert installation.state == "failed"
    assert installation.error.startswith("medsr could not be installed: ")
    assert "torch" in installation.error
    assert "\n" not in installation.error
    assert left_in(home) == []


@pytest.mark.slow
def test_what_was_installed_is_too_old(home: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    make(wheels, "medsr", "0.0.1", ("torch",))
    make(wheels, "torch", "2.10.0")
    installation = installing.Installation(
        sys.executable, settings.Settings(wheels=str(wheels), requirement="medsr")
    )
    wait(installation)
    assert "medsr 0.0.1 is there, this module needs 0.1" in installation.error
    assert left_in(home) == []


@posix
def test_cancelled(home: Path, tmp_path: Path) -> None:
    endless = script(tmp_path / "python", "echo Collecting medsr\nsleep 60")
    installation = installing.Installation(endless, settings.Settings())
    while not installation.poll():
        time.sleep(0.02)
    installation.cancel()
    assert installation.state == "cancelled"
    assert left_in(home) == []
