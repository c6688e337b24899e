"""Tissue classes of a brain, for the multitask system and for the table of the models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsr.errors import UsageError

CLASSES = 3
"""CSF, grey and white matter; the background is the fourth."""
SMOOTHNESS, ITERATIONS = 0.1, 10
BACKGROUND = 0.02
"""Of the 99.5th percentile: what is not brain in an image without a skull."""


def classify_tissues(data: NDArray[np.float32]) -> NDArray[np.int8]:
    """(x, y, z) classes of a T1w brain without its skull, by its intensities: 0 background, 1 CSF, 2 grey matter,
    3 white matter.

    A hidden Markov random field of three Gaussians by expectation maximisation: Zhang, Brady and Smith, IEEE Trans
    Med Imaging 20:45 (2001), doi 10.1109/42.906424, as DIPY has it.

    Raises
    ------
    UsageError
        where DIPY is not installed.
    """
    try:
        from dipy.segment.tissue import TissueClassifierHMRF
    except ImportError:
        raise UsageError(
            "tissue classes need DIPY", hint="python -m pip install 'medsr[tissues]', or leave them out"
        ) from None
    image = np.ascontiguousarray(np.where(data > BACKGROUND * np.percentile(data, 99.5), data, 0), np.float64)
    _, classes, _ = TissueClassifierHMRF(verbose=False).classify(image, CLASSES, SMOOTHNESS, max_iter=ITERATIONS)
    return np.where(image > 0, classes, 0).astype(np.int8)


def tissue_classes(data: NDArray[np.float32], kept: Path) -> NDArray[np.int8]:
    """The same, kept in the file `kept` (.npy) once it is made."""
    if kept.is_file():
        classes: NDArray[np.int8] = np.load(kept)
        if classes.shape == data.shape:
            return classes
    classes = classify_tissues(data)
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".partial.npy")
    np.save(partial, classes)
    partial.replace(kept)
    return classes
