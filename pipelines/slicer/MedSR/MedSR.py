"""MedSR: reconstructs thick-slice and coarse MR volumes on a finer grid, in the background.

What is shown is here; what is done is in MedSRLib, which knows no Qt.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import ctk
import qt
import slicer
from MedSRLib import environment, form, installing, interpreters, layout, scene, settings
from MedSRLib.problem import Problem
from MedSRLib.run import Run, WorkFolder
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

HELP = """Reconstructs a thick-slice or coarse MR volume on a finer grid, and shows what the result leaves
unexplained of the scan. medsr runs in an environment of its own, which this module makes after asking. For
research use."""

TARGETS = ("automatic", "spacing", "factor")
"""What the entries of the form's list stand for."""

PLACED = ("method", "spacing", "slice_thickness")
"""Options that the form has a place for; those that medsr has besides get a row under "More options"."""

INTERVAL = 100
"""Milliseconds between two looks at what runs."""


class MedSR(ScriptedLoadableModule):
    """The module's entry in Slicer."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "MedSR"
        self.parent.categories = ["Filtering"]
        self.parent.dependencies = []
        self.parent.contributors = ["medsr"]
        self.parent.helpText = HELP
        self.parent.acknowledgementText = "Apache-2.0. The method's card and the report name the papers to cite."


class MedSRWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The form."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._entries = {}
        self._more = None
        self._shown = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/MedSR.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = MedSRLogic()
        self.timer = qt.QTimer()
        self.timer.setInterval(INTERVAL)
        self.timer.connect("timeout()", self.onTimer)

        self.ui.wheelsPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.ui.pythonPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Files
        self._fillSettings()
        self._fillOptions(form.shipped())
        self._looked = False

        self.ui.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onInputChanged)
        self.ui.filePathLineEdit.connect("currentPathChanged(QString)", self.onInputChanged)
        self.ui.targetComboBox.connect("currentIndexChanged(int)", self.onTargetChanged)
        self.ui.methodComboBox.connect("currentIndexChanged(int)", self.onMethodChanged)
        self.ui.runButton.connect("clicked(bool)", self.onRun)
        self.ui.cancelButton.connect("clicked(bool)", self.onCancel)
        self.ui.showButton.connect("clicked(bool)", self.onShow)
        self.ui.reportButton.connect("clicked(bool)", self.onReport)
        self.ui.installButton.connect("clicked(bool)", self.onInstall)
        self.ui.checkButton.connect("clicked(bool)", self.onCheck)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneClosing)
        self.onTargetChanged()
        self.onInputChanged()

    def enter(self):
        """The first time: looks whether medsr is there, and which options it has."""
        if not self._looked:
            self.onCheck()

    def cleanup(self):
        """Slicer is being closed, or the module reloaded: nothing goes on, nothing is left."""
        self.timer.stop()
        self.logic.close()
        self.removeObservers()

    # what the user does

    def onInputChanged(self, *_):
        volume = self.ui.inputSelector.currentNode()
        facts = self.logic.facts(volume) if volume is not None else {}
        thickness = facts.get("SliceThickness")
        self.ui.thicknessLineEdit.placeholderText = (
            f"{thickness:g}, by the scan's header"
            if isinstance(thickness, (int, float))
            else "the scan's own, else the spacing between slices"
        )
        self._updateButtons()

    def onTargetChanged(self, *_):
        self.ui.targetLineEdit.enabled = self.ui.targetComboBox.currentIndex != 0

    def onMethodChanged(self, *_):
        card = self.logic.cards.get(self.ui.methodComboBox.currentText, "")
        self.ui.methodComboBox.toolTip = card or "How to reconstruct."

    def onRun(self, *_):
        path = self.ui.filePathLineEdit.currentPath.strip()
        if not self.logic.installed:
            self.onInstall()
            return
        try:
            self.logic.start(self.ui.inputSelector.currentNode(), path, self._options())
        except Problem as problem:
            self._fail(str(problem))
            return
        self.ui.logText.clear()
        self._begin("starting")

    def onCancel(self, *_):
        self.logic.cancel()
        self.ui.stageLabel.text = "cancelling"

    def onShow(self, *_):
        if self._shown is not None:
            self._showSideBySide(self._shown)

    def onReport(self, *_):
        if self.logic.report is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self.logic.report)))

    def onCheck(self, *_):
        """Saves the settings, looks what is there and reads the options that it has."""
        self._looked = True
        try:
            settings.save(self._settings())
            self.ui.environmentLabel.text = self.logic.look()
            self._fillOptions(self.logic.description)
        except Problem as problem:
            self.ui.environmentLabel.text = str(problem)
            self.ui.environmentCollapsibleButton.collapsed = False

    def onInstall(self, *_):
        try:
            settings.save(self._settings())
            python = self.logic.base_python()
        except Problem as problem:
            self._fail(str(problem))
            return
        if not slicer.util.confirmOkCancelDisplay(installing.question(self._settings()), windowTitle="MedSR"):
            return
        try:
            self.logic.install(python, self._settings())
        except Problem as problem:
            self._fail(str(problem))
            return
        self.ui.logText.clear()
        self._begin("installing medsr")
        self.ui.progressBar.maximum = 0  # pip does not say how far it is

    def onSceneClosing(self, *_):
        """The volume that is at work goes: so does the work."""
        if self.logic.run is not None:
            self.logic.close()
            self._end("cancelled, as the scene was closed")
        self._shown = None
        self.ui.showButton.enabled = False

    def onTimer(self):
        if self.logic.installation is not None:
            self._watchInstallation()
        elif self.logic.run is not None:
            self._watchRun()

    # what is going on

    def _watchRun(self):
        for line in self.logic.run.poll():
            self.ui.logText.appendPlainText(line)
        self.ui.progressBar.value = int(100 * self.logic.run.progress.fraction)
        self.ui.stageLabel.text = self.logic.run.progress.stage
        state, message = self.logic.run.state, self.logic.run.message
        if state == "running":
            return
        try:
            results = self.logic.finish(self.ui.mapsCheckBox.checked)
        except Problem as problem:
            state, message, results = "failed", str(problem), None
        self._end(message or "done")
        if state == "failed":
            self._fail(message)
        elif results is not None:
            self._shown = results
            self.ui.showButton.enabled = True
            if self.ui.sideBySideCheckBox.checked:
                self._showSideBySide(results)
            if message:  # a promise was missed: the result is there, and the user has to know
                slicer.util.warningDisplay(message, windowTitle="MedSR")

    def _watchInstallation(self):
        installation = self.logic.installation
        for line in installation.poll():
            self.ui.logText.appendPlainText(line)
            self.ui.stageLabel.text = line[:100]
        if installation.state == "running":
            return
        self.logic.installation = None
        self._end(
            {"done": "medsr is installed", "cancelled": "cancelled; nothing was installed"}.get(installation.state)
        )
        if installation.state == "failed":
            self._fail(installation.error)
        elif installation.state == "done":
            self.ui.pythonPathLineEdit.currentPath = ""
            self.onCheck()

    def _begin(self, stage):
        self.ui.progressBar.maximum = 100
        self.ui.progressBar.value = 0
        self.ui.stageLabel.text = stage
        self.timer.start()
        self._updateButtons()

    def _end(self, stage):
        self.timer.stop()
        self.ui.progressBar.maximum = 100
        self.ui.progressBar.value = 0
        self.ui.stageLabel.text = stage or ""
        self._updateButtons()

    def _fail(self, line):
        self.ui.stageLabel.text = line
        logging.error(line)
        slicer.util.errorDisplay(line, windowTitle="MedSR")

    def _updateButtons(self):
        busy = self.logic.busy
        chosen = self.ui.inputSelector.currentNode() is not None or bool(
            self.ui.filePathLineEdit.currentPath.strip()
        )
        self.ui.runButton.enabled = chosen and not busy
        self.ui.cancelButton.enabled = busy
        self.ui.installButton.enabled = self.ui.checkButton.enabled = not busy
        self.ui.reportButton.enabled = self.logic.report is not None

    # the form

    def _options(self):
        """What was chosen, by the names of medsr's options.

        Raises
        ------
        Problem
            if the factor is none.
        """
        target, text = TARGETS[self.ui.targetComboBox.currentIndex], self.ui.targetLineEdit.text
        if target == "factor":
            volume = self.ui.inputSelector.currentNode()
            if volume is None or self.ui.filePathLineEdit.currentPath.strip():
                raise Problem("a factor needs a volume of the scene; for a file, give the voxel size in mm")
            text = form.spacing_of_factor(text, volume.GetSpacing())
        more = {name: read() for name, read in self._entries.items()}
        return {
            **more,
            "method": self.ui.methodComboBox.currentText,
            "spacing": "" if target == "automatic" else text,
            "slice_thickness": self.ui.thicknessLineEdit.text,
        }

    def _fillOptions(self, description):
        """Rows for the options of `description`, with its help."""
        if description is None:
            return
        known = self.logic.take_description(description)
        method = self.ui.methodComboBox.currentText or known["method"].default
        self.ui.methodComboBox.clear()
        for choice in known["method"].choices:
            self.ui.methodComboBox.addItem(choice)
        self.ui.methodComboBox.currentIndex = max(0, self.ui.methodComboBox.findText(method))
        self.ui.targetLineEdit.toolTip = known["spacing"].help
        self.ui.thicknessLineEdit.toolTip = known["slice_thickness"].help
        if self._more is not None:
            self._more.setParent(None)
        self._more = qt.QWidget()
        rows = qt.QFormLayout(self._more)
        self._entries = {}
        for name, parameter in known.items():
            if name not in PLACED:
                widget, self._entries[name] = _entry(parameter)
                widget.toolTip = parameter.help
                rows.addRow(f"{parameter.label}:", widget)
        self.ui.moreCollapsibleButton.layout().addWidget(self._more)
        self.onMethodChanged()

    def _fillSettings(self):
        chosen = settings.load()
        self.ui.pythonPathLineEdit.currentPath = chosen.python
        self.ui.wheelsPathLineEdit.currentPath = chosen.wheels
        self.ui.requirementLineEdit.text = chosen.requirement
        self.ui.gpuCheckBox.checked = chosen.gpu

    def _settings(self):
        return settings.Settings(
            self.ui.pythonPathLineEdit.currentPath.strip(),
            self.ui.wheelsPathLineEdit.currentPath.strip(),
            self.ui.requirementLineEdit.text.strip() or settings.REQUIREMENT,
            bool(self.ui.gpuCheckBox.checked),
        )

    def _showSideBySide(self, volumes):
        """Those of the volumes that are still there."""
        there = [v for v in map(slicer.mrmlScene.GetNodeByID, volumes) if v is not None]
        if not there:
            return
        manager = slicer.app.layoutManager()
        orientation = layout.across_the_slices(there[0])
        layout.arrange(manager.layoutLogic().GetLayoutNode(), len(there), orientation)
        layout.fill(slicer.mrmlScene, there, orientation)
        for number in range(len(there)):
            manager.sliceWidget(layout.tag(number)).fitSliceToBackground()


def _entry(parameter):
    """A widget for an option, and what reads it."""
    if parameter.kind == "boolean":
        box = qt.QCheckBox()
        box.checked = parameter.default == "true"
        return box, lambda: "true" if box.checked else ""
    if parameter.choices:
        choice = qt.QComboBox()
        for text in parameter.choices:
            choice.addItem(text)
        choice.currentIndex = max(0, choice.findText(parameter.default))
        return choice, lambda: choice.currentText
    line = qt.QLineEdit()
    line.placeholderText = parameter.default or "default"
    return line, lambda: line.text


class MedSRLogic(ScriptedLoadableModuleLogic):
    """One run, or one installation, at a time. No window is needed: scripts can use it.

    >>> logic = MedSRLogic()
    >>> logic.start(volume, "", {"method": "spline"})
    >>> logic.run.wait()
    >>> scan, image, *maps = logic.finish()
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.run = None
        self.installation = None
        self.report = None
        self.description = None
        self.known = {}
        self.cards = {}
        self._scan = None

    @property
    def busy(self):
        """Whether something runs."""
        return self.run is not None or self.installation is not None

    @property
    def installed(self):
        """Whether there is an environment, or one was chosen."""
        return bool(settings.load().python) or environment.own_folder().is_dir()

    def look(self):
        """One line on the medsr that is there; reads its options. Raises Problem where there is none."""
        there = environment.current(settings.load())
        line = there.check()
        self.description = there.description()
        self.cards = there.cards()
        return line

    def take_description(self, description):
        """The options that medsr has, by name."""
        self.known = form.parameters(description)
        return self.known

    def facts(self, volume):
        """What the header of a volume's own files says of how it was made, in BIDS' words."""
        return scene.facts_of(volume) or _dicom_facts(volume)

    def start(self, volume, path, options):
        """Starts medsr on a volume, or on the file at `path` if one is given. Raises Problem."""
        there = environment.current(settings.load())
        if not self.known:
            self.take_description(there.description() or form.shipped() or "")
        folder = WorkFolder(slicer.app.temporaryPath)
        try:
            if path:
                source, name = Path(path), Path(path).name.split(".")[0]
                label = source.name
            else:
                source, name = folder.scan, volume.GetName()
                label = name
                scene.export(volume, source)
                folder.write_facts(self.facts(volume))
            self.run = Run(there, source, folder, options, self.known, label)
        except Problem:
            folder.remove()
            raise
        self._scan = (None if path else volume.GetID(), name)

    def finish(self, maps=True):
        """What came of a run: ids of the scan (where it is a volume), the image and the maps; None if it failed.

        Raises Problem if the result cannot be read back.
        """
        run, self.run = self.run, None
        identity, name = self._scan
        try:
            if run.state != "done":
                return None
            scan = slicer.mrmlScene.GetNodeByID(identity) if identity else None
            added = scene.add_results(slicer.mrmlScene, scan, run.folder.result, run.maps if maps else {}, name)
            self._keep(run.report, name)
            return [v.GetID() for v in ([] if scan is None else [scan]) + list(added.values())]
        finally:
            run.close()

    def cancel(self):
        """Stops what runs."""
        if self.installation is not None:
            self.installation.cancel()
        elif self.run is not None:
            self.run.cancel()

    def close(self):
        """Stops what runs, at once, and removes what is on the disk."""
        if self.installation is not None:
            self.installation.cancel()
            self.installation = None
        if self.run is not None:
            self.run.close()
            self.run = None
        self._keep(None, "")

    def base_python(self):
        """A Python to make an environment with. Raises Problem where there is none."""
        own = interpreters.inside(slicer.app.slicerHome)
        python = interpreters.find(own)
        if python is None:
            version = ".".join(map(str, interpreters.version(own) or ("unknown",)))
            least = ".".join(map(str, interpreters.LEAST))
            raise Problem(interpreters.TOO_OLD.format(least=least, own=version))
        return python

    def install(self, python, chosen):
        """Starts making the environment. Raises Problem."""
        self.installation = installing.Installation(python, chosen)

    def _keep(self, report, name):
        """The report of the last run, and of no other."""
        if self.report is not None:
            self.report.unlink(missing_ok=True)
            self.report = None
        if report is not None:
            kept = Path(slicer.app.temporaryPath) / f"{report.parent.name}-{_plain(name)}.html"
            self.report = report.replace(kept)


