"""Tikhonov-SENSE of single spiral interleaves: medsr, its peers, and the FFTs alone.

    python pipelines/benchmarks/sense.py [--sizes 96 128] [--frames 16] [--compress 8] [--json out.json]

Everything runs in one process on one thread, a frame at a time from a zero start, with the same data, coils and
λ; no coil compression, or with `--compress` the same for all. For each tool the number of iterations that brings
its iterate within 1e-3 of the converged solution is found first (`to 1e-3`; medsr's default is steered by its
tolerance, ten levels a decade), then that many are timed: CPU time, set-up of the frame's trajectory included,
best of several repeats taken in turns, so that other load on the machine meets all alike.
"Converged" is each tool's own limit, which forgives it the error of its own transform; that error stands in
its own column (`off`: distance of the limit from the double-precision solution with the exact transform's
accuracy). λ is that of ``min ‖A x - y‖² + λ ‖x‖²`` with the orthonormal transform: 1 % of the largest eigenvalue
of AᴴA.

SigPy comes with medsr[kspace]. bartorch, mrpro and BART's command line (Debian's `bart`) are measured where
they are installed; keep them in an environment of their own and put medsr on its PYTHONPATH.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from medsr.acquisition.compress import compression_matrix
from medsr.acquisition.prewhiten import mix_coils
from medsr.consistency.cg import conjugate_gradients
from medsr.consistency.tikhonov import Tikhonov, tikhonov_sense
from medsr.operators.gridding import Grid, cheapest_oversampling
from medsr.operators.sense import sense_frames

CASES = {96: (16, 915), 128: (32, 1408)}
INTERLEAVES = 20
TARGET = 1e-3
LIMIT = 120  # iterations taken as converged


@dataclass
class Problem:
    n: int
    maps: torch.Tensor  # (coils, n, n) complex128
    trajectory: torch.Tensor  # (frames, samples, 2)
    kspace: torch.Tensor  # (frames, coils, samples) complex128
    damping: float
    truth: torch.Tensor  # (frames, n, n), the converged solutions in double precision


def spiral(n: int, samples: int, angle: float, alpha: float = 1.5, turns_factor: float = 1.6) -> torch.Tensor:
    """One interleaf of a variable-density spiral, ``k = n/2 τ^α exp(iωτ)`` (Kim et al., 2003)."""
    turns = n / 2 / INTERLEAVES * turns_factor
    tau = torch.linspace(0, 1, samples, dtype=torch.float64) ** (1 / (0.5 + alpha / 2))
    phase = 2 * np.pi * turns * tau + angle
    radius = 0.999 * n / 2 * tau**alpha
    return torch.stack([radius * torch.cos(phase), radius * torch.sin(phase)], -1)


def coil_maps(coils: int, n: int) -> torch.Tensor:
    """Birdcage maps of unit root sum of squares, after the usual analytic model of loops on a ring."""
    y, x = torch.meshgrid(*(2 * [(torch.arange(n, dtype=torch.float64) - n / 2) / (n / 2)]), indexing="ij")
    maps = []
    for c in range(coils):
        angle = torch.tensor(2 * np.pi * c / coils)
        dx, dy = x - 1.5 * torch.cos(angle), y - 1.5 * torch.sin(angle)
        phase = torch.atan2(dx, -dy) - angle
        maps.append(torch.polar(1 / torch.sqrt(dx**2 + dy**2), phase))
    stack = torch.stack(maps)
    return stack / stack.abs().square().sum(0).sqrt()


def phantom(n: int) -> torch.Tensor:
    """Ellipses of several intensities, complex, edges a voxel wide."""
    y, x = torch.meshgrid(*(2 * [(torch.arange(n, dtype=torch.float64) - n / 2) / (n / 2)]), indexing="ij")
    image = torch.zeros(n, n, dtype=torch.float64)
    for cx, cy, a, b, value in (
        (0, 0, 0.7, 0.88, 1.0), (0, -0.02, 0.63, 0.8, -0.3), (0.22, 0, 0.12, 0.3, -0.25),
        (-0.22, 0, 0.16, 0.4, -0.25), (0, 0.35, 0.2, 0.24, 0.2), (0, -0.6, 0.06, 0.05, 0.3),
    ):  # fmt: skip
        inside = 1 - torch.sqrt(((x - cx) / a) ** 2 + ((y - cy) / b) ** 2)
        image += value * torch.sigmoid(inside * n)
    return torch.polar(image, 0.5 * x + 0.3 * y * x)


def make(n: int, frames: int, virtual: int | None = None) -> Problem:
    """Data of all coils; with `virtual`, maps and data are compressed to so many before anything is solved."""
    coils, samples = CASES[n]
    torch.manual_seed(n)
    maps = coil_maps(coils, n)
    golden = np.pi * (3 - 5**0.5)
    k = torch.stack([spiral(n, samples, golden * t) for t in range(frames)])
    operator = sense_frames(k, maps, eps=1e-11)
    y = operator(phantom(n).expand(frames, n, n))
    y = y + 0.02 * y.abs().mean() * torch.randn(y.shape, dtype=y.dtype)
    if virtual is not None:
        matrix = compression_matrix(maps, coils=virtual, axis=0)
        maps, y = mix_coils(matrix, maps, 0), mix_coils(matrix, y)
        operator = sense_frames(k, maps, eps=1e-11)
    v = torch.randn(frames, n, n, dtype=torch.complex128)
    largest = 0.0
    for _ in range(20):
        v = operator.gram(v)
        largest = float(v[0].norm())
        v = v / v.flatten(1).norm(dim=1)[:, None, None]
    damping = 0.01 * largest
    solved = conjugate_gradients(
        operator.gram, operator.adjoint(y), damping=damping, iterations=500, tolerance=1e-9
    )
    return Problem(n, maps, k, y, damping, solved.x)


class Tool:
    """`solve(frame, iterations)` returns an (n, n) image; what frames share is made beforehand if it can be."""

    name = ""
    children = False  # whether the work is done in other processes
    levels = LIMIT  # `iterations` goes so far
    counts = True  # whether a level is an iteration

    def __init__(self, problem: Problem) -> None:
        self.p = problem

    def solve(self, frame: int, iterations: int) -> np.ndarray:
        raise AssertionError

    def solve_all(self, iterations: int) -> None:
        for t in range(len(self.p.kspace)):
            self.solve(t, iterations)

    def cpu(self) -> float:
        who = resource.RUSAGE_CHILDREN if self.children else resource.RUSAGE_SELF
        usage = resource.getrusage(who)
        return usage.ru_utime + usage.ru_stime


class Medsr(Tool):
    """The default: ten levels are a decade of the tolerance that the frame is solved to."""

    name = "medsr"
    preconditioner = "auto"
    warm = False
    counts = False
    levels = 70

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.y, self.s = problem.kspace.to(torch.complex64), problem.maps.to(torch.complex64)
        self.k = problem.trajectory

    def solve(self, frame: int, iterations: int) -> np.ndarray:
        return self._several(slice(frame, frame + 1), iterations)[0]

    def solve_all(self, iterations: int) -> None:
        self._several(slice(None), iterations)

    def _several(self, frames: slice, level: int) -> np.ndarray:
        stop = {"iterations": level, "tolerance": 0.0} if self.counts else {"tolerance": 10 ** (-level / 10)}
        how = Tikhonov(self.p.damping, preconditioner=self.preconditioner, warm=self.warm, **stop)
        return tikhonov_sense(self.y[frames], self.k[frames], self.s, how).x.numpy()


class MedsrWarm(Medsr):
    """Each frame from the one before; the first from zero. Not to be set against the others' zero start."""

    name = "medsr, warm start"
    warm = True

    def solve(self, frame: int, iterations: int) -> np.ndarray:
        return self._several(slice(0, frame + 1), iterations)[frame]


