"""Settings that are not sound are refused with one clear line; a password is never shown."""

from __future__ import annotations

import pytest

from medsr.errors import UsageError
from pipelines.orthanc.__main__ import main
from pipelines.orthanc.rules import Facts, Rule
from pipelines.orthanc.settings import load

GOOD = """
folder = "/nowhere/state"
[server]
url = "https://pacs.example.org:8042/"
[[rules]]
name = "t2"
"""
SECRET = {"MEDSR_ORTHANC_USER": "me", "MEDSR_ORTHANC_PASSWORD": "hush"}


def settings(tmp_path, text, **environment):
    path = tmp_path / "s.toml"
    path.write_text(text)
    return load(path, environment)


def test_defaults(tmp_path):
    found = settings(tmp_path, GOOD, **SECRET)
    assert found.server.url == found.delivery.site.url == "https://pacs.example.org:8042"
    assert (found.delivery.by, found.start, found.missed) == ("rest", "now", "hold")
    assert found.server.credentials.password == "hush"
    assert "hush" not in repr(found)


def test_a_password_of_a_file(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("from a file\n")
    secret.chmod(0o600)
    found = settings(tmp_path, GOOD, MEDSR_ORTHANC_USER="me", MEDSR_ORTHANC_PASSWORD_FILE=str(secret))
    assert found.server.credentials.password == "from a file"
    secret.chmod(0o644)
    with pytest.raises(UsageError, match="by everybody"):
        settings(tmp_path, GOOD, MEDSR_ORTHANC_USER="me", MEDSR_ORTHANC_PASSWORD_FILE=str(secret))


def test_results_to_another_server(tmp_path):
    more = GOOD.replace("[[rules]]", '[delivery]\nby = "dicomweb"\nurl = "https://other/dw"\n[[rules]]')
    found = settings(tmp_path, more, **SECRET, MEDSR_DELIVERY_USER="you", MEDSR_DELIVERY_PASSWORD="psst")
    assert found.delivery.site.url == "https://other/dw"
    assert found.delivery.site.credentials.user == "you"
    same = settings(tmp_path, GOOD.replace("[[rules]]", '[delivery]\nby = "dicomweb"\n[[rules]]'), **SECRET)
    assert same.delivery.site.url == "https://pacs.example.org:8042/dicom-web"
    assert same.delivery.site.credentials.user == "me"


BAD = {
    "not TOML": ("[server", "not TOML"),
    "no folder": (GOOD.replace("folder", "#"), "folder is missing"),
    "a folder somewhere": (GOOD.replace("/nowhere/", ""), "not a whole path"),
    "no rules": (GOOD.split("[[", maxsplit=1)[0], "rules is missing"),
    "unknown key": ("colour = 1\n" + GOOD, "colour is not known"),
    "unknown key of a server": (GOOD.replace("url", "verify = false\nurl"), "verify is not known"),
    "no url": (GOOD.replace("https://pacs.example.org:8042/", "pacs"), "not that of a server"),
    "plain http": (GOOD.replace("https", "http"), "unencrypted"),
    "credentials in the url": (GOOD.replace("pacs.", "me:hush@pacs."), "do not belong"),
    "no authority": (GOOD.replace("url", 'ca_file = "/nowhere"\nurl'), "ca_file does not exist"),
    "start": ('start = "later"\n' + GOOD, "now or beginning"),
    "poll": ("poll_seconds = 0\n" + GOOD, "above 0"),
    "attempts": ("attempts = true\n" + GOOD, "attempts"),
    "delivery without a url": (GOOD.replace("[[", '[delivery]\nca_file = "x"\n[['), "has no url"),
    "two rules of one name": (GOOD + '[[rules]]\nname = "t2"', "same name"),
    "a rule without a name": (GOOD + '[[rules]]\nmodality = "MR"', "rule 2 has no name"),
    "unknown key of a rule": (GOOD + "thicknes = [1, 2]", "thicknes is not known"),
    "a range that is none": (GOOD + "thickness = [8, 2]", "not a range"),
    "options that are none": (GOOD + 'options = ["--sharpen"]', "'t2'"),
    "a value that is none": (GOOD + 'options = ["--spacing", "thin"]', "'t2'"),
    "an option of the worker": (GOOD + 'options = ["-o", "x"]', "the worker's own"),
    "an input among the options": (GOOD + 'options = ["scan.nii"]', "inputs"),
    "a password without a user": (GOOD, "go together"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(tmp_path, name, capsys, monkeypatch):
    text, words = BAD[name]
    monkeypatch.setenv("MEDSR_ORTHANC_PASSWORD", "hush")
    if name != "a password without a user":
        monkeypatch.setenv("MEDSR_ORTHANC_USER", "me")
    (tmp_path / "s.toml").write_text(text)
    assert main(["status", str(tmp_path / "s.toml")]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert "hush" not in said.err


def facts(**changes):
    base = {"modality": "MR", "description": "Ax T2 TSE", "thickness": 4.0, "slices": 24}
    return Facts(**{**base, **changes})


@pytest.mark.parametrize(
    ("rule", "changes", "matches"),
    [
        ({}, {}, True),
        ({}, {"modality": "CT"}, False),
        ({}, {"thickness": None}, True),
        ({"thickness": [2, 4]}, {}, True),
        ({"thickness": [2, 3.9]}, {}, False),
        ({"thickness": [2, 8]}, {"thickness": None}, False),
        ({"description": "*t2*"}, {}, True),
        ({"description": ["*flair*", "ax t? tse"]}, {}, True),
        ({"description": "t2"}, {}, False),
        ({"not_description": "*TSE"}, {}, False),
        ({"slices": [25, 100]}, {}, False),
        ({}, {"image_type": ("DERIVED", "SECONDARY", "MPR")}, False),
        ({"derived": True}, {"image_type": ("DERIVED", "SECONDARY", "MPR")}, True),
        ({"derived": True}, {"makers": ("MEDSR ", "")}, False),
        ({"derived": True}, {"makers": ("", "medsr")}, False),
        ({"derived": True}, {"description": "x [RESEARCH USE ONLY]"}, False),
    ],
)
def test_rules(rule, changes, matches):
    assert Rule.parse({"name": "r", **rule}, 1).matches(facts(**changes)) is matches