def _plain(name):
    """A name that every file system takes."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:60] or "result"


def _dicom_facts(volume):
    """Slice thickness and 2D or 3D of the DICOM series that a volume was loaded from; nothing where it was not."""
    uids = (volume.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if not uids or database is None:
        return {}
    thickness = database.instanceValue(uids[0], "0018,0050")
    kind = database.instanceValue(uids[0], "0018,0023")
    facts = {}
    with contextlib.suppress(TypeError, ValueError):
        facts["SliceThickness"] = float(thickness)
    if kind in ("2D", "3D"):
        facts["MRAcquisitionType"] = kind
    return facts


class MedSRTest(ScriptedLoadableModuleTest):
    """Runs inside Slicer (Reload and Test); the rest of the tests needs no Slicer and is in medsr's own tests."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_thick_slices()

    def test_thick_slices(self):
        """A volume in, a finer one out, in the same place; nothing else is left."""
        import numpy as np

        logic = MedSRLogic()
        try:
            logic.look()
        except Problem as problem:
            self.delayDisplay(f"Not tested: {problem}")
            return
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
        z, y, x = np.mgrid[:8, :24, :24]
        voxels = (100 * np.exp(-((x - 12) ** 2 + (y - 12) ** 2 + 9 * (z - 4) ** 2) / 60)).astype("float32")
        slicer.util.updateVolumeFromArray(volume, voxels)
        volume.SetSpacing(1, 1, 3)
        volume.CreateDefaultDisplayNodes()
        logic.start(volume, "", {"method": "spline"})
        logic.run.wait()
        _scan, image, *_maps = map(slicer.mrmlScene.GetNodeByID, logic.finish())
        self.assertEqual(image.GetImageData().GetDimensions(), (24, 24, 24))
        before, after = [0.0] * 6, [0.0] * 6
        volume.GetRASBounds(before)
        image.GetRASBounds(after)
        self.assertLess(max(abs(a - b) for a, b in zip(before, after)), 1e-3)
        self.delayDisplay("Test passed")
