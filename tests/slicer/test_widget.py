"""The form, used as a user does, against stand-ins of Qt and of Slicer's application.

By default the scene is a stand-in too; where Slicer's packages are installed it is a real one (see test_scene.py).
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.slicer import stub
from tests.slicer.conftest import SAMPLE, left_in, write_scan
from tests.slicer.wheels import make


class Scene:
    """As much of a scene as the form itself touches."""

    StartCloseEvent = "closing"

    def __init__(self) -> None:
        self.nodes: dict[str, Any] = {}

    def GetNodeByID(self, identity: str) -> Any:
        return self.nodes.get(identity)


class Volume:
    """A volume of that scene."""

    def __init__(self, scene: Scene, name: str, attributes: dict[str, str] | None = None) -> None:
        self.name, self.attributes = name, attributes or {}
        scene.nodes[name] = self

    def GetName(self) -> str:
        return self.name

    GetID = GetName

    def GetSpacing(self) -> tuple[float, float, float]:
        return (1.0, 1.0, 4.0)

    def GetAttribute(self, name: str) -> str | None:
        return self.attributes.get(name)


class Form:
    """The form and what surrounds it."""

    def __init__(self, widget: Any, said: stub.Said, scene: Any, calls: list[Any], app: stub.Application) -> None:
        self.widget, self.said, self.scene, self.calls, self.app = widget, said, scene, calls, app

    @property
    def ui(self) -> Any:
        return self.widget.ui

    def until_idle(self) -> list[float]:
        return stub.until_idle(self.widget)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, work: Path) -> Iterator[Callable[[], Form]]:
    """Opens the form, once settings and the like are as the test wants them."""
    forms: list[Form] = []

    def open_form() -> Form:
        scene, calls = Scene(), []
        slicer = ModuleType("slicer")
        slicer.__dict__["mrmlScene"] = scene
        app = stub.Application(work, "layout node")
        said = stub.install(monkeypatch, app, slicer)
        pieces = ModuleType("MedSRLib.scene")
        pieces.__dict__.update(
            export=lambda volume, path: write_scan(path),
            facts_of=lambda volume: {},
            add_results=lambda scene, scan, image, maps, name: (
                calls.append((scan, image.is_file(), sorted(maps), name))
                or {"image": Volume(scene, f"{name}_desc-sr"), **{k: Volume(scene, f"{name}_{k}") for k in maps}}
            ),
        )
        row = ModuleType("MedSRLib.layout")
        row.__dict__.update(
            across_the_slices=lambda volume: "Coronal",
            arrange=lambda node, count, orientation: calls.append(("arrange", node, count, orientation)),
            fill=lambda scene, volumes, orientation: calls.append(("fill", [v.GetName() for v in volumes])),
            tag=lambda number: f"MedSR{number + 1}",
        )
        import MedSRLib

        for module in (pieces, row):
            monkeypatch.setitem(sys.modules, module.__name__, module)
            monkeypatch.setattr(MedSRLib, module.__name__.split(".")[1], module, raising=False)
        widget = importlib.import_module("MedSR").MedSRWidget()
        widget.setup()
        forms.append(Form(widget, said, scene, calls, app))
        return forms[-1]

    yield open_form
    for form in forms:
        form.widget.cleanup()


def test_what_is_offered(chosen: Path, opened: Callable[[], Form]) -> None:
    """Every option of a Job that Slicer is told of has a place in the form, with medsr's own help."""
    from medsr.cli.slicer_xml import IMAGES, SLICERS_OWN
    from medsr.job import options

    form = opened()
    module = importlib.import_module("MedSR")
    ((_, more),) = form.ui.moreCollapsibleButton.layout().rows
    rows = dict(more.layout().rows)
    offered = {*module.PLACED, *form.widget._entries}
    assert offered == {f.name for f, _ in options()} - SLICERS_OWN - set(IMAGES)
    assert len(rows) == len(form.widget._entries)
    helps = {o.help for _, o in options()}
    assert all(row.toolTip in helps for row in rows.values())
    form.widget.enter()
    assert form.ui.environmentLabel.text.startswith("medsr 0.")
    form.ui.methodComboBox.choose("spline")
    assert "B-spline" in form.ui.methodComboBox.toolTip
    assert len(form.ui.moreCollapsibleButton.layout().rows) == 1, "made again, not beside the old ones"
    form.ui.methodComboBox.choose("linear")
    assert "Trilinear" in form.ui.methodComboBox.toolTip


