"""The extension's files: what Slicer's build and its index of extensions look at."""

from __future__ import annotations

import ast
import json
import re
import struct
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.slicer.conftest import EXTENSION

MODULE = EXTENSION / "MedSR"
PYTHON = sorted([*MODULE.rglob("*.py"), *(EXTENSION / "MedSRReconstruct").glob("*.py")])


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", data[29:33])[0] == zlib.crc32(data[12:29])
    return struct.unpack(">II", data[16:24])


def test_the_description_is_what_medsr_prints() -> None:
    from medsr.cli.slicer_xml import slicer_xml

    path = EXTENSION / "MedSRReconstruct" / "MedSRReconstruct.xml"
    again = f"run: medsr reconstruct --xml > {path.relative_to(EXTENSION.parents[1])}"
    assert path.read_text("utf-8") == slicer_xml(), again


def test_cmake_lists_all_there_is() -> None:
    text = (MODULE / "CMakeLists.txt").read_text().replace("${MODULE_NAME}", "MedSR")
    listed = set(re.findall(r"^  (\S+\.(?:py|png|ui))$", text, re.MULTILINE))
    there = {str(p.relative_to(MODULE)) for p in MODULE.rglob("*") if p.suffix in (".py", ".png", ".ui")}
    assert listed == there


def test_the_entry_of_the_index() -> None:
    """The rules of ExtensionsIndex (scripts/check_description_files.py) that need no network."""
    entry = json.loads((EXTENSION / "MedSR.json").read_text())
    known = {"$schema", "category", "scm_url", "scm_revision", "build_dependencies", "build_subdirectory", "tier"}
    assert set(entry) == known
    assert entry["scm_url"].startswith("https://")
    assert "slicer" in entry["scm_url"].rsplit("/", 1)[1].lower()
    assert entry["tier"] in (1, 3, 5)
    cmake = (EXTENSION / "CMakeLists.txt").read_text()
    assert re.search(r"project\s*\(\s*([^\s)]+)", cmake)[1] == "MedSR"  # type: ignore[index]
    assert f'set(EXTENSION_CATEGORY "{entry["category"]}")' in cmake
    assert f'set(EXTENSION_HOMEPAGE "{entry["scm_url"]}")' in cmake
    pictures = re.findall(r"/main/(\S+\.png)", cmake)
    assert len(pictures) == 3
    assert (EXTENSION / "LICENSE").read_text() == (EXTENSION.parents[1] / "LICENSE").read_text()
    for picture in pictures:
        assert (EXTENSION / picture).is_file()


def test_icons_and_pictures() -> None:
    assert png_size(MODULE / "Resources" / "Icons" / "MedSR.png") == (128, 128)
    assert png_size(EXTENSION / "MedSR.png") == (128, 128)
    for picture in EXTENSION.rglob("*.png"):
        assert picture.stat().st_size < 300_000, picture


@pytest.mark.parametrize("path", PYTHON, ids=lambda p: p.name)
def test_slicer_5_8_can_read_it(path: Path) -> None:
    """Python 3.9: its grammar, and the names of its library that came later."""
    text = path.read_text("utf-8")
    tree = ast.parse(text, feature_version=(3, 9))
    assert "from __future__ import annotations" in text or len(text) < 500
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            keywords = {k.arg for k in node.keywords}
            assert not (getattr(node.func, "id", "") == "zip" and "strict" in keywords), "3.10"
            assert not keywords & {"slots", "kw_only"}, "3.10"
            if getattr(node.func, "id", "") == "isinstance":
                assert not isinstance(node.args[1], ast.BinOp), "3.10"
        if isinstance(node, ast.ImportFrom):
            later = {"tomllib", "StrEnum", "Self", "ParamSpec", "TypeAlias", "pairwise", "batched"}
            assert not later & {node.module or "", *(a.name for a in node.names)}


def test_the_logic_knows_no_qt() -> None:
    for path in (MODULE / "MedSRLib").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"qt", "ctk", "PythonQt", "medsr"} & {n.split(".")[0] for n in names}, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "slicer":
                assert node.attr.startswith("vtkMRML"), f"{path}: slicer.{node.attr} is the application's"


def test_only_the_scene_needs_slicers_packages() -> None:
    for path in (MODULE / "MedSRLib").glob("*.py"):
        if path.name in ("scene.py", "layout.py", "frames.py"):
            continue
        text = path.read_text("utf-8")
        assert not re.search(
            r"^\s*(import|from) (slicer|vtk|numpy|MedSRLib\.(scene|layout))\b", text, re.MULTILINE
        )


def test_every_widget_that_is_used_is_in_the_form() -> None:
    form = ElementTree.parse(MODULE / "Resources" / "UI" / "MedSR.ui")
    names = [w.get("name") for w in form.iter("widget")]
    assert len(names) == len(set(names))
    used = set(re.findall(r"self\.ui\.(\w+)", (MODULE / "MedSR.py").read_text("utf-8")))
    assert used <= set(names)
    entered = {n for n in names if n and re.search(r"(Button|LineEdit|ComboBox|CheckBox|Selector)$", n)}
    assert entered - used <= {"scanCollapsibleButton", "wantedCollapsibleButton", "resultCollapsibleButton"} | {
        "logCollapsibleButton"
    }
    for widget in form.iter("widget"):
        if re.search(r"(LineEdit|ComboBox|CheckBox|PushButton|Selector)$", widget.get("class") or ""):
            tips = [p for p in widget.findall("property") if p.get("name") == "toolTip"]
            assert tips, f"{widget.get('name')} has no tool tip"
