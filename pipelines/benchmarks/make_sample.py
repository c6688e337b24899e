"""Makes the sample of tests/data: a thick-slice head from Colin27.

    python pipelines/benchmarks/make_sample.py CH2 [FOLDER]

CH2 is templates/ch2.nii.gz of MRIcron (Debian's package mricron-data; data_manifests/colin27.toml has its sha256).
The sample is 1 x 1 x 4 mm with a Gaussian slice profile of 4 mm, no gap, and 1 % Rician noise: what a clinical 2D
scan of that slice thickness has (4 mm slices gather four times the signal of 1 mm ones). It is enough to show that
noise is measured and heeded, and leaves the gain of a reconstruction to be seen. Seeded: the same file every time.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from medsr.simulation.lowres import simulate_lowres
from medsr.volume import Grid, Volume

SPACING = (1.0, 1.0, 4.0)
THICKNESS = 4.0
NOISE_PERCENT = 1.0
SEED = 27
NAME = "colin27_1x1x4mm"


def make(ch2: Path) -> Volume:
    """The sample, rounded to whole numbers as a scanner's are."""
    image = nib.load(ch2)
    head = Volume(np.asarray(image.dataobj, dtype=np.float32), Grid(image.shape, image.affine))
    scan = simulate_lowres(
        head, spacing=SPACING, slice_thickness=THICKNESS, psf="gaussian", noise=NOISE_PERCENT, seed=SEED
    )
    return scan.with_data(np.rint(scan.data))


def sidecar(scan: Volume) -> dict[str, object]:
    """What BIDS would have beside it, and how it was made."""
    return {
        "Modality": "MR",
        "MRAcquisitionType": scan.facts.acquisition_type,
        "SliceThickness": scan.facts.slice_thickness,
        "SpacingBetweenSlices": scan.grid.spacing[2],
        "SliceEncodingDirection": "k",
        "Description": "Not a scan: simulated by medsr from Colin27. See colin27_NOTICE.txt.",
        "Simulation": {
            "Source": "templates/ch2.nii.gz of MRIcron (data_manifests/colin27.toml)",
            "SliceProfile": f"gaussian, {THICKNESS:g} mm full width at half maximum",
            "NoisePercent": NOISE_PERCENT,
            "NoiseOf": "the 99.5th percentile of the source",
            "NoiseKind": "rician",
            "Seed": SEED,
            "Notes": list(scan.notes),
        },
    }


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2):
        print(__doc__)
        return 2
    folder = Path(arguments[1] if len(arguments) == 2 else "tests/data")
    scan = make(Path(arguments[0]))
    image = nib.Nifti1Image(scan.data.astype(np.int16), scan.grid.affine)
    image.set_sform(scan.grid.affine, code="mni")
    image.set_qform(scan.grid.affine, code="mni")
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, folder / f"{NAME}.nii.gz")
    (folder / f"{NAME}.json").write_text(json.dumps(sidecar(scan), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
