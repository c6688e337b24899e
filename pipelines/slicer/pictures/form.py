"""The form of the module as a picture: ``.venv/slicer/form/bin/python pipelines/slicer/pictures/form.py``.

Qt draws it. The widgets that come from CTK and Slicer are not in PySide6; plain ones of the same purpose stand in
for them here: a button that folds, a line with a button for a path, a list of volumes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtUiTools import QUiLoader

HERE = Path(__file__).resolve().parent
EXTENSION = HERE.parent
UI = EXTENSION / "MedSR" / "Resources" / "UI" / "MedSR.ui"
XML = EXTENSION / "MedSRReconstruct" / "MedSRReconstruct.xml"


class Folding(QtWidgets.QWidget):
    """In place of ctkCollapsibleButton."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed = "", False
        self.setContentsMargins(6, 26, 6, 4)

    def _set_text(self, text: str) -> None:
        self._text = text

    def _set_collapsed(self, collapsed: bool) -> None:
        self._collapsed = collapsed

    text = QtCore.Property(str, lambda self: self._text, _set_text)
    collapsed = QtCore.Property(bool, lambda self: self._collapsed, _set_collapsed)

    def fold(self) -> None:
        """Hides what is in it, if it is folded."""
        if self._collapsed:
            for child in self.findChildren(QtWidgets.QWidget):
                child.hide()
            self.setMaximumHeight(24)

    def paintEvent(self, event: Any) -> None:  # Qt's name
        painter = QtGui.QPainter(self)
        bar = QtCore.QRect(0, 0, self.width() - 1, 22)
        painter.setPen(self.palette().mid().color())
        painter.setBrush(self.palette().button())
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1) if not self._collapsed else bar)
        painter.drawRect(bar)
        painter.setPen(self.palette().buttonText().color())
        painter.drawText(bar.adjusted(8, 0, 0, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, self._mark())

    def _mark(self) -> str:
        return ("▸  " if self._collapsed else "▾  ") + self._text


class PathLine(QtWidgets.QWidget):
    """In place of ctkPathLineEdit."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.line, button = QtWidgets.QLineEdit(), QtWidgets.QToolButton()
        button.setText("…")
        row.addWidget(self.line)
        row.addWidget(button)


class NodeList(QtWidgets.QComboBox):
    """In place of qMRMLNodeComboBox."""


class Root(QtWidgets.QWidget):
    """In place of qMRMLWidget; it has no scene to tell of, which Qt complains of."""


STAND_INS = {
    "ctkCollapsibleButton": Folding,
    "ctkPathLineEdit": PathLine,
    "qMRMLNodeComboBox": NodeList,
    "qMRMLWidget": Root,
}


class Loader(QUiLoader):
    """Qt's own loader, which asks here for the classes that it does not know."""

    def createWidget(self, kind: str, parent: Any = None, name: str = "") -> Any:  # Qt's name
        if kind not in STAND_INS:
            return super().createWidget(kind, parent, name)
        widget = STAND_INS[kind](parent)
        widget.setObjectName(name)
        return widget


def load() -> Any:
    """The form as Qt loads it; raises RuntimeError if it cannot."""
    form = Loader().load(str(UI))
    if form is None:
        raise RuntimeError(f"{UI}: Qt cannot load the form")
    return form


def fill(form: Any) -> None:
    """As it looks with a scan chosen."""
    form.findChild(NodeList, "inputSelector").addItem("colin27_1x1x4mm")
    for group in ElementTree.parse(XML).iter("parameters"):  # noqa: S314 - medsr's own
        for parameter in group:
            name = parameter.findtext("name")
            if name == "method":
                box = form.findChild(QtWidgets.QComboBox, "methodComboBox")
                box.addItems([e.text for e in parameter.findall("element")])
                box.setCurrentText(parameter.findtext("default"))
    thickness = form.findChild(QtWidgets.QLineEdit, "thicknessLineEdit")
    thickness.setPlaceholderText("4, by the scan's header")
    form.findChild(QtWidgets.QLineEdit, "targetLineEdit").setEnabled(False)
    form.findChild(QtWidgets.QPushButton, "runButton").setEnabled(True)
    form.findChild(QtWidgets.QLabel, "environmentLabel").setText("medsr 0.1.0, torch 2.13.0+cpu, Python 3.12")
    form.findChild(QtWidgets.QLineEdit, "requirementLineEdit").setText("medsr[kspace]>=0.1,<1")
    form.findChild(Folding, "environmentCollapsibleButton").collapsed = False
    for section in form.findChildren(Folding):
        section.fold()


def main(path: Path) -> None:
    """Draws it to `path`."""
    app = QtWidgets.QApplication.instance() or QtWidgets.QApplication(sys.argv[:1])
    app.setStyle("Fusion")
    form = load()
    fill(form)
    form.resize(460, form.sizeHint().height())
    form.show()
    app.processEvents()
    form.grab().save(str(path))
    print(path)


if __name__ == "__main__":
    main(HERE / "form.png")