class MedsrCirculant(Medsr):
    name = "medsr, circulant"
    preconditioner = "circulant"
    counts = True
    levels = LIMIT


class MedsrPlain(MedsrCirculant):
    name = "medsr, no preconditioner"
    preconditioner = "none"


class Bartorch(Tool):
    name = "bartorch"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        import bartorch

        bartorch.set_num_threads(1)
        self.y, self.s = problem.kspace.to(torch.complex64), problem.maps.to(torch.complex64)
        # bartorch's trajectory is (kx, ky) for images (y, x)
        self.k = problem.trajectory.flip(-1).to(torch.float32)

    def solve(self, frame: int, iterations: int) -> np.ndarray:
        from bartorch import linop, optim

        operator = linop.NoncartesianSense(
            self.s, (self.p.n, self.p.n), traj=self.k[frame][None], toeplitz=False, coil_batch=0
        )
        x = optim.CG(lambda_=self.p.damping, maxiter=iterations)(self.y[frame][:, None], operator)
        return x.reshape(self.p.n, self.p.n).numpy()


class Sigpy(Tool):
    name = "SigPy SenseRecon"

    def solve(self, frame: int, iterations: int) -> np.ndarray:
        import sigpy.mri

        app = sigpy.mri.app.SenseRecon(
            self.p.kspace[frame].to(torch.complex64).numpy(),
            self.p.maps.to(torch.complex64).numpy(),
            lamda=self.p.damping,
            coord=self.p.trajectory[frame].to(torch.float32).numpy(),
            max_iter=iterations,
            show_pbar=False,
        )
        return app.run()


