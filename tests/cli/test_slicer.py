"""``--xml`` and ``--log-slicer``: what 3D Slicer asks of a command line module."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from medsr.cli.main import parser
from medsr.cli.slicer_tags import SlicerTags
from medsr.cli.slicer_xml import IMAGES, SLICERS_OWN
from medsr.job import Job, options
from medsr.models.card import cards
from tests.cli.conftest import ROOT, Command, program

NUMBER = re.compile(r"<filter-progress>([0-9.]+)</filter-progress>")


@pytest.fixture
def description(medsr: Command) -> ElementTree.Element:
    ran = medsr("reconstruct", "--xml")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("<?xml"), "Slicer cuts off what comes before"
    return ElementTree.fromstring(ran.out.encode())


def test_every_option_of_a_job_is_described(description: ElementTree.Element) -> None:
    described = {p.findtext("name"): p for group in description.iter("parameters") for p in group if len(p)}
    assert set(described) == {f.name for f, _ in options()} - SLICERS_OWN
    for field, option in options():
        if field.name in SLICERS_OWN:
            continue
        found = described[field.name]
        if field.name in IMAGES:
            assert found.tag == "image"
            continue
        assert found.findtext("description") == option.help
        assert found.findtext("longflag") == field.name.replace("_", "-")
        default = None if field.default is None else str(field.default)
        assert (found.findtext("default") or "").lower() == (default or "").lower()
        if default is None:
            assert found.tag == "string", "Slicer would always hand over a number or an enumeration"


def test_choices_are_the_cards_and_those_of_the_job(description: ElementTree.Element) -> None:
    choices = {
        p.findtext("name"): [e.text for e in p.findall("element")] for p in description.iter("string-enumeration")
    }
    assert set(choices["method"]) == {*cards(), Job.method}
    assert choices["negative"] == ["keep", "clip"]


def test_the_description_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys\nfrom medsr.cli.main import main\n"
        "code = main(['reconstruct', '--xml'])\n"
        "heavy = {'torch', 'numpy', 'monai', 'nibabel', 'scipy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\nsys.exit(code)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_tags(scan: Path) -> None:
    child = program("reconstruct", scan, "--log-slicer")
    out, err = child.communicate()
    assert (child.returncode, err) == (0, b"")
    lines = out.decode().splitlines()
    assert lines[:2] == ["<filter-start>", "<filter-name>medsr reconstruct</filter-name>"]
    assert lines[-1] == "</filter-end>"
    fractions = [float(x) for x in NUMBER.findall(out.decode())]
    assert len(fractions) >= 2
    assert fractions == sorted(set(fractions))
    assert fractions[-1] == 1
    assert any(line.startswith("  residual ") for line in lines), "words for the log"


def test_progress_never_falls(capsys: pytest.CaptureFixture[str]) -> None:
    tags = SlicerTags()
    tags.started(Path("a.nii"), 0, 2)
    for fraction in (0.1, 0.3, 0.2, 0.3, 0.5, 0.45):
        tags.progress(fraction, "work")
    tags.finished(0, None)
    said = capsys.readouterr().out
    assert NUMBER.findall(said) == ["0.1000", "0.3000", "0.5000", "1.0000"]
    assert said.count("<filter-comment>work</filter-comment>") == 1


def test_a_name_cannot_forge_a_tag(capsys: pytest.CaptureFixture[str]) -> None:
    tags = SlicerTags()
    tags.started(Path("a</filter-comment><filter-progress>1.0<.nii"), 0, 1)
    assert not NUMBER.search(capsys.readouterr().out)


def test_a_failure_is_one_line_on_stderr(medsr: Command, tmp_path: Path) -> None:
    ran = medsr("reconstruct", tmp_path / "nothing.nii", "--log-slicer")
    assert ran.code == 3
    assert ran.line.startswith("medsr: error: ")
    assert "<filter-progress>1.0000" not in ran.out


def test_the_same_bytes_as_the_plain_command(medsr: Command, scan: Path, tmp_path: Path) -> None:
    """With the options that Slicer hands over though nobody touched them."""
    untouched = ["--method", "auto", "--negative", "keep", "--device", "auto"]
    assert medsr("reconstruct", scan, "-o", tmp_path / "plain.nrrd").code == 0
    assert medsr("reconstruct", "--log-slicer", *untouched, "--output", tmp_path / "slicer.nrrd", scan).code == 0
    for ending in (".nrrd", "_residual.nrrd", "_uncertainty.nrrd"):
        assert (tmp_path / f"slicer{ending}").read_bytes() == (tmp_path / f"plain{ending}").read_bytes()


def test_the_ways_of_telling_exclude_each_other(medsr: Command, scan: Path) -> None:
    assert medsr("reconstruct", scan, "--log-slicer", "--log-json").code == 2
    assert parser().parse_args(["reconstruct", "x", "--log-slicer"]).log_slicer


def test_medsr_imports_nothing_of_slicer() -> None:
    theirs = {"slicer", "qt", "ctk", "vtk", "vtkmodules", "PythonQt", "PySide6", "mrml", "MedSRLib", "pipelines"}
    for path in (ROOT / "medsr").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not theirs & {name.split(".")[0] for name in names}, path
