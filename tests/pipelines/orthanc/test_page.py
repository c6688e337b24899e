"""The page that a clinic starts from: its files are sound, its commands and variables exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.orthanc.__main__ import _parser
from pipelines.orthanc.settings import _SITE, _TOP, load
from tests.pipelines.orthanc.system import ROOT

HERE = ROOT / "pipelines" / "orthanc"
PAGE = (HERE / "README.md").read_text(encoding="utf-8")
EXAMPLE = (HERE / "medsr-orthanc.toml").read_text(encoding="utf-8")
UNIT = (HERE / "medsr-orthanc.service").read_text(encoding="utf-8")


def test_the_example_can_be_loaded_and_shows_every_key(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    (tmp_path / "s.toml").write_text(EXAMPLE.replace("/etc/ssl/certs/clinic-ca.pem", str(ca)))
    found = load(tmp_path / "s.toml", {})
    assert len(found.rules) == 2
    for key in (*_TOP, *_SITE):
        assert re.search(rf"^(# )?(\[+{key}|{key} =)", EXAMPLE, re.MULTILINE), key


def test_the_commands_exist():
    for command in ("run", "check", "status", "retry"):
        words = [command, "s.toml", *(["7"] if command == "retry" else [])]
        assert _parser().parse_args(words).command
    for command in re.findall(r"pipelines\.orthanc (\w+)", PAGE + UNIT):
        assert command in ("run", "check", "status", "retry")


def test_the_variables_are_named():
    for name in (
        "MEDSR_ORTHANC_USER",
        "MEDSR_ORTHANC_PASSWORD",
        "MEDSR_ORTHANC_PASSWORD_FILE",
        "MEDSR_DELIVERY_USER",
    ):
        assert name in PAGE
    assert "MEDSR_ORTHANC_PASSWORD_FILE" in UNIT


def test_the_server_s_settings_are_sound():
    settings = json.loads((HERE / "orthanc.json").read_text(encoding="utf-8"))
    assert settings["AuthenticationEnabled"]
    assert not settings["RemoteAccessAllowed"]


def test_the_server_starts_with_them_beside_debian_s_own(tmp_path, orthanc):
    """As its unit starts it: with the folder of all settings, where no section may be twice."""
    debians = [Path("/etc/orthanc", f"{name}.json") for name in ("dicomweb", "serve-folders", "worklists")]
    if not all(os.access(path, os.R_OK) for path in debians):
        pytest.skip("needs Debian's settings in /etc/orthanc, and to read them")
    server = orthanc(settings=HERE, beside=debians)
    assert server.ask("/system")["Name"] == "clinic"
    assert server.ask("/dicom-web/studies") == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_the_unit_is_sound(tmp_path):
    unit = tmp_path / "medsr-orthanc.service"
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    unit.write_text(UNIT.replace("/opt/medsr/.venv/bin/python", str(python)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    mine = [
        line
        for line in done.stderr.splitlines()
        if "medsr-orthanc.service" in line and "Documentation" not in line
    ]
    assert not mine
