"""The form in Qt itself, in an environment of its own (pipelines/slicer/environments.py form)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.slicer.conftest import EXTENSION

pytestmark = pytest.mark.peers
widgets = pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)


@pytest.fixture(scope="module")
def drawing() -> Any:
    spec = importlib.util.spec_from_file_location("medsr_form", EXTENSION / "pictures" / "form.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.application = widgets.QApplication.instance() or widgets.QApplication([])
    return module


def test_qt_loads_the_form(drawing: Any) -> None:
    form = drawing.load()
    for element in ElementTree.parse(drawing.UI).iter("widget"):
        name, kind = element.get("name"), element.get("class")
        found = form if form.objectName() == name else form.findChild(widgets.QWidget, name)
        assert found is not None, name
        if kind not in drawing.STAND_INS:
            assert found.metaObject().className() == kind
    more = form.findChild(widgets.QWidget, "moreCollapsibleButton")
    assert isinstance(more.layout(), widgets.QVBoxLayout), "a form is put into it"
    assert form.findChild(widgets.QComboBox, "targetComboBox").count() == 3


def test_the_picture(drawing: Any, tmp_path: Path) -> None:
    from PySide6.QtGui import QImage

    drawing.main(tmp_path / "form.png")
    image = QImage(str(tmp_path / "form.png"))
    assert (image.width(), image.height() > 500) == (460, True)
    colours = {image.pixel(x, y) for x in range(0, 460, 7) for y in range(0, image.height(), 7)}
    assert len(colours) > 5