def test_volume_in_volume_out(chosen: Path, work: Path, opened: Callable[[], Form]) -> None:
    form = opened()
    assert not form.ui.runButton.enabled
    form.ui.inputSelector.choose(Volume(form.scene, "Head T1"))
    assert not form.ui.cancelButton.enabled
    form.ui.methodComboBox.choose("spline")
    form.ui.targetComboBox.choose("factor")
    form.ui.targetLineEdit.text = "1,1,2"
    form.ui.runButton.click()
    assert form.ui.cancelButton.enabled
    assert not form.ui.runButton.enabled
    shown = form.until_idle()
    assert form.said.errors == []
    assert shown[:-1] == sorted(shown[:-1])
    assert max(shown) >= 90
    assert form.ui.stageLabel.text == "done"
    scan, there, maps, name = form.calls[0]
    assert (scan.GetName(), there, maps, name) == ("Head T1", True, ["residual"], "Head T1")
    names = ["Head T1", "Head T1_desc-sr", "Head T1_residual"]
    assert form.calls[1:] == [("arrange", "layout node", 3, "Coronal"), ("fill", names)]
    assert form.app.fitted == ["MedSR1", "MedSR2", "MedSR3"]
    assert "-> " in form.ui.logText.plainText
    assert form.ui.runButton.enabled
    form.ui.reportButton.click()
    assert len(form.said.opened) == 1
    assert len(left_in(work)) == 1, "the report, until the form is closed"
    form.widget.cleanup()
    assert left_in(work) == []


def test_cancel(chosen: Path, work: Path, opened: Callable[[], Form]) -> None:
    form = opened()
    form.ui.filePathLineEdit.choose(str(SAMPLE))
    form.ui.runButton.click()
    form.ui.cancelButton.click()
    form.until_idle()
    assert form.ui.stageLabel.text == "cancelled; nothing was changed"
    assert (form.calls, form.said.errors, form.scene.nodes) == ([], [], {})
    assert left_in(work) == []
    assert form.ui.runButton.enabled


def test_an_error_is_one_clear_line(chosen: Path, work: Path, opened: Callable[[], Form]) -> None:
    form = opened()
    form.ui.inputSelector.choose(Volume(form.scene, "Head T1"))
    form.ui.thicknessLineEdit.text = "thick"
    form.ui.runButton.click()
    form.until_idle()
    assert len(form.said.errors) == 1
    assert form.said.errors[0].startswith("--slice-thickness is not a number")
    assert "\n" not in form.said.errors[0]
    assert form.ui.stageLabel.text == form.said.errors[0]
    assert form.calls == []
    assert left_in(work) == []


@pytest.mark.parametrize("text", ["", "two", "1,2", "0"])
def test_a_factor_that_is_none(text: str, chosen: Path, opened: Callable[[], Form]) -> None:
    form = opened()
    form.ui.inputSelector.choose(Volume(form.scene, "x"))
    form.ui.targetComboBox.choose("factor")
    form.ui.targetLineEdit.text = text
    form.ui.runButton.click()
    assert "is no factor; give one number" in form.said.errors[0]
    assert not form.widget.timer.running


def test_a_factor_for_a_file(chosen: Path, opened: Callable[[], Form]) -> None:
    form = opened()
    form.ui.filePathLineEdit.choose("/raw.h5")
    form.ui.targetComboBox.choose("factor")
    form.ui.targetLineEdit.text = "2"
    form.ui.runButton.click()
    assert "give the voxel size in mm" in form.said.errors[0]