class Mrpro(Tool):
    name = "mrpro"
    toeplitz = True

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        # torchvision for a CPU torch may not be at hand; mrpro needs it for its phantoms only
        for module in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            sys.modules.setdefault(module, types.ModuleType(module))
        sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
        sys.modules["torchvision.transforms"].functional = sys.modules["torchvision.transforms.functional"]
        import mrpro

        n = problem.n
        self.matrix = mrpro.data.SpatialDimension(1, n, n)
        self.maps = problem.maps.to(torch.complex64)[None, :, None]
        self.mrpro = mrpro

    def solve(self, frame: int, iterations: int) -> np.ndarray:
        ops, k = self.mrpro.operators, self.p.trajectory[frame].to(torch.float32)
        shape = (1, 1, 1, 1, len(k))
        # mrpro's kx is the last image axis
        traj = self.mrpro.data.KTrajectory(
            kz=torch.zeros(1, 1, 1, 1, 1), ky=k[:, 0].reshape(shape), kx=k[:, 1].reshape(shape)
        )
        fourier = ops.FourierOp(recon_matrix=self.matrix, encoding_matrix=self.matrix, traj=traj)
        operator = fourier @ ops.SensitivityOp(self.maps)
        y = self.p.kspace[frame].to(torch.complex64)[None, :, None, None]
        (b,) = operator.H(y)
        gram = operator.gram if self.toeplitz else operator.H @ operator
        normal = gram + self.p.damping * ops.IdentityOp()
        (x,) = self.mrpro.algorithms.optimizers.cg(normal, b, max_iterations=iterations, tolerance=0.0)
        return x.reshape(self.p.n, self.p.n).numpy()


class MrproDirect(Mrpro):
    name = "mrpro, Toeplitz off"
    toeplitz = False


class BartCli(Tool):
    name = "BART pics (command line)"
    children = True

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.folder = Path(tempfile.mkdtemp(prefix="bart"))
        self._write("maps", problem.maps.permute(2, 1, 0)[:, :, None, :])
        for t, (k, y) in enumerate(zip(problem.trajectory, problem.kspace, strict=True)):
            full = torch.cat([k.flip(-1), torch.zeros_like(k[:, :1])], -1)
            self._write(f"traj{t}", full.T[:, :, None])
            self._write(f"y{t}", y.T[None, :, None, :])

    def _write(self, name: str, array: torch.Tensor) -> None:
        (self.folder / f"{name}.hdr").write_text("# Dimensions\n" + " ".join(map(str, array.shape)) + "\n")
        array.to(torch.complex64).numpy().ravel(order="F").tofile(self.folder / f"{name}.cfl")

    def solve(self, frame: int, iterations: int) -> np.ndarray:
        command = ["bart", "pics", "-S", "-w1", f"-i{iterations}", f"-r{self.p.damping:.9g}", "-t", f"traj{frame}"]
        subprocess.run([*command, f"y{frame}", "maps", "x"], cwd=self.folder, check=True, capture_output=True)
        return np.fromfile(self.folder / "x.cfl", np.complex64).reshape(self.p.n, self.p.n)


