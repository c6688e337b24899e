"""The few calls to Qt, CTK and Slicer's application that the form makes, as far as it makes them.

Widgets are made from MedSR.ui and have the properties of their class and no others, so that a wrong name
fails here as it would in Slicer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

PROPERTIES: dict[str, dict[str, Any]] = {
    "QLabel": {"text": ""},
    "QLineEdit": {"text": "", "placeholderText": ""},
    "QCheckBox": {"text": "", "checked": False},
    "QPushButton": {"text": ""},
    "QProgressBar": {"value": 0, "maximum": 100},
    "QPlainTextEdit": {"readOnly": False, "plainText": ""},
    "QComboBox": {"currentIndex": -1},
    "QWidget": {},
    "ctkPathLineEdit": {"currentPath": "", "filters": 0},
    "ctkCollapsibleButton": {"text": "", "collapsed": False},
    "qMRMLNodeComboBox": dict.fromkeys(
        ("nodeTypes", "showChildNodeTypes", "noneEnabled", "addEnabled", "removeEnabled")
    ),
    "qMRMLWidget": {},
}
COMMON = {"enabled": True, "toolTip": "", "wordWrap": False}


class Signals:
    """What can be connected to, and set off."""

    def __init__(self) -> None:
        object.__setattr__(self, "slots", {})

    def connect(self, signal: str, slot: Callable[..., None]) -> None:
        self.slots.setdefault(signal, []).append(slot)

    def emit(self, signal: str, *values: Any) -> None:
        assert signal in self.slots, f"nothing listens to {signal}"
        for slot in self.slots[signal]:
            slot(*values)


class Widget(Signals):
    """A widget of a class of Qt, CTK or Slicer."""

    kind = "QWidget"

    def __init__(self, kind: str = "") -> None:
        super().__init__()
        object.__setattr__(self, "kind", kind or self.kind)
        object.__setattr__(self, "known", {**COMMON, **PROPERTIES[self.kind]})
        object.__setattr__(self, "rows", Rows())
        object.__setattr__(self, "gone", False)

    def __getattr__(self, name: str) -> Any:
        if name in self.known:
            return self.known[name]
        raise AttributeError(f"{self.kind} has no {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.known:
            raise AttributeError(f"{self.kind} has no property {name}")
        self.known[name] = value

    def click(self) -> None:
        assert self.kind == "QPushButton"
        assert self.enabled, "who clicks a button that is grey?"
        self.emit("clicked(bool)", False)

    def layout(self) -> Rows:
        return self.rows

    def setParent(self, parent: None) -> None:
        object.__setattr__(self, "gone", True)

    def setMRMLScene(self, scene: Any) -> None:
        assert self.kind == "qMRMLWidget"


class LineEdit(Widget):
    kind = "QLineEdit"


class CheckBox(Widget):
    kind = "QCheckBox"


class PlainTextEdit(Widget):
    kind = "QPlainTextEdit"

    def appendPlainText(self, text: str) -> None:
        self.plainText += text + "\n"

    def clear(self) -> None:
        self.plainText = ""


class ComboBox(Widget):
    kind = "QComboBox"

    def __init__(self, kind: str = "") -> None:
        super().__init__(kind)
        object.__setattr__(self, "items", [])

    def addItem(self, text: str) -> None:
        self.items.append(text)
        self.known["currentIndex"] = max(0, self.currentIndex)

    def clear(self) -> None:
        self.items.clear()
        self.known["currentIndex"] = -1

    def findText(self, text: str) -> int:
        return self.items.index(text) if text in self.items else -1

    @property
    def currentText(self) -> str:
        return self.items[self.currentIndex] if self.items else ""

    def choose(self, text: str) -> None:
        self.currentIndex = self.items.index(text)
        self.emit("currentIndexChanged(int)", self.currentIndex)


class NodeComboBox(Widget):
    kind = "qMRMLNodeComboBox"

    def __init__(self, kind: str = "") -> None:
        super().__init__(kind)
        object.__setattr__(self, "node", None)

    def currentNode(self) -> Any:
        return self.node

    def choose(self, node: Any) -> None:
        object.__setattr__(self, "node", node)
        self.emit("currentNodeChanged(vtkMRMLNode*)", node)


class PathLineEdit(Widget):
    kind = "ctkPathLineEdit"
    Files, Dirs = 1, 2

    def choose(self, path: str) -> None:
        self.currentPath = path
        for slot in self.slots.get("currentPathChanged(QString)", []):
            slot(path)


class Rows:
    """A layout; of a form, with labels."""

    def __init__(self, of: Widget | None = None) -> None:
        self.rows: list[tuple[str, Widget]] = []
        if of is not None:
            object.__setattr__(of, "rows", self)

    def addRow(self, label: str, widget: Widget) -> None:
        self.rows.append((label, widget))

    def addWidget(self, widget: Widget) -> None:
        self.rows = [("", w) for _, w in self.rows if not w.gone] + [("", widget)]


class Timer(Signals):
    def __init__(self) -> None:
        super().__init__()
        self.running = False

    def setInterval(self, milliseconds: int) -> None:
        assert milliseconds > 0

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False


CLASSES = {c.kind: c for c in (LineEdit, CheckBox, PlainTextEdit, ComboBox, NodeComboBox, PathLineEdit)}


def load_ui(path: str) -> Widget:
    """The root of a form, its widgets by name under `children`."""
    children: dict[str, Widget] = {}
    for element in ElementTree.parse(path).iter("widget"):
        kind = element.get("class") or ""
        widget = CLASSES.get(kind, Widget)(kind)
        for prop in element.findall("property"):
            name, value = prop.get("name") or "", prop[0]
            if name in widget.known and value.tag in ("string", "bool", "number"):
                read = {"bool": lambda t: t == "true", "number": int, "string": str}[value.tag]
                setattr(widget, name, read(value.text or ""))
        for item in element.findall("item"):
            widget.addItem(item.findtext("property/string") or "")
        children[element.get("name") or ""] = widget
    root = next(iter(children.values()))
    object.__setattr__(root, "children", children)
    return root


class Application:
    """slicer.app, and the views of its layout."""

    def __init__(self, temporary: Path, layout_node: Any) -> None:
        self.temporaryPath = str(temporary)
        self.slicerHome = str(temporary / "Slicer")
        self.fitted: list[str] = []
        self._layout_node = layout_node

    def layoutManager(self) -> Application:
        return self

    def layoutLogic(self) -> Application:
        return self

    def GetLayoutNode(self) -> Any:
        return self._layout_node

    def sliceWidget(self, tag: str) -> Any:
        return SimpleNamespace(fitSliceToBackground=lambda: self.fitted.append(tag))


class Observing:
    """VTKObservationMixin."""

    def __init__(self) -> None:
        self.observed: list[tuple[Any, Any, Callable[..., None]]] = []

    def addObserver(self, thing: Any, event: Any, method: Callable[..., None]) -> None:
        self.observed.append((thing, event, method))

    def removeObservers(self) -> None:
        self.observed.clear()


class ModuleWidget:
    """ScriptedLoadableModuleWidget."""

    def __init__(self, parent: Any = None) -> None:
        self.layout = Rows()

    def setup(self) -> None:
        pass

    def resourcePath(self, name: str) -> str:
        return str(Path(sys.modules["MedSR"].__file__ or "").parent / "Resources" / name)


class Said:
    """What the user was shown, and what they answer."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.questions: list[str] = []
        self.opened: list[str] = []
        self.answer = True

    def ask(self, text: str, **_: Any) -> bool:
        self.questions.append(text)
        return self.answer


