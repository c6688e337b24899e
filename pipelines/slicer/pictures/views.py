"""Scan, result and maps in Slicer's own slice views, as a picture:

``.venv/slicer/render/bin/python pipelines/slicer/pictures/views.py --python .venv/bin/python``

Scene, runs and layout are those of the module (MedSRLib); trame-slicer draws the views without a window.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "MedSR"))
SAMPLE = HERE.parents[2] / "tests" / "data" / "colin27_1x1x4mm.nii.gz"
SIDE = 380
ANTERIOR = -20.0
"""Where the coronal plane that is shown lies, mm."""

import numpy as np
from MedSRLib import form, layout
from MedSRLib import scene as lib
from MedSRLib.environment import Environment
from MedSRLib.run import Run, WorkFolder
from PIL import Image, ImageDraw, ImageFont
from trame_slicer.core import SlicerApp
from trame_slicer.views import SliceView
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter


def reconstruct(app: SlicerApp, scan: Any, python: str, method: str, work: str) -> dict[str, Any]:
    """What comes of the scan, as the module brings it back."""
    folder = WorkFolder(work)
    lib.export(scan, folder.scan)
    folder.write_facts({"SliceThickness": 4, "MRAcquisitionType": "2D"})  # as the sample's sidecar says
    known = form.parameters(form.shipped() or "")
    run = Run(Environment(python), folder.scan, folder, {"method": method}, known, scan.GetName())
    try:
        run.wait()
        return lib.add_results(app.scene, scan, folder.result, run.maps, scan.GetName())
    finally:
        run.close()


def open_views(app: SlicerApp, count: int) -> list[SliceView]:
    """Views as the module's layout has them."""
    views = [SliceView(app.scene, app.app_logic, layout.tag(n)) for n in range(count)]
    for view in views:
        view.render_window().SetSize(SIDE, SIDE)
    return views


def look(view: SliceView, offset: float, closer: float) -> Image.Image:
    """What a view shows at a place across the plane (mm), `closer` times magnified."""
    view.fit_view_to_content()
    node = view._logic.GetSliceNode()
    x, y, z = node.GetFieldOfView()
    node.SetFieldOfView(x / closer, y / closer, z)
    view._logic.SetSliceOffset(offset)
    view.render()
    grabbed = vtkWindowToImageFilter()
    grabbed.SetInput(view.render_window())
    grabbed.ReadFrontBufferOff()
    grabbed.Update()
    image = grabbed.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3]
    return Image.fromarray(np.ascontiguousarray(pixels))


def in_a_row(images: list[Image.Image], titles: list[str]) -> Image.Image:
    """Pictures side by side, each with its title."""
    font = ImageFont.load_default(15)
    row = Image.new("RGB", (len(images) * (SIDE + 4) - 4, SIDE), "white")
    for number, (image, title) in enumerate(zip(images, titles)):
        ImageDraw.Draw(image).text((8, 6), title, font=font, fill="white", stroke_width=2, stroke_fill="black")
        row.paste(image, (number * (SIDE + 4), 0))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", required=True, help="an interpreter that has medsr")
    parser.add_argument("--method", default="consensus")
    arguments = parser.parse_args()
    app = SlicerApp()
    scan = app.io_manager.load_volumes([str(SAMPLE)])[0]
    scan.SetName("scan")
    with tempfile.TemporaryDirectory() as work:
        python = str(Path(arguments.python).absolute())
        added = reconstruct(app, scan, python, arguments.method, work)
    orientation = layout.across_the_slices(scan)
    views = open_views(app, 1 + len(added))
    layout.fill(app.scene, [scan, *added.values()], orientation)
    titles = ["scan, 4 mm slices", "result, 1 mm", *list(added)[1:]]
    pictures = [look(view, ANTERIOR, closer=1.25) for view in views]
    path = HERE / "before_after.png"
    picture = in_a_row(pictures, titles)
    picture.resize((picture.width * 3 // 4, picture.height * 3 // 4)).quantize(256).save(path, optimize=True)
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
