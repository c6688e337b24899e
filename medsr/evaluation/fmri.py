"""Figures of merit of a reconstructed fMRI run against the known truth.

Image error alone lies: the temporal mean has the smallest of all and shows no activation. So the response's
amplitude, its detection and the temporal transfer stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import GeometryError, InputError, UsageError
from medsr.evaluation.glm import CUTOFF, Glm, design_matrix, drifts, fit
from medsr.evaluation.image import ssim_map
from medsr.simulation.paradigm import Event, paradigm, task_frequency
from medsr.volume import Volume

TISSUE = 0.15
"""Of the 99th percentile of the truth's temporal mean: where tissue begins."""
ACTIVE, NULL = 0.5, 0.02
"""Of the greatest response: voxels with more are active, with less are not; those between count as neither."""
ALPHA = 0.001
"""One-sided level of the false-positive rate."""

SSIM_FRAMES = 12
"""Of a series, evenly spread, that structural similarity is taken of."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FmriFigures:
    """One method's figures; None where the run has no task or no activation.

    nrmse : ``‖x - r‖ / ‖r‖`` over tissue and time.
    scale, nrmse_scaled : the factor on x that makes it smallest, and the error then.
    ssim : structural similarity (see `medsr.evaluation.image`), mean over tissue and a dozen frames.
    nrmse_temporal : the same of the deviations from the temporal means; 1 is an image without change.
    tsnr : median over tissue of mean over standard deviation, what the model explains taken out.
    tsnr_true : of the truth.
    bold, bold_true : mean response of active voxels in percent of their baselines, in the result and the truth.
    amplitude_bias : bold / bold_true - 1.
    auc : area under the receiver operating characteristic of t, active against null voxels.
    false_positives : share of null tissue (of all tissue in a run without task) with p < 0.001.
    transfer, transfer_degrees : magnitude and phase of the gain of active voxels at the task's frequency.
    autocorrelation : median lag-one autocorrelation of the noise in tissue.
    voxels, active : how many voxels of tissue and of activation counted.
    """

    nrmse: float
    scale: float
    nrmse_scaled: float
    ssim: float
    nrmse_temporal: float
    tsnr: float
    tsnr_true: float
    bold: float | None
    bold_true: float | None
    amplitude_bias: float | None
    auc: float | None
    false_positives: float
    transfer: float | None
    transfer_degrees: float | None
    autocorrelation: float
    voxels: int
    active: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def evaluate_fmri(
    result: Volume,
    truth: Volume,
    events: Sequence[Event],
    activation: Volume | None = None,
    *,
    tr: float | None = None,
    cutoff: float = CUTOFF,
) -> FmriFigures:
    """The figures of a reconstructed series.

    A run without events is a null run: its false positives are those of a block design of 20 s that never
    happened, over all tissue.

    Parameters
    ----------
    result, truth : (t, x, y, z) on the same grid.
    events : of the task, in s from the first frame.
    activation : percent signal change of each voxel, as simulated.
    tr : time from frame to frame in s; from the truth's header unless given.
    cutoff : period in s of the slowest wave that is not called drift.

    Raises
    ------
    GeometryError
        if the grids differ.
    InputError
        if the series do, or the TR is not known.
    """
    if result.data.ndim != 4 or truth.data.ndim != 4 or result.data.shape[0] != truth.data.shape[0]:
        raise InputError(
            "the result is not a series like the truth", got=f"{result.data.shape}, {truth.data.shape}"
        )
    if not result.grid.is_close(truth.grid, 1e-2):
        raise GeometryError(
            "the result lies elsewhere than the truth", got=f"{result.grid.describe()}, {truth.grid.describe()}"
        )
    tr = tr or truth.facts.tr or result.facts.tr
    if not tr:
        raise InputError("the time from frame to frame is not known", hint="give the TR")
    tissue = tissue_mask(truth.data)
    x, r = (v.data[:, tissue].astype(np.float64) for v in (result, truth))
    frames = len(x)
    assumed = tuple(events) or paradigm("blocks", frames * tr)
    design = design_matrix(assumed, frames, tr, cutoff=cutoff)
    found, there = fit(x, design), fit(r, design)
    active = np.zeros(x.shape[1], dtype=bool)
    null = np.ones(x.shape[1], dtype=bool)
    if events and activation is not None:
        active, null = (m[tissue] for m in activated(activation.data))
    scale = float((x * r).sum() / max(float((x * x).sum()), 1e-300))
    bold = bold_true = bias = area = gain = degrees = None
    if active.any():
        bold, bold_true = float(found.percent[active].mean()), float(there.percent[active].mean())
        bias = bold / bold_true - 1
        area = roc_auc(found.t[active], found.t[null]) if null.any() else None
        frequency = task_frequency(events)
        if frequency is not None:
            response = gain_at(x[:, active], r[:, active], frequency, tr, cutoff)
            gain, degrees = abs(response), math.degrees(math.atan2(response.imag, response.real))
    return FmriFigures(
        nrmse=_relative(x - r, r),
        scale=scale,
        nrmse_scaled=_relative(scale * x - r, r),
        ssim=_ssim(result, truth, tissue),
        nrmse_temporal=_relative((x - x.mean(axis=0)) - (r - r.mean(axis=0)), r - r.mean(axis=0)),
        tsnr=float(np.median(tsnr(found))),
        tsnr_true=float(np.median(tsnr(there))),
        bold=bold,
        bold_true=bold_true,
        amplitude_bias=bias,
        auc=area,
        false_positives=float((found.t[null] > found.threshold(ALPHA)).mean()) if null.any() else math.nan,
        transfer=gain,
        transfer_degrees=degrees,
        autocorrelation=float(np.median(found.rho)),
        voxels=int(tissue.sum()),
        active=int(active.sum()),
    )


def tissue_mask(series: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where the temporal mean of a series (t, x, y, z) is that of tissue: above 0.15 of its 99th percentile."""
    mean = series.mean(axis=0)
    return mean > TISSUE * np.percentile(mean, 99)