def install(monkeypatch: pytest.MonkeyPatch, application: Application, slicer: Any) -> Said:
    """Puts the stand-ins where MedSR.py imports them from; `slicer` is a package that has `mrmlScene`."""
    said = Said()
    slicer.app = application
    util = ModuleType("slicer.util")
    util.__dict__.update(
        loadUI=load_ui,
        childWidgetVariables=lambda widget: SimpleNamespace(**widget.children),
        errorDisplay=lambda text, **_: said.errors.append(text),
        warningDisplay=lambda text, **_: said.warnings.append(text),
        confirmOkCancelDisplay=said.ask,
        VTKObservationMixin=Observing,
    )
    base = ModuleType("slicer.ScriptedLoadableModule")
    for name in ("ScriptedLoadableModule", "ScriptedLoadableModuleLogic", "ScriptedLoadableModuleTest"):
        base.__dict__[name] = type(name, (), {"__init__": lambda self, *_: None})
    base.__dict__["ScriptedLoadableModuleWidget"] = ModuleWidget
    qt = ModuleType("qt")
    services = SimpleNamespace(openUrl=said.opened.append)
    urls = SimpleNamespace(fromLocalFile=lambda name: f"file://{name}")
    qt.__dict__.update(QTimer=Timer, QCheckBox=CheckBox, QComboBox=ComboBox, QLineEdit=LineEdit)
    qt.__dict__.update(QDesktopServices=services, QUrl=urls, QWidget=Widget, QFormLayout=Rows)
    ctk = ModuleType("ctk")
    ctk.__dict__["ctkPathLineEdit"] = PathLineEdit
    monkeypatch.setattr(slicer, "util", util, raising=False)
    for name, module in {"qt": qt, "ctk": ctk, "slicer": slicer, util.__name__: util, base.__name__: base}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "MedSR", raising=False)
    return said


def until_idle(widget: Any) -> list[float]:
    """Lets time pass until the form's job is over; the progress that was shown."""
    shown = []
    begun = time.monotonic()
    while widget.timer.running:
        assert time.monotonic() - begun < 120
        widget.timer.emit("timeout()")
        shown.append(widget.ui.progressBar.value)
        time.sleep(0.02)
    return shown
