"""On a real MRML scene, in an environment of Slicer's packages (pipelines/slicer/environments.py core)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.conftest import GRIDS
from tests.slicer import stub
from tests.slicer.conftest import left_in, write_scan

pytestmark = pytest.mark.peers
slicer = pytest.importorskip("slicer", exc_type=ImportError)


@pytest.fixture
def scene() -> Iterator[Any]:
    """A scene as Slicer has it: colours, sequences, views."""
    made = slicer.vtkMRMLScene()
    colours = slicer.vtkMRMLColorLogic()
    colours.SetMRMLScene(made)
    colours.AddDefaultColorNodes()
    sequences = slicer.vtkSlicerSequencesLogic()
    sequences.SetMRMLScene(made)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(made, True)
    yield made
    made.Clear(True)


@pytest.fixture
def loaded(scene: Any, tmp_path: Path) -> Any:
    """Loads a scan on one of the grids, from the NIfTI or the NRRD file of the same image."""
    from MedSRLib import scene as lib

    def load(grid: str, suffix: str = ".nii.gz") -> Any:
        path = write_scan(tmp_path / f"{grid.replace(' ', '_')}{suffix}", grid)
        volume = lib._load_volume(scene, path, "scan")
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        scene.AddNode(storage)
        storage.SetFileName(str(path))
        volume.SetAndObserveStorageNodeID(storage.GetID())
        return volume

    return load


def state(scene: Any) -> list[str]:
    """All nodes of a scene."""
    return sorted(scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes()))


def corners(to_ras: Any, shape: tuple[int, ...]) -> Any:
    """World coordinates of the outer corners of the field of view."""
    ends = np.array([(x, y, z, 1) for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    ends[:, :3] = ends[:, :3] * np.array(shape) - 0.5
    return (ends @ to_ras.T)[:, :3]


def as_slicer_has_it(volume: Any) -> tuple[Any, Any]:
    """Voxels and affine; Slicer turns the slices of a left-handed image round when it reads it."""
    data, affine = volume.data, np.array(volume.grid.affine)
    if np.linalg.det(affine[:3, :3]) < 0:
        affine[:3, 3] += affine[:3, 2] * (data.shape[2] - 1)
        affine[:3, 2] *= -1
        data = data[:, :, ::-1]
    return data, affine


@pytest.fixture
def form(monkeypatch: pytest.MonkeyPatch, work: Path, scene: Any, chosen: Path) -> Iterator[Any]:
    """The form on the real scene; Qt and the application are stand-ins."""
    layout = slicer.vtkMRMLLayoutNode()
    scene.AddNode(layout)
    views = slicer.vtkMRMLLayoutLogic()
    views.SetMRMLScene(scene)
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    for name in ("app", "util"):
        monkeypatch.setattr(slicer, name, getattr(slicer, name, None), raising=False)
    application = stub.Application(work, layout)
    said = stub.install(monkeypatch, application, slicer)
    for name in ("scene", "layout"):  # those of other tests are stand-ins
        sys.modules.pop(f"MedSRLib.{name}", None)
    widget = importlib.import_module("MedSR").MedSRWidget()
    widget.setup()
    yield SimpleNamespace(widget=widget, ui=widget.ui, said=said, app=application, views=views)
    widget.cleanup()


@pytest.mark.parametrize("grid", list(GRIDS))
def test_volume_out_and_in_again(grid: str, loaded: Any, tmp_path: Path) -> None:
    """What is written for medsr lies where the file lay that the volume came from, for every kind of grid."""
    from MedSRLib import scene as lib

    from medsr.io import open_volume

    volume = loaded(grid)
    lib.export(volume, tmp_path / "out.nrrd")
    written = open_volume(tmp_path / "out.nrrd")
    data, affine = as_slicer_has_it(open_volume(next(tmp_path.glob("*.nii.gz"))))
    assert np.abs(written.grid.affine - affine).max() < 1e-5
    assert np.array_equal(written.data, data)
    assert np.abs(lib.to_ras(volume) - affine).max() < 1e-5


@pytest.mark.parametrize(
    ("grid", "method"), [*((grid, "spline") for grid in GRIDS), ("oblique thick", "auto"), ("flipped", "auto")]
)
def test_through_the_form(grid: str, method: str, form: Any, scene: Any, loaded: Any, work: Path) -> None:
    """Volume in, medsr in the background, volumes out: where the NIfTI route puts them, voxel for voxel. The
    default method brings its uncertainty; slices turned round would give it another image of the same head.
    """
    import subprocess

    from MedSRLib import scene as lib

    from medsr.io import open_volume
    from tests.slicer.conftest import python_with_medsr

    volume = loaded(grid)
    source = Path(volume.GetStorageNode().GetFileName())
    form.ui.inputSelector.choose(volume)
    if method != "auto":
        form.ui.methodComboBox.choose(method)
    form.ui.targetComboBox.choose("voxel size (mm)")
    form.ui.targetLineEdit.text = "0.8"
    form.ui.runButton.click()
    shown = stub.until_idle(form.widget)
    assert form.said.errors == []
    assert shown[:-1] == sorted(shown[:-1])
    results = [scene.GetNodeByID(i) for i in form.widget._shown]
    endings = ["", "_residual", *(["_uncertainty"] if method == "auto" else [])]
    assert [v.GetName() for v in results] == ["scan", *(f"scan_desc-sr{ending}" for ending in endings)]
    route = source.with_name("route.nii.gz")
    line = [python_with_medsr(), "-m", "medsr", "reconstruct", str(source), "-o", str(route), "--spacing", "0.8"]
    line += ["--method", method]
    subprocess.run(line, check=True, capture_output=True)
    for node, ending in zip(results[1:], endings, strict=True):
        path = source.with_name(f"route{ending}.nii.gz")
        data, affine = as_slicer_has_it(open_volume(path))
        assert node.GetImageData().GetDimensions() == data.shape
        assert np.abs(lib.to_ras(node) - affine).max() < 1e-4
        # the same image: ITK hands the affine on in other digits than the file has
        assert np.abs(lib.voxels(node).transpose(2, 1, 0) - data).max() < 1e-5 * lib.voxels(volume).max()
    if grid != "plain":
        before = corners(lib.to_ras(volume), volume.GetImageData().GetDimensions())
        after = corners(lib.to_ras(results[1]), results[1].GetImageData().GetDimensions())
        assert np.abs(before - after).max() < 1.0, "the same field of view, to the rounding of voxels"
    assert len(left_in(work)) == 1, "the report"


def test_shown_side_by_side_and_linked(form: Any, scene: Any, loaded: Any) -> None:
    from MedSRLib import layout

    volume = loaded("oblique thick")
    form.ui.inputSelector.choose(volume)
    form.ui.methodComboBox.choose("spline")
    logics = []
    for number in range(3):  # the views' logics, which Slicer's layout manager makes
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLScene(scene)
        logic.AddSliceNode(layout.tag(number))
        logics.append(logic)
    form.ui.runButton.click()
    stub.until_idle(form.widget)
    assert form.said.errors == []
    assert form.app.GetLayoutNode().GetViewArrangement() == layout.FIRST + 3
    composites = layout._by_layout_name(scene, "vtkMRMLSliceCompositeNode")
    slices = layout._by_layout_name(scene, "vtkMRMLSliceNode")
    shown = [composites[layout.tag(n)].GetBackgroundVolumeID() for n in range(3)]
    assert shown == form.widget._shown
    for n in range(3):
        assert composites[layout.tag(n)].GetLinkedControl() == 1
        assert slices[layout.tag(n)].GetOrientation() == "Coronal", "across slices that are axial"
    displays = [scene.GetNodeByID(i).GetDisplayNode() for i in shown]
    assert displays[1].GetWindow() == displays[0].GetWindow()
    assert displays[2].GetLevel() == 0, "the residual is grey where there is none"
    assert form.app.fitted == ["MedSR1", "MedSR2", "MedSR3"]


@pytest.mark.parametrize("grid", ["thick", "sagittal", "flipped"])
def test_the_plane_across_the_slices(grid: str, loaded: Any) -> None:
    from MedSRLib import layout

    assert layout.across_the_slices(loaded(grid)) == "Coronal"


def test_the_plane_across_coronal_slices(loaded: Any) -> None:
    from MedSRLib import layout

    volume = loaded("thick")
    matrix = slicer.vtkMRMLSliceNode().GetXYToRAS()
    for i, row in enumerate(((1, 0, 0, 0), (0, 0, 4, 0), (0, 1, 0, 0), (0, 0, 0, 1))):
        for j, value in enumerate(row):
            matrix.SetElement(i, j, value)
    volume.SetIJKToRASMatrix(matrix)
    assert layout.across_the_slices(volume) == "Axial"


def test_cancel_leaves_scene_and_disk_clean(form: Any, scene: Any, loaded: Any, work: Path) -> None:
    form.ui.inputSelector.choose(loaded("thick"))
    before = state(scene)
    form.ui.runButton.click()
    assert left_in(work)
    form.ui.cancelButton.click()
    stub.until_idle(form.widget)
    assert form.ui.stageLabel.text == "cancelled; nothing was changed"
    assert state(scene) == before
    assert left_in(work) == []


def test_an_error_leaves_them_clean_too(form: Any, scene: Any, loaded: Any, work: Path) -> None:
    volume = loaded("thick")
    matrix = slicer.vtkMRMLSliceNode().GetXYToRAS()
    volume.GetIJKToRASMatrix(matrix)
    matrix.SetElement(0, 2, 3.0)  # sheared
    volume.SetIJKToRASMatrix(matrix)
    form.ui.inputSelector.choose(volume)
    before = state(scene)
    form.ui.runButton.click()
    stub.until_idle(form.widget)
    assert len(form.said.errors) == 1
    assert "\n" not in form.said.errors[0]
    assert str(work) not in form.said.errors[0]
    assert state(scene) == before
    assert left_in(work) == []


def test_a_volume_without_voxels(form: Any, scene: Any, work: Path) -> None:
    form.ui.inputSelector.choose(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
    form.ui.runButton.click()
    assert form.said.errors == ["empty: the volume has no voxels"]
    assert left_in(work) == []


def test_a_series_comes_as_a_sequence(form: Any, scene: Any, tmp_path: Path) -> None:
    """A 4D NIfTI from a file, as raw data comes: frames, times and geometry."""
    from MedSRLib import scene as lib

    from medsr.io import open_volume

    path = write_scan(tmp_path / "run.nii.gz", "flipped", frames=3)
    source = open_volume(path)
    form.ui.filePathLineEdit.choose(str(path))
    before = state(scene)
    form.ui.methodComboBox.choose("spline")
    form.ui.mapsCheckBox.checked = form.ui.sideBySideCheckBox.checked = False
    form.ui.runButton.click()
    stub.until_idle(form.widget)
    assert form.said.errors == []
    browser = scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
    sequence = browser.GetMasterSequenceNode()
    assert [sequence.GetNthIndexValue(n) for n in range(3)] == ["0", "1.5", "3"]
    (shown,) = (scene.GetNodeByID(i) for i in form.widget._shown)
    assert browser.GetProxyNode(sequence) is shown
    peaks = [lib.voxels(sequence.GetNthDataNode(n)).max() for n in range(3)]
    assert peaks[0] < peaks[1] < peaks[2]
    for node in (shown, sequence.GetNthDataNode(2)):
        after = corners(lib.to_ras(node), node.GetImageData().GetDimensions())
        assert np.abs(corners(source.grid.affine, source.grid.shape) - after).max() < 0.5
    lib.remove(scene, [shown])
    assert state(scene) == before


def test_uncertainty_has_colours(scene: Any, loaded: Any, tmp_path: Path) -> None:
    from MedSRLib import scene as lib

    volume = loaded("thick")
    image, spread = write_scan(tmp_path / "a.nrrd"), write_scan(tmp_path / "b.nrrd")
    added = lib.add_results(scene, volume, image, {"uncertainty": spread}, "scan")
    display = added["uncertainty"].GetDisplayNode()
    assert display.GetColorNodeID() in lib.HEAT
    least, most = np.percentile(lib.voxels(added["uncertainty"]), (2, 99.5))
    assert display.GetLevel() - display.GetWindow() / 2 == pytest.approx(least), "dark where it is sure"
    assert display.GetLevel() + display.GetWindow() / 2 == pytest.approx(most)


def test_one_that_cannot_be_read_takes_all_back(scene: Any, loaded: Any, tmp_path: Path) -> None:
    from MedSRLib import scene as lib
    from MedSRLib.problem import Problem

    volume = loaded("thick")
    before = state(scene)
    broken = write_scan(tmp_path / "b.nrrd")
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(Problem, match="cannot be read back"):
        lib.add_results(scene, volume, write_scan(tmp_path / "a.nrrd"), {"residual": broken}, "scan")
    assert state(scene) == before


def test_a_transformed_scan_and_its_result_stay_together(scene: Any, loaded: Any, tmp_path: Path) -> None:
    from MedSRLib import scene as lib

    volume = loaded("thick")
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    added = lib.add_results(scene, volume, write_scan(tmp_path / "a.nrrd"), {}, "scan")
    assert added["image"].GetTransformNodeID() == transform.GetID()


def test_the_facts_of_the_sidecar_go_along(scene: Any, loaded: Any, tmp_path: Path) -> None:
    from MedSRLib import scene as lib

    volume = loaded("thick")
    (tmp_path / "thick.json").write_text('{"SliceThickness": 5, "PatientName": "no", "EchoTime": 0.03}')
    assert lib.facts_of(volume) == {"SliceThickness": 5, "EchoTime": 0.03}
    (tmp_path / "thick.json").write_text("[1]")
    assert lib.facts_of(volume) == {}