def fft_floor(p: Problem, iterations: int) -> Callable[[], None]:
    """The FFTs that medsr's gram does, and nothing else."""
    coils, samples = p.kspace.shape[1:]
    grid = Grid((p.n, p.n), Tikhonov(1).eps, cheapest_oversampling((p.n, p.n), Tikhonov(1).eps, samples)[0])
    x = torch.zeros(min(coils, 16), *grid.size, dtype=torch.complex64)

    def run() -> None:
        for _ in range(iterations * coils // len(x)):
            torch.fft.ifft2(torch.fft.fft2(x), norm="forward")

    return run


def distance(x: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(x - reference) / np.linalg.norm(reference))


def to_target(tool: Tool, frames: int) -> tuple[int, float, float]:
    """Iterations until the worst frame is within the target of the tool's own limit; how far that is off."""
    truth = tool.p.truth.numpy()
    limits = [tool.solve(t, tool.levels) for t in range(frames)]
    off = max(distance(limits[t], truth[t]) for t in range(frames))

    def worst(i: int) -> float:
        return max(distance(tool.solve(t, i), limits[t]) for t in range(frames))

    low, high = 1, tool.levels
    while low < high:  # the error falls monotonically, or nearly
        middle = (low + high) // 2
        low, high = (low, middle) if worst(middle) <= TARGET else (middle + 1, high)
    return low, off, max(distance(tool.solve(t, low), truth[t]) for t in range(frames))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=sorted(CASES), choices=sorted(CASES))
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compress", type=int, help="virtual coils, for all tools alike")
    parser.add_argument("--only", nargs="+", help="tools by the start of their names")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []
    for n in args.sizes:
        problem = make(n, args.frames, args.compress)
        tools: list[Tool] = []
        for kind in (Medsr, MedsrWarm, MedsrCirculant, MedsrPlain, Bartorch, Sigpy, Mrpro, MrproDirect, BartCli):
            if args.only and not any(kind.name.startswith(o) for o in args.only):
                continue
            if kind is BartCli and shutil.which("bart") is None:
                print("not installed: bart")
                continue
            try:
                tools.append(kind(problem))
                tools[-1].solve(0, 1)
            except ImportError as error:
                tools = [t for t in tools if type(t) is not kind]
                print(f"not installed: {kind.name} ({error})")
        rows += measure(problem, tools, args.frames, args.repeats)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


def measure(problem: Problem, tools: list[Tool], frames: int, repeats: int) -> list[dict[str, object]]:
    coils, samples = problem.kspace.shape[1:]
    print(f"\n{problem.n} x {problem.n}, {coils} coils, {samples} samples, λ = {problem.damping:.4g}")
    found = {t.name: to_target(t, min(frames, 3)) for t in tools}
    best = {t.name: [float("inf")] * 3 for t in tools}
    floor = float("inf")
    floor_run = fft_floor(problem, 10)
    clock = Tool(problem)
    for _ in range(repeats):
        start = clock.cpu()
        floor_run()
        floor = min(floor, (clock.cpu() - start) * 1e2)
        for tool in tools:
            # the iterations that are needed; and two counts whose difference is the cost of one iteration
            for slot, iterations in enumerate((found[tool.name][0], *((5, 25) if tool.counts else ()))):
                start = tool.cpu()
                tool.solve_all(iterations)
                best[tool.name][slot] = min(best[tool.name][slot], (tool.cpu() - start) / frames * 1e3)
    rows = []
    print(
        f"{'':26} {'to 1e-3':>8} {'ms a frame':>11} {'ratio':>6} {'ms an iteration':>16} {'set-up':>7} {'off':>8}"
    )
    reference = best[tools[0].name][0]
    for tool in tools:
        iterations, off, reached = found[tool.name]
        whole, few, many = best[tool.name]
        each = (many - few) / 20 if tool.counts else float("nan")
        row = {
            "size": problem.n, "coils": coils, "samples": samples, "tool": tool.name, "iterations": iterations,
            "ms_frame": whole, "ms_iteration": each, "ms_setup": few - 5 * each, "off": off, "reached": reached,
        }  # fmt: skip
        rows.append(row)
        print(
            f"{tool.name:26} {iterations:8d} {whole:11.2f} {whole / reference:6.2f}"
            + (f" {each:16.3f} {few - 5 * each:7.2f}" if tool.counts else f" {'-':>16} {'-':>7}")
            + f" {off:8.1e}"
        )
    print(f"{'the FFTs alone':26} {'':8} {'':11} {'':6} {floor:16.3f}")
    return rows


if __name__ == "__main__":
    main()