def test_the_thickness_of_the_header_is_said(
    chosen: Path, opened: Callable[[], Form], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As DICOM has it; and it is told to medsr in the sidecar."""
    form = opened()
    values = {"0018,0050": "3.5", "0018,0023": "2D"}
    database = SimpleNamespace(instanceValue=lambda uid, tag: values[tag] if uid == "1.2" else "")
    monkeypatch.setattr(sys.modules["slicer"], "dicomDatabase", database, raising=False)
    volume = Volume(form.scene, "x", {"DICOM.instanceUIDs": "1.2 1.3"})
    form.ui.inputSelector.choose(volume)
    assert form.ui.thicknessLineEdit.placeholderText == "3.5, by the scan's header"
    assert form.widget.logic.facts(volume) == {"SliceThickness": 3.5, "MRAcquisitionType": "2D"}
    form.ui.inputSelector.choose(Volume(form.scene, "y"))
    assert "spacing between slices" in form.ui.thicknessLineEdit.placeholderText


def test_closing_the_scene_stops_the_work(chosen: Path, work: Path, opened: Callable[[], Form]) -> None:
    form = opened()
    form.ui.inputSelector.choose(Volume(form.scene, "x"))
    form.ui.runButton.click()
    (_, event, closing), *_ = form.widget.observed
    assert event == Scene.StartCloseEvent
    closing()
    assert not form.widget.timer.running
    assert left_in(work) == []
    assert form.ui.stageLabel.text == "cancelled, as the scene was closed"


def test_slicer_is_closed_in_the_middle(chosen: Path, work: Path, opened: Callable[[], Form]) -> None:
    form = opened()
    form.ui.inputSelector.choose(Volume(form.scene, "x"))
    form.ui.runButton.click()
    form.widget.cleanup()
    assert left_in(work) == []


def test_the_result_cannot_be_read_back(
    home: Path, work: Path, opened: Callable[[], Form], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from MedSRLib import settings
    from MedSRLib.problem import Problem

    form = opened()
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\ntouch ../result.nrrd\n")
    stand_in.chmod(0o755)

    settings.save(settings.Settings(python=str(stand_in)))

    def refuse(*_: Any) -> None:
        raise Problem("result.nrrd: the result cannot be read back")

    monkeypatch.setattr(sys.modules["MedSRLib.scene"], "add_results", refuse)
    form.ui.inputSelector.choose(Volume(form.scene, "x"))
    form.ui.runButton.click()
    form.until_idle()
    assert form.said.errors == ["result.nrrd: the result cannot be read back"]
    assert left_in(work) == []


# the environment


def test_run_without_medsr_offers_to_install_it(home: Path, opened: Callable[[], Form]) -> None:
    form = opened()
    form.widget.enter()
    assert "not installed yet" in form.ui.environmentLabel.text
    assert not form.ui.environmentCollapsibleButton.collapsed
    form.ui.inputSelector.choose(Volume(form.scene, "x"))
    form.said.answer = False
    form.ui.runButton.click()
    assert "Slicer's own Python stays as it is" in form.said.questions[0]
    assert [p.name for p in home.iterdir()] == ["settings.json"], "asked, answered no, nothing made"


def test_install_offline(home: Path, tmp_path: Path, opened: Callable[[], Form]) -> None:
    wheels = tmp_path / "wheels"
    make(wheels, "medsr", "0.1.0", ("torch",))
    make(wheels, "torch", "2.10.0")
    form = opened()
    form.ui.wheelsPathLineEdit.choose(str(wheels))
    form.ui.installButton.click()
    assert str(wheels) in form.said.questions[0]
    form.until_idle()
    assert form.said.errors == []
    assert form.ui.environmentLabel.text.startswith("medsr 0.1.0, torch 2.10.0")
    assert json.loads((home / "settings.json").read_text())["wheels"] == str(wheels)
    assert "medsr" in form.ui.logText.plainText


def test_install_fails_in_one_line(home: Path, tmp_path: Path, opened: Callable[[], Form]) -> None:
    form = opened()
    (tmp_path / "wheels").mkdir()
    form.ui.wheelsPathLineEdit.choose(str(tmp_path / "wheels"))
    form.ui.installButton.click()
    form.until_idle()
    assert len(form.said.errors) == 1
    assert form.said.errors[0].startswith("medsr could not be installed: ")
    assert form.ui.installButton.enabled


def test_no_python_is_new_enough(
    home: Path, opened: Callable[[], Form], monkeypatch: pytest.MonkeyPatch, work: Path
) -> None:
    own = work / "Slicer" / "bin" / "python-real"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\necho 3 9\n")
    own.chmod(0o755)
    monkeypatch.setattr("MedSRLib.interpreters._on_this_machine", lambda: iter(()))
    form = opened()
    form.ui.installButton.click()
    assert form.said.questions == []
    assert "medsr needs Python 3.11 or later; Slicer's own is 3.9" in form.said.errors[0]
    shutil.rmtree(work / "Slicer")