def activated(percent: NDArray[np.floating]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Active and null voxels of a map of percent signal change; the partial ones between are neither."""
    peak = float(percent.max())
    if peak <= 0:
        return np.zeros(percent.shape, dtype=bool), np.ones(percent.shape, dtype=bool)
    return percent >= ACTIVE * peak, np.abs(percent) <= NULL * peak


def tsnr(model: Glm) -> Array:
    """Temporal signal to noise: baseline over what the model leaves; 0 where nothing varies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(model.residual > 0, model.baseline / model.residual, 0.0)


def tsnr_map(series: Volume, *, tr: float | None = None, cutoff: float = CUTOFF) -> Volume:
    """Temporal mean over standard deviation after drifts are taken out, (x, y, z); 0 where nothing varies.

    Raises
    ------
    InputError
        if it is not a series of at least four frames, or the TR is not known.
    """
    tr = tr or series.facts.tr
    if series.data.ndim != 4 or series.frames < 4 or not tr:
        raise InputError("temporal signal to noise needs a series of four frames or more, and its TR")
    base = drifts(series.frames, tr, cutoff)
    y = series.data.reshape(series.frames, -1).astype(np.float64)
    left = y - base @ (np.linalg.pinv(base) @ y)
    spread = np.sqrt((left**2).sum(axis=0) / max(1, series.frames - base.shape[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(spread > 1e-12 * np.abs(y).max(), y.mean(axis=0) / spread, 0.0)
    return series.with_data(ratio.reshape(series.grid.shape).astype(np.float32))


def roc_auc(positive: Array, negative: Array) -> float:
    """Probability that a positive's score is above a negative's; ties count half.

    Raises
    ------
    UsageError
        if there are none of either.
    """
    if not positive.size or not negative.size:
        raise UsageError("a ROC curve needs positives and negatives", got=f"{positive.size} and {negative.size}")
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([positive.ravel(), negative.ravel()]))
    n = positive.size
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * negative.size))


def gain_at(x: Array, truth: Array, frequency: float, tr: float, cutoff: float = CUTOFF) -> complex:
    """Complex gain from truth to x, (frames, voxels) each, at `frequency` Hz: ``Σ R T* / Σ |T|²`` over voxels.

    R and T are the coefficients of the wave, fitted together with drifts.

    Raises
    ------
    UsageError
        if the frequency is beyond half the frame rate.
    """
    if not 0 < frequency < 0.5 / tr:
        raise UsageError(
            "the frames are too slow for this frequency", got=f"{frequency:.4g} Hz", rule=f"TR {tr:g} s"
        )
    phase = 2 * math.pi * frequency * tr * np.arange(len(x))
    columns = np.column_stack([np.cos(phase), np.sin(phase), drifts(len(x), tr, cutoff)])
    solve = np.linalg.pinv(columns)[:2]
    found, there = (a[0] - 1j * a[1] for a in (solve @ x, solve @ truth))
    return complex((found * there.conj()).sum() / max(float((np.abs(there) ** 2).sum()), 1e-300))


def transfer_function(x: Array, truth: Array, tr: float) -> tuple[Array, Array, Array]:
    """Gain and coherence from truth to x, (frames, voxels) each, at every frequency.

    Returns frequencies in Hz (without 0), ``|Σ R T*| / Σ |T|²`` and ``|Σ R T*|² / (Σ |R|² Σ |T|²)``, sums over
    voxels; a Hann window, means taken out.
    """
    window = np.hanning(len(x))[:, None]
    found, there = (np.fft.rfft(window * (a - a.mean(axis=0)), axis=0)[1:] for a in (x, truth))
    cross = np.abs((found * there.conj()).sum(axis=1))
    power = np.maximum((np.abs(there) ** 2).sum(axis=1), 1e-300)
    own = np.maximum((np.abs(found) ** 2).sum(axis=1), 1e-300)
    frequencies = np.asarray(np.fft.rfftfreq(len(x), tr)[1:], dtype=np.float64)
    return frequencies, cross / power, cross**2 / (power * own)


def _ssim(result: Volume, truth: Volume, tissue: NDArray[np.bool_]) -> float:
    peak = np.float32(np.percentile(truth.data[0], 99.5)) or np.float32(1)
    frames = range(0, truth.frames, max(1, truth.frames // SSIM_FRAMES))
    maps = (ssim_map(result.data[t] / peak, truth.data[t] / peak) for t in frames)
    return float(np.mean([one[tissue].mean(dtype=np.float64) for one in maps]))


def _relative(error: Array, truth: Array) -> float:
    return float(np.linalg.norm(error) / max(float(np.linalg.norm(truth)), 1e-300))
