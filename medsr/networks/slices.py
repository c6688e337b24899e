"""A 2D network through a volume: slice by slice, in batches and tiles, in one plane or in two.

Tiles take the network's halo around them and are cropped. On the CPU each batch runs on one thread, several side
by side: how torch shares a convolution among threads can change its last bit. So neither tiles nor batches nor
threads change the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsr.errors import UsageError
from medsr.networks.base import SliceNetwork

Progress = Callable[[float, str], None]

BATCH = 8
"""Slices that run together."""


BULK = 20481
"""Numbers in a convolution's input from which torch gives it to oneDNN (on one thread)."""

NARROWEST = 10
"""Channels that the features of every network have at least, per input pixel (strided ones spread over them)."""


class Window(NamedTuple):
    """A tile along one axis: input pixels `start` to `stop` are read, `first` to `last` are kept."""

    start: int
    stop: int
    first: int
    last: int


def windows(length: int, tile: int | None, halo: int, period: int = 1) -> list[Window]:
    """Tiles of `tile` pixels (rounded up to a multiple of `period`) that cover `length`; None is one tile.

    They are read with `halo` pixels on each side and start at multiples of `period`.
    """
    if tile is None or tile >= length:
        return [Window(0, length, 0, length)]
    step = -(-tile // period) * period
    found = []
    for first in range(0, length, step):
        last = min(first + step, length)
        found.append(Window(max(0, (first - halo) // period * period), min(length, last + halo), first, last))
    return found


def run_tiled(network: SliceNetwork, images: Tensor, tile: int | None = None) -> Tensor:
    """(B, slices, H, W) to (B, 1, H sh, W sw), in tiles of about `tile` x `tile` input pixels."""
    rows, columns = (windows(images.shape[2 + a], tile, network.halo[a], network.period[a]) for a in (0, 1))
    if len(rows) == len(columns) == 1:
        return _in_bulk(network, images)
    (sh, sw) = network.scale
    out = images.new_empty(images.shape[0], 1, images.shape[2] * sh, images.shape[3] * sw)
    for r in rows:
        for c in columns:
            made = _in_bulk(network, images[:, :, r.start : r.stop, c.start : c.stop])
            top, left = (r.first - r.start) * sh, (c.first - c.start) * sw
            height, width = (r.last - r.first) * sh, (c.last - c.first) * sw
            out[:, :, r.first * sh : r.last * sh, c.first * sw : c.last * sw] = made[
                :, :, top : top + height, left : left + width
            ]
    return out


def _in_bulk(network: SliceNetwork, images: Tensor) -> Tensor:
    """The network on a batch, repeated where it is too small for oneDNN: the last bit must not depend on it.

    A convolution of a single channel is the same either way: where that is the first, the features decide.
    """
    numbers = images.numel() * (NARROWEST if network.entering == 1 else 1)
    return network(images.repeat(-(-BULK // numbers), 1, 1, 1))[: images.shape[0]]


def superresolve_slices(
    network: SliceNetwork,
    volume: NDArray[np.float32],
    plane: tuple[int, int],
    *,
    batch: int = BATCH,
    tile: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Every slice of a volume through a network.

    Parameters
    ----------
    network : in evaluation mode, on the device to be used.
    volume : (x, y, z), scaled as the network was trained.
    plane : the axes that are the rows and the columns of an image. They become `network.scale` times as long, the
        third axis stays; its neighbouring slices go in with each where the network takes them, the outermost slice
        repeated beyond the ends.
    batch, tile : slices at a time, and input pixels along a tile's sides (None for whole slices).
    workers : batches side by side on the CPU; as many as torch has threads where not given.
    progress : called with the fraction done and the stage; what it raises ends the run.

    Returns
    -------
    float32 volume of the same field of view, outer edges shared.

    Raises
    ------
    UsageError
        if `plane` is not two of the three axes, `batch`, `tile` or `workers` is not positive, or the
        network is in training mode.
    """
    _check(network, volume, plane, (batch, tile, workers))
    stack = 3 - plane[0] - plane[1]
    device = next(network.parameters()).device
    images = torch.from_numpy(np.ascontiguousarray(volume.transpose(stack, *plane), dtype=np.float32))
    slices = images.shape[0]
    (sh, sw) = network.scale
    out = torch.empty(slices, images.shape[1] * sh, images.shape[2] * sw)

    def work(start: int) -> int:
        stop = min(start + batch, slices)
        with torch.inference_mode():
            low = images[_neighbours(range(start, stop), network.slices, slices)].to(device)
            out[start:stop] = run_tiled(network, low, tile)[:, 0].cpu()
        return stop

    side_by_side = (workers or torch.get_num_threads()) if device.type == "cpu" else 1
    with ThreadPoolExecutor(side_by_side, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for stop in pool.map(work, range(0, slices, batch)):
                if progress is not None:
                    progress(stop / slices, "slices")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return np.ascontiguousarray(out.numpy().transpose(np.argsort((stack, *plane))))


def superresolve_through_plane(
    network: SliceNetwork,
    volume: NDArray[np.float32],
    axis: int,
    *,
    batch: int = BATCH,
    tile: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Thin slices from thick ones: the network on the two orthogonal reformats, and the mean of both.

    Parameters
    ----------
    network : made for scale (n, 1).
    volume : (x, y, z).
    axis : across the slices; it becomes n times as long.
    batch, tile, workers, progress : as for `superresolve_slices`.

    Raises
    ------
    UsageError
        if the network's scale is not (n, 1), or `axis` is not one of the three.
    """
    if network.scale[1] != 1:
        raise UsageError(
            "this network is not made for through-plane super-resolution",
            got=f"scale {network.scale}",
            rule="(n, 1): the slice axis alone",
        )
    if axis not in (0, 1, 2):
        raise UsageError("no such axis", got=axis, rule="0, 1 or 2")
    others = [a for a in range(3) if a != axis]
    total = np.zeros([n * (network.scale[0] if a == axis else 1) for a, n in enumerate(volume.shape)], np.float32)
    for turn, other in enumerate(others):
        part = None if progress is None else _half(progress, turn)
        total += superresolve_slices(
            network, volume, (axis, other), batch=batch, tile=tile, workers=workers, progress=part
        )
    return total / np.float32(2)


def _half(progress: Progress, turn: int) -> Progress:
    return lambda fraction, stage: progress((turn + fraction) / 2, stage)


def _neighbours(group: Sequence[int], taken: int, slices: int) -> Tensor:
    """(len(group), taken) indices of each slice and its neighbours, the outermost repeated."""
    offsets = torch.arange(taken) - taken // 2
    return (torch.tensor(list(group))[:, None] + offsets).clamp(0, slices - 1)


def _check(
    network: SliceNetwork,
    volume: NDArray[np.float32],
    plane: tuple[int, int],
    sizes: Sequence[int | None],
) -> None:
    if network.training:
        raise UsageError("the network is in training mode", hint="put it into evaluation mode first")
    if volume.ndim != 3 or len(set(plane)) != 2 or not set(plane) <= {0, 1, 2}:
        raise UsageError(
            "a plane is two of the three axes of a volume", got=f"axes {plane} of shape {volume.shape}"
        )
    if min(n for n in sizes if n is not None) < 1:
        raise UsageError("batch, tile and workers are positive", got=tuple(sizes))
