"""A real Slurm cluster of one node on loopback: munged, slurmctld and slurmd of Debian's packages, by root."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil

TOOLS = {
    name: shutil.which(name) for name in ("munged", "slurmctld", "slurmd", "srun", "squeue", "scancel", "sbatch")
}
THERE = all(TOOLS.values()) and sys.platform == "linux" and os.geteuid() == 0

_CONFIGURATION = """\
ClusterName=medsr
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={socket}
CredType=cred/munge
SlurmctldPort={controller}
SlurmdPort={node}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=5
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class OneNode:
    """Starts in `folder` and ends with `close`; `environment` is what Slurm's commands need."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        folder.chmod(0o755)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        self._folder = folder
        # the path of a socket has at most 107 bytes, and a test's folder may lie deep
        self._socket = Path(tempfile.mkdtemp(prefix="medsr-", dir="/tmp"), "munge.socket")
        self._socket.parent.chmod(0o755)
        self._processes: list[subprocess.Popen[bytes]] = []
        host = socket.gethostname().split(".")[0]
        text = _CONFIGURATION.format(
            host=host, folder=folder, socket=self._socket, controller=_free_port(), node=_free_port()
        )
        configuration = folder / "slurm.conf"
        configuration.write_text(text)
        # the executor takes Slurm's variables away from a job's own srun; it finds the file all the same
        srun = folder / "bin" / "srun"
        srun.parent.mkdir()
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {TOOLS["srun"]} "$@"\n')
        srun.chmod(0o755)
        path = f"{srun.parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "SLURM_CONF": str(configuration), "PATH": path}
        try:
            self._munge()
            self._start("slurmctld", "-D", "-f", str(configuration))
            self._start("slurmd", "-D", "-f", str(configuration), "-N", host)
            self._wait("idle", 60)
        except BaseException:
            self.close()
            raise

    def command(self, *words: str) -> str:
        """What one of Slurm's commands says."""
        done = subprocess.run(
            words,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout.strip()

    def jobs(self, *fields: str) -> list[str]:
        """Numbers of the jobs that are there; what else is asked of them (squeue's fields) behind bars."""
        return self.command("squeue", "--noheader", f"--format={'|'.join(('%i', *fields))}").splitlines()

    def close(self) -> None:
        """Ends all jobs, then all daemons."""
        with contextlib.suppress(subprocess.SubprocessError):
            for job in self.jobs():
                self.command("scancel", "--signal=KILL", "--full", job)
            end = time.monotonic() + 20
            while self.jobs() and time.monotonic() < end:
                time.sleep(0.3)
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        ours = str(self._folder / "bin")
        for left in psutil.process_iter():  # what a killed job has left behind
            with contextlib.suppress(psutil.Error):
                if ours in left.environ().get("PATH", ""):
                    left.kill()
        shutil.rmtree(self._socket.parent, ignore_errors=True)

    def _munge(self) -> None:
        key = self._folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        self._start(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self._socket}",
            f"--pid-file={self._folder / 'munge.pid'}", f"--log-file={self._folder / 'munge.log'}",
            f"--seed-file={self._folder / 'munge.seed'}",
        )  # fmt: skip
        end = time.monotonic() + 30
        while not self._socket.exists() and time.monotonic() < end:
            time.sleep(0.1)

    def _start(self, name: str, *options: str) -> None:
        with (self._folder / f"{name}.out").open("ab") as log:
            process = subprocess.Popen(
                [str(TOOLS[name]), *options],
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self._processes.append(process)

    def _state(self) -> str:
        try:
            return self.command("sinfo", "--noheader", "--format=%T")
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return ""

    def _wait(self, state: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._state() == state:
                return
            time.sleep(0.3)
        logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in self._folder.glob("*.out"))
        raise AssertionError(f"the node is {self._state() or 'unknown'} after {seconds:.0f} s\n{logs}")


def _free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
